"""Follows the events of one command in a cell: output, progress, the result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from dockmagic.commands.container.foreground import Interrupted, watch
from dockmagic.commands.output.result import Attached, Chunk, Event, Finished, Question, Result
from dockmagic.errors import ContainerExitError
from dockmagic.magics.objects import Completed
from dockmagic.magics.questions import answered
from dockmagic.magics.streams import KEPT, CellOutput, Limits, Streams
from dockmagic.widgets.live import BuildProgress, PullProgress, View
from dockmagic.widgets.pull import line_of, note_line
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.build import StepStatus
from dockmagic_runtime.model.progress import PullDone, PullStatus

if TYPE_CHECKING:
    from dockmagic.commands.options.flags import Arguments


class Cell(Protocol):
    """What a watcher needs of the notebook: the runner."""

    @property
    def variables(self) -> dict[str, Any]: ...

    def is_live(self) -> bool: ...

    def limits(self) -> Limits: ...

    def view(self) -> View: ...

    def present(self, result: Result) -> object: ...

    def interact(self, attached: Attached, title: str) -> object | None: ...


class Watcher:
    """One command's events. `close` ends what it shows."""

    def __init__(self, cell: Cell, arguments: Arguments, stdin: bytes | None) -> None:
        self._cell = cell
        self._arguments = arguments
        self._stdin = stdin
        self._streams = Streams(CellOutput(cell.limits(), rest_of(arguments)))
        self._pull: PullProgress | None = None
        self._build: BuildProgress | None = None

    def watch(self, events: Iterator[Event]) -> object:
        """The result of the last event. Raises what the command raises."""
        shown: object = None
        try:
            for event in events:
                shown = self._event(event)
        except DockmagicError as error:
            self._show_failed_step(error.step)
            raise
        return shown

    def _event(self, event: Event) -> object:
        match event:
            case Attached():
                return self._attached(event)
            case Question():
                return self._cell.present(answered(event))
            case Result():
                return self._cell.present(event)
            case Chunk(stream=stream, data=data):
                self._streams.write(stream, data)
            case PullDone():
                pass
            case PullStatus():
                self._pulled(event)
            case _:
                self._built(event)
        return None

    def _pulled(self, event: PullStatus) -> None:
        """Lines about the image as a whole stay in the cell; those about layers come and go."""
        if self._pull is None:
            name = next(iter(self._arguments.words), "")
            self._pull = PullProgress(self._cell.view(), name)
        self._pull.add(event)
        self._streams.write("stdout", line_of(event).encode())

    def _built(self, event: Any) -> None:
        if self._build is None:
            self._build = BuildProgress(self._cell.view())
        self._build.add(event)
        if isinstance(event, StepStatus) and event.is_note:
            self._streams.write("stdout", note_line(event.id).encode())

    def _show_failed_step(self, number: int) -> None:
        """The end of what the step that failed has said: the reason is mostly there."""
        if self._build is None or not number:
            return
        if self._cell.is_live():
            self._build.fail(number)
            return
        for step in self._build.steps.all():
            if step.number == number and step.output.strip():
                self._streams.write("stderr", step.output[-4000:].encode())

    def _attached(self, attached: Attached) -> object:
        arguments = self._arguments
        if self._stdin is None:
            interactive = self._cell.interact(attached, _line(arguments))
            if interactive is not None:
                return interactive
        variables = {"stdout": arguments.flag("out"), "stderr": arguments.flag("err")}
        captured = frozenset(stream for stream, name in variables.items() if name)
        self._streams.close()
        cell = CellOutput(self._cell.limits(), rest_of(arguments, attached.name))
        self._streams = Streams(cell, captured, attached.tty)
        finished = self._watch(attached)
        for stream in captured:
            self._cell.variables[variables[stream]] = self._streams.text(stream)
        if finished.exit_code and not arguments.flag("no-raise-error"):
            raise ContainerExitError(finished.name, finished.exit_code)
        texts = self._streams.text("stdout")[-KEPT:], self._streams.text("stderr")[-KEPT:]
        return Completed(finished.name, finished.exit_code, *texts)

    def _watch(self, attached: Attached) -> Finished:
        if attached.joined and self._stdin is None:
            attached = replace(attached, stdin=False)  # the end of a cell is not the end of it
        try:
            return watch(attached, self._streams.write, stdin=self._stdin or b"")
        finally:
            self._streams.close()

    def outcome(self, interrupt: KeyboardInterrupt) -> str:
        """What has become of the work that was interrupted."""
        if isinstance(interrupt, Interrupted):
            return ended(interrupt.finished, self._arguments.verb)
        if self._build is not None:
            return f"build stopped{self._build.place()}"
        if self._pull is not None:
            return "pull stopped, layers that are whole are kept"
        return left(self._arguments)

    def close(self) -> None:
        self._streams.close()
        for progress in (self._pull, self._build):
            if progress is not None:
                progress.close()


def _line(arguments: Arguments) -> str:
    """The command, for the head of its terminal."""
    flags = {"run": "-it", "exec": "-it", "start": "-ai"}.get(arguments.verb, "")
    return " ".join(filter(None, ("docker", arguments.verb, flags, *arguments.words)))


_LEFT = {
    "logs": "no longer following {}, which goes on",
    "wait": "no longer waiting for {}",
    "stop": "no longer waiting for {} to stop",
    "events": "no longer following events",
    "stats": "no longer following statistics",
}


def left(arguments: Arguments) -> str:
    """What has become of a command without a process of its own."""
    names = " ".join(arguments.words[:3])
    return _LEFT.get(arguments.verb, "stopped").format(names)


def ended(finished: Finished, verb: str) -> str:
    """How a process in the foreground has ended after an interrupt."""
    if finished.detached:
        return f"left {finished.name}, which goes on running"
    if verb == "exec":
        return f"the command in {finished.name} stopped (exit {finished.code})"
    return f"{finished.name} stopped (exit {finished.code})"


def rest_of(arguments: Arguments, name: str = "") -> str:
    """How to get the output that a cell leaves out."""
    verb = arguments.verb
    if verb in ("run", "start", "attach") and name and not arguments.values.get("rm"):
        return f"%logs {name} has them all"
    if verb in ("run", "exec", "start", "attach"):
        return "--out NAME puts all of it into a variable"
    if verb == "logs":
        return "x = %logs NAME has them all"
    return ""
