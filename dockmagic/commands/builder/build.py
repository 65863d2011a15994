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
from dockmagic.commands.builder.checked import Checked, DockerfileFailure
from dockmagic.commands.image.save import binary_stdout
from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.files import replaced
from dockmagic.commands.output.result import Chunk, Event, Result
from dockmagic.commands.references import familiar
from dockmagic_runtime.errors import DockmagicError, InvalidInput, ProcessFailed
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    BuildStarted,
    BuildWarning,
    StepDone,
    StepOutput,
    StepStarted,
    StepStatus,
)
from dockmagic_runtime.model.explanation import BuildExplanation
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullStatus, PushDone
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


class Step(Struct, frozen=True, kw_only=True):
    """One step as it went. `instruction` is empty for the builder's own steps."""

    number: int
    name: str
    instruction: str = ""
    cached: bool = False
    seconds: float = 0.0
    size: int = 0
    output: str = ""
    reason: str = ""
    error: str = ""
    done: bool = False


class Built(Result, frozen=True):
    """An image that was built, and how it went. In a terminal its progress has said all."""

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

    def chunks(self) -> Iterator[Chunk]:
        return Result.chunks(self) if self.quiet else iter(())

    def stable(self) -> str:
        """Without what came from the cache: the next run of a notebook finds all of it there."""
        count = f"{len(self.steps)} step{'' if len(self.steps) == 1 else 's'}"
        return "  ".join([*map(familiar, self.tags), count])

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "step": step.number,
                "name": step.name,
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
    if request.check:
        yield from _checked(engine, request, call.format)
        return
    yield from _built(engine, request, arguments)


def _checked(engine: EngineApi, request: BuildRequest, form: str) -> Iterator[Event]:
    warnings: tuple[BuildWarning, ...] = ()
    failure = None
    try:
        for event in engine.images.build(request):
            if isinstance(event, BuildStarted):
                warnings = event.warnings
                event = replace(event, warnings=())
            yield event
    except InvalidInput as error:
        failure = _failure(error) if form == "json" else None
        if failure is None:
            raise
    yield Checked(warnings, request.file_name, form, request.dockerfile or "", failure)


def _failure(error: InvalidInput) -> DockerfileFailure | None:
    """What BuildKit has in its JSON of a Dockerfile that is none."""
    from dockmagic_runtime.dockerfile.errors import DockerfileError

    if not isinstance(error, DockerfileError):
        return None
    places = tuple(problem.place for problem in error.problems)
    return DockerfileFailure(error.message, places, error.excerpt)


def _built(engine: EngineApi, request: BuildRequest, arguments: Arguments) -> Iterator[Event]:
    steps = Steps()
    for event in _hinted(engine.images.build(request)):
        steps.add(event)
        if not isinstance(event, BuildDone):
            yield event
            continue
        yield from _finished(engine, event, steps, arguments)


def _finished(
    engine: EngineApi, done: BuildDone, steps: Steps, arguments: Arguments
) -> Iterator[Event]:
    """What is done with the image, then the result."""
    if iidfile := arguments.flag("iidfile"):
        Path(iidfile).write_text(done.image.id)
    pushed = yield from _handed_on(engine, done, arguments)
    if metadata_file := arguments.flag("metadata-file"):
        _write_metadata(metadata_file, done, pushed)
    yield Built(
        done.image,
        done.tags,
        steps.of_dockerfile(),
        done.seconds,
        done.warnings,
        is_quiet(arguments),
        done.explanation,
    )


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
    number, digest = done.last_step, ""
    names = done.tags or (done.image.id,)
    for kind, path in archives(arguments):
        number += 1
        yield StepStarted(number=number, name=f"exporting to {kind} image format")
        _save(engine, names, path)
        yield StepStatus(number=number, id="sending tarball", done=True)
        yield StepDone(number=number)
    if is_pushed(arguments):
        if not done.tags:
            raise InvalidInput("tag is needed when pushing to registry", hint="build with -t NAME")
        for tag in done.tags:
            number += 1
            digest = yield from _push(engine, tag, number)
    return digest


def _save(engine: EngineApi, names: tuple[str, ...], path: str) -> None:
    if path == "-":
        engine.images.save(names, binary_stdout())
        return
    with replaced(path, "failed to save image") as file:
        engine.images.save(names, file)


def _push(engine: EngineApi, tag: str, number: int) -> Generator[Event, None, str]:
    """As a step of the build; the manifest's digest."""
    digest = ""
    yield StepStarted(number=number, name=f"pushing {familiar(tag)}")
    try:
        for event in engine.images.push(tag):
            if isinstance(event, PushDone):
                digest = event.digest
            else:
                yield _push_status(number, event)
    except DockmagicError as error:
        error.step = number
        raise
    yield StepDone(number=number)
    return digest


def _push_status(number: int, event: PullStatus) -> StepStatus:
    is_over = not event.id or event.status in ("Pushed", "Layer already exists")
    return StepStatus(
        number=number,
        id=f"{event.id} {event.status.lower()}" if event.id else event.status,
        current=event.current,
        total=event.total,
        done=is_over or 0 < event.total <= event.current,
    )


class Steps(Struct):
    """Collects the steps of a build from its events."""

    _steps: dict[int, Step] = field(default_factory=dict)
    _output: dict[int, bytearray] = field(default_factory=dict)

    def add(self, event: BuildEvent) -> None:
        if isinstance(event, StepStarted):
            self._steps[event.number] = Step(
                number=event.number, name=event.name, instruction=event.instruction
            )
        elif isinstance(event, StepOutput):
            kept = self._output.setdefault(event.number, bytearray())
            kept += event.data
            del kept[:-_KEPT]
        elif isinstance(event, StepDone):
            self._steps[event.number] = replace(
                self._steps[event.number],
                cached=event.cached,
                seconds=event.seconds,
                size=event.size,
                reason=event.reason,
                error=event.error,
                done=True,
            )

    def all(self) -> tuple[Step, ...]:
        return tuple(self._with_output(self._steps[number]) for number in sorted(self._steps))

    def of_dockerfile(self) -> tuple[Step, ...]:
        """Without the builder's own steps."""
        return tuple(step for step in self.all() if step.instruction)

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
    path = Path(file) if file else _default_file(Path(context))
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


def _default_file(context: Path) -> Path:
    """`Dockerfile`, else `dockerfile` where only that is there."""
    names = {path.name for path in context.iterdir()} if context.is_dir() else set()
    only_lower = "dockerfile" in names and "Dockerfile" not in names
    return context / ("dockerfile" if only_lower else "Dockerfile")


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
