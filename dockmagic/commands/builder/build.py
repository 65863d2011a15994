"""`docker build`: a Dockerfile and its context become an image."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic.commands.builder.build_flags import (
    BUILD_FLAGS,
    archives,
    is_pushed,
    is_quiet,
    request_fields,
)
from dockmagic.commands.builder.call import Outline, Targets
from dockmagic.commands.image.save import binary_stdout
from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.files import replaced
from dockmagic.commands.output.result import Event, Result
from dockmagic.commands.references import familiar
from dockmagic_runtime.errors import InvalidInput, ProcessFailed
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    BuildStarted,
    BuildWarning,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.explanation import BuildExplanation
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PushDone
from dockmagic_runtime.model.suggest import did_you_mean

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_CALLS = {"outline": Outline, "targets": Targets}
_KEPT = 64 * 1024  # bytes of output kept for each step; the reason of a failure is at its end


def parser() -> Parser:
    return Parser(
        verb="build",
        usage="[OPTIONS] PATH | URL | -",
        summary="Build an image from a Dockerfile",
        minimum=1,
        maximum=1,
        flags=BUILD_FLAGS,
    )


class Step(Struct, frozen=True):
    """One step as it went."""

    number: int
    instruction: str
    cached: bool = False
    seconds: float = 0.0
    size: int = 0
    output: str = ""
    reason: str = ""
    done: bool = False


class Built(Result, frozen=True):
    """An image that was built, and how it went."""

    image: Image
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    seconds: float
    warnings: tuple[BuildWarning, ...] = ()
    quiet: bool = False
    explanation: BuildExplanation | None = None

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
                "reason": step.reason,
            }
            for step in self.steps
        ]


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    path, file = arguments.words[0], arguments.flag("file")
    if path == "-":
        if file == "-":
            raise arguments.wrong("can't use stdin for both build context and dockerfile")
        request = BuildRequest(
            dockerfile=None,
            context=None,
            context_tar=sys.stdin.buffer,
            file_name=file or "Dockerfile",
            **request_fields(arguments),
        )
        return _watched(engine, request, arguments)
    context = _context(path)
    text, name, ignore = _read(file, context)
    return build(engine, arguments, text, context=context, file_name=name, ignore=ignore)


def build(
    engine: EngineApi,
    arguments: Arguments,
    text: str | None,
    *,
    context: str | None,
    file_name: str,
    ignore: str | None = None,
) -> Iterator[Event]:
    """Build `text`: also what a cell that is a Dockerfile asks for."""
    request = BuildRequest(
        dockerfile=text,
        context=context,
        file_name=file_name,
        ignore=ignore,
        **request_fields(arguments),
    )
    return _watched(engine, request, arguments)


def _watched(engine: EngineApi, request: BuildRequest, arguments: Arguments) -> Iterator[Event]:
    call = arguments.flag("call")
    if call.method in _CALLS and not request.check:
        yield _CALLS[call.method](engine.builds.outline(request), call.format)
        return
    yield from _built(engine, request, arguments)


def _built(engine: EngineApi, request: BuildRequest, arguments: Arguments) -> Iterator[Event]:
    steps = Steps()
    quiet, iidfile = is_quiet(arguments), arguments.flag("iidfile")
    warnings: tuple[BuildWarning, ...] = ()
    for event in _hinted(engine.images.build(request)):
        steps.add(event)
        if isinstance(event, BuildStarted):
            warnings = event.warnings
        if not isinstance(event, BuildDone):
            if not quiet and not (request.check and isinstance(event, BuildStarted)):
                yield event
            continue
        if iidfile:
            Path(iidfile).write_text(event.image.id)
        pushed = yield from _handed_on(engine, event, arguments)
        if metadata_file := arguments.flag("metadata-file"):
            _write_metadata(metadata_file, event, pushed)
        yield Built(
            event.image, event.tags, steps.all(), event.seconds, event.warnings, quiet,
            event.explanation,
        )  # fmt: skip
    if request.check:
        yield Checked(warnings, request.file_name, arguments.flag("call").format)


def _hinted(events: Iterator[BuildEvent]) -> Iterator[BuildEvent]:
    """Adds to a failed step's hint how its files can be inspected."""
    try:
        yield from events
    except ProcessFailed as failure:
        enter = "look around where it failed: docker run -it --from-failed"
        failure.hint = "; ".join(filter(None, (failure.hint, enter)))
        raise


