"""`docker build`: a Dockerfile and its context become an image."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic.commands.environment import check_label, read_env, read_labels
from dockmagic.commands.flags import Arguments, Parser, planned, switch, value, values
from dockmagic.commands.platforms import IMAGE_FLAGS
from dockmagic.commands.references import familiar
from dockmagic.commands.result import Event, Result
from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.events import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    StepDone,
    StepOutput,
    StepStarted,
)  # fmt: skip
from dockmagic_runtime.model.image import Image

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine

_KEPT = 64 * 1024  # bytes of output kept for each step; the end is what tells of a failure


def parser() -> Parser:
    return Parser(
        verb="build",
        usage="[OPTIONS] PATH | -",
        summary="Build an image from a Dockerfile",
        minimum=1,
        maximum=1,
        flags=BUILD_FLAGS,
    )


BUILD_FLAGS = (
    values("build-arg", help="Value of an ARG, NAME=VALUE, or NAME to pass yours on"),
    value("file", "f", "The Dockerfile (PATH/Dockerfile if not given)"),
    switch("force-rm", help="Leave no intermediate container behind: always so here"),
    value("iidfile", help="Write the image's id to this file"),
    values("label", help="Metadata for the image, KEY=VALUE", convert=check_label),
    value("network", help="Network of RUN: bridge, host or none", default="bridge"),
    switch("no-cache", help="Run every step anew"),
    value("progress", help="Kind of progress: auto or plain", default="auto"),
    switch("pull", help="Look for a newer base image"),
    switch("quiet", "q", "Only the image's id at the end"),
    switch("rm", help="Remove intermediate containers: always so here", default=True),
    values("tag", "t", "Name for the image, NAME[:TAG]"),
    value("target", help="Stage to build"),
    *IMAGE_FLAGS,
    *planned(
        "add-host=list", "cache-from=strings", "cache-to=list", "cgroup-parent=string",
        "compress", "cpu-period=int", "cpu-quota=int", "c/cpu-shares=int", "cpuset-cpus=string",
        "cpuset-mems=string", "isolation=string", "load",
        "m/memory=bytes", "memory-swap=bytes", "o/output=list", "push",
        "secret=list", "security-opt=strings", "shm-size=bytes", "squash", "ssh=list",
        "ulimit=ulimit",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it went."""

    number: int
    instruction: str
    cached: bool = False
    seconds: float = 0.0
    size: int = 0
    output: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Built(Result):
    """An image that was built, and how it went."""

    image: Image
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    quiet: bool = False

    def text(self) -> str:
        if self.quiet:
            return self.image.id
        lines = [f"Successfully built {self.image.short_id}"]
        return "\n".join([*lines, *(f"Successfully tagged {familiar(tag)}" for tag in self.tags)])

    def stable(self) -> str:
        cached = sum(step.cached for step in self.steps)
        count = f"{len(self.steps)} step{'' if len(self.steps) == 1 else 's'}, {cached} cached"
        return "  ".join([*map(familiar, self.tags), count])

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "step": step.number,
                "instruction": step.instruction,
                "cached": step.cached,
                "seconds": step.seconds,
                "size": step.size,
            }
            for step in self.steps
        ]


def run(engine: Engine, arguments: Arguments) -> Iterator[Event]:
    path = arguments.words[0]
    if path == "-":
        text, name, context = sys.stdin.read(), "Dockerfile", None
    else:
        context = _context(path)
        text, name = _read(arguments.flag("file"), context)
    return build(engine, arguments, text, context=context, file_name=name)


def build(
    engine: Engine, arguments: Arguments, text: str, *, context: str | None, file_name: str
) -> Iterator[Event]:
    """Build `text`: also what a cell that is a Dockerfile asks for."""
    _check(arguments)
    request = BuildRequest(
        dockerfile=text,
        context=context,
        tags=arguments.flag("tag"),
        file_name=file_name,
        build_args=_build_args(arguments.flag("build-arg")),
        labels=read_labels((), arguments.flag("label")),
        target=arguments.flag("target"),
        no_cache=arguments.flag("no-cache"),
        pull=arguments.flag("pull"),
        network=arguments.flag("network"),
    )
    return _watched(engine.build(request), arguments)


def _watched(events: Iterator[BuildEvent], arguments: Arguments) -> Iterator[Event]:
    steps = Steps()
    quiet, iidfile = arguments.flag("quiet"), arguments.flag("iidfile")
    for event in events:
        steps.add(event)
        if not isinstance(event, BuildDone):
            if not quiet:
                yield event
            continue
        if iidfile:
            Path(iidfile).write_text(event.image.id)
        yield Built(
            event.image, event.tags, steps.all(), event.seconds, event.warnings, quiet
        )  # fmt: skip


@dataclass(slots=True)
class Steps:
    """What the events of a build have told so far."""

    _steps: dict[int, Step] = field(default_factory=dict)
    _output: dict[int, bytearray] = field(default_factory=dict)

    def add(self, event: BuildEvent) -> None:
        if isinstance(event, StepStarted):
            self._steps[event.number] = Step(event.number, event.instruction)
        elif isinstance(event, StepOutput):
            kept = self._output.setdefault(event.number, bytearray())
            kept += event.data
            del kept[:-_KEPT]
        elif isinstance(event, StepDone):
            step = self._steps.get(event.number, Step(event.number, ""))
            self._steps[event.number] = Step(
                step.number, step.instruction, event.cached, event.seconds, event.size,
                reason=event.reason,
            )  # fmt: skip

    def all(self) -> tuple[Step, ...]:
        return tuple(self._with_output(self._steps[number]) for number in sorted(self._steps))

    def _with_output(self, step: Step) -> Step:
        output = bytes(self._output.get(step.number, b"")).decode(errors="replace")
        return Step(
            step.number, step.instruction, step.cached, step.seconds, step.size, output, step.reason
        )


def _check(arguments: Arguments) -> None:
    if not arguments.flag("rm"):
        raise Unsupported("the flag --rm=false of 'docker build' is not supported")
    if arguments.flag("progress") not in ("auto", "plain"):
        progress = arguments.flag("progress")
        raise Unsupported(f"the flag --progress={progress} of 'docker build' is not supported")


def _build_args(given: tuple[str, ...]) -> dict[str, str]:
    return {name: text for name, _, text in (arg.partition("=") for arg in read_env((), given))}


def _context(path: str) -> str:
    if "://" in path or path.startswith(("git@", "github.com/")):
        raise Unsupported(
            "a context from elsewhere is not supported yet", hint="clone or download it first"
        )
    if not Path(path).is_dir():
        what = "is not a directory" if Path(path).exists() else "not found"
        raise InvalidInput(f'unable to prepare context: path "{path}" {what}')
    return os.path.abspath(path)  # noqa: PTH100 - symlinks are the builder's business


def _read(file: str, context: str) -> tuple[str, str]:
    """The Dockerfile's text, and its name for messages."""
    if file == "-":
        return sys.stdin.read(), "Dockerfile"
    path = Path(file) if file else Path(context) / "Dockerfile"
    if file and not path.is_absolute() and not path.exists():
        path = Path(context) / file
    try:
        return path.read_text(encoding="utf-8-sig"), file or "Dockerfile"
    except FileNotFoundError:
        raise InvalidInput(
            f"failed to read dockerfile: open {file or 'Dockerfile'}: no such file or directory",
            hint=f"looked in {context}; another name is given with -f",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"failed to read dockerfile: open {path}: {error}") from None
