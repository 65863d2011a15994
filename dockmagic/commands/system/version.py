"""`docker version`."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.output.result import Text
from dockmagic.version import __version__

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def parser() -> Parser:
    return Parser(
        verb="version",
        usage="[OPTIONS]",
        summary="Show the Docker version information",
        maximum=0,
        flags=(
            INSPECT_FORMAT,
            switch("short", hidden=True, own=True),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    if arguments.flag("short"):
        return Text(f"dockmagic version {__version__}")
    facts = _facts()
    format = arguments.flag("format")
    if not format:
        return Text(_page(facts), plain=f"dockmagic {__version__}")
    from dockmagic.commands.gotemplate.template import Template

    return Text(Template("{{json .}}" if format == "json" else format).render(facts))


def _facts() -> dict[str, Any]:
    """Client and server are one program here, and keep Docker's two headings."""
    kernel = os.uname()
    client = {
        "Version": __version__,
        "Os": kernel.sysname.lower(),
        "Arch": _MACHINES.get(kernel.machine, kernel.machine),
        "PythonVersion": platform.python_version(),
    }
    return {"Client": client, "Server": {**client, "KernelVersion": kernel.release}}


def _page(facts: dict[str, Any]) -> str:
    lines: list[str] = []
    for part, entries in facts.items():
        lines += [f"{part}: dockmagic"]
        lines += [f" {name + ':':<18}{text}" for name, text in entries.items()]
    return "\n".join(lines)