def _write_metadata(path: str, done: BuildDone, pushed: str) -> None:
    """As buildx writes it; the digest is the manifest's where a registry has it."""
    document = {
        "containerimage.config.digest": done.image.id,
        "containerimage.digest": pushed or done.image.id,
        "image.name": ",".join(done.tags),
    }
    with replaced(path, "failed to write metadata") as file:
        file.write(json.dumps(document, indent=2).encode())


def _handed_on(
    engine: EngineApi, done: BuildDone, arguments: Arguments
) -> Generator[Event, None, str]:
    """Into archives, and to registries; the digest of the manifest that was pushed last."""
    digest = ""
    names = done.tags or (done.image.id,)
    for path in archives(arguments):
        if path == "-":
            engine.images.save(names, binary_stdout())
            continue
        with replaced(path, "failed to save image") as file:
            engine.images.save(names, file)
    if is_pushed(arguments):
        if not done.tags:
            raise InvalidInput("tag is needed when pushing to registry", hint="build with -t NAME")
        for tag in done.tags:
            for event in engine.images.push(tag):
                if isinstance(event, PushDone):
                    digest = event.digest
                else:
                    yield event
    return digest


class Checked(Result, frozen=True):
    """What `--check` found, in Docker's words."""

    warnings: tuple[BuildWarning, ...]
    file_name: str = "Dockerfile"
    format: str = "text"

    @property
    def exit_code(self) -> int:
        return 1 if self.warnings else 0

    def text(self) -> str:
        if self.format == "json":
            return json.dumps({"warnings": self.rows()}, indent=2, ensure_ascii=False)
        return "\n\n".join([self.head(), *map(self._paragraph, self.warnings)])

    def head(self) -> str:
        count = len(self.warnings)
        if not count:
            return "Check complete, no warnings found."
        return f"Check complete, {count} warning{'s have' if count > 1 else ' has'} been found!"

    def _paragraph(self, warning: BuildWarning) -> str:
        if not warning.rule:
            return f"WARNING: {warning.text}"
        head = f"WARNING: {warning.rule} - {warning.url}"
        place = f"{self.file_name}:{warning.line}"
        return "\n".join((head, warning.reason, place, warning.excerpt))

    def stable(self) -> str:
        return "\n".join([*map(str, self.warnings), self.head()])

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"rule": warning.rule, "line": warning.line, "warning": warning.text}
            for warning in self.warnings
        ]


class Steps(Struct):
    """Collects the steps of a build from its events."""

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
                reason=event.reason, done=True,
            )  # fmt: skip

    def all(self) -> tuple[Step, ...]:
        return tuple(self._with_output(self._steps[number]) for number in sorted(self._steps))

    def _with_output(self, step: Step) -> Step:
        output = bytes(self._output.get(step.number, b"")).decode(errors="replace")
        return replace(step, output=output)


def _context(path: str) -> str:
    if is_address(path):
        return path
    if not os.path.isdir(path):  # noqa: PTH112 - the text may be no path at all
        what = "is not a directory" if os.path.exists(path) else "not found"  # noqa: PTH110
        raise InvalidInput(f'unable to prepare context: path "{path}" {what}')
    return os.path.abspath(path)  # noqa: PTH100 - symlinks are the builder's business


def is_address(path: str) -> bool:
    return "://" in path or path.startswith("git@")


def _read(file: str, context: str) -> tuple[str | None, str, str | None]:
    """The Dockerfile's text, None where it is in a context from elsewhere; its name; and what
    the ignore file beside it says."""
    if file == "-":
        return sys.stdin.read(), "Dockerfile", None
    if is_address(context):
        return None, file or "Dockerfile", None
    path = Path(file) if file else Path(context) / "Dockerfile"
    if file and not path.is_absolute() and not os.path.exists(path):  # noqa: PTH110
        path = Path(context) / file
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidInput(
            f"failed to read dockerfile: open {file or 'Dockerfile'}: no such file or directory",
            hint=_other_name(context, file),
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"failed to read dockerfile: open {path}: {error}") from None
    return text, file or "Dockerfile", _ignored_beside(path)


def _other_name(context: str, file: str) -> str:
    names = (path.name for path in Path(context).iterdir())
    meant = did_you_mean(file or "Dockerfile", list(names))
    return meant or f"looked in {context}; another name is given with -f"


def _ignored_beside(dockerfile: Path) -> str | None:
    """`<Dockerfile>.dockerignore`, wherever the Dockerfile is."""
    try:
        return dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"failed to read {dockerfile}.dockerignore: {error}") from None
