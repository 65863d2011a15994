"""What `docker version` prints without a format: shown before anything heavy is imported."""

from __future__ import annotations

import os

from dockmagic.version import __version__

API_VERSION = "1.50"  # whose fields, words and defaults are ours
MIN_API_VERSION = "1.24"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def machine() -> str:
    """The processor, in Go's words."""
    name = os.uname().machine
    return _MACHINES.get(name, name)


def version_page() -> str:
    """Docker's two paragraphs; the rows that would name Go and a commit are not there."""
    kernel = os.uname()
    where = f"{kernel.sysname.lower()}/{machine()}"
    rows = [
        "Client: dockmagic",
        *_rows(1, {"Version": __version__, "API version": API_VERSION, "OS/Arch": where}),
        *_rows(1, {"Context": "default"}),
        "",
        "Server: dockmagic",
        " Engine:",
        *_rows(2, {"Version": __version__}),
        *_rows(2, {"API version": f"{API_VERSION} (minimum version {MIN_API_VERSION})"}),
        *_rows(2, {"OS/Arch": where, "Kernel Version": kernel.release, "Experimental": "false"}),
    ]
    return "\n".join(rows)


def _rows(indent: int, entries: dict[str, str]) -> list[str]:
    """Values begin in column 20 as in Docker, whose tab writer counts the indentation."""
    return [f"{' ' * indent}{name + ':':<{20 - indent}}{text}" for name, text in entries.items()]
