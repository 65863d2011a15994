"""Runs a command's line for a notebook: streams to the cell, errors to the user, objects back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.container.foreground import watch
from dockmagic.commands.image.pull import Pulled
from dockmagic.commands.options.flags import Arguments, HelpAsked, switch, value
from dockmagic.commands.output.listing import Listing
from dockmagic.commands.output.result import (  # fmt: skip
    Attached,
    Chunk,
    Event,
    Finished,
    Nothing,
    Outcome,
    Question,
    Result,
    Started,
)
from dockmagic.commands.references import familiar
from dockmagic.errors import ContainerExitError, joined
from dockmagic.magics.failures import as_magic_errors
from dockmagic.magics.objects import Completed, Container, Image
from dockmagic.session import Session
from dockmagic.widgets.live import BuildProgress, Hidden, PullProgress, View, WidgetView
from dockmagic.widgets.sanitize import Cleaner, clean
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.build import StepStatus
from dockmagic_runtime.model.progress import PullDone, PullStatus

_NOTEBOOK_FLAGS = (
    value("out", help="Notebook: put its output into this variable instead of showing it"),
    value("err", help="Notebook: the same for its error output"),
    switch("no-raise-error", help="Notebook: a non-zero exit code is no error"),
)
EXTRA_FLAGS = dict.fromkeys(("run", "exec", "start", "attach", "explain"), _NOTEBOOK_FLAGS)
_KEPT = 1 << 20  # characters of output that the returned object keeps


class Streams(Struct):
    """Where a command's output goes: cleaned, to the cell or to variables, and a copy kept."""

    captured: frozenset[str] = frozenset()
    tty: bool = False
    _cleaners: dict[str, Cleaner] = field(default_factory=dict)
    _kept: dict[str, list[str]] = field(default_factory=dict)

    def write(self, stream: str, data: bytes, *, final: bool = False) -> None:
        cleaner = self._cleaners.setdefault(stream, Cleaner(crlf=self.tty))
        text = cleaner.feed(data, final=final)
        if not text:
            return
        self._keep(stream, text)
        if stream not in self.captured:
            target = sys.stderr if stream == "stderr" else sys.stdout
            target.write(text)
            target.flush()

    def close(self) -> None:
        for stream in list(self._cleaners):
            self.write(stream, b"", final=True)

    def _keep(self, stream: str, text: str) -> None:
        kept = self._kept.setdefault(stream, [])
        kept.append(text)
        if len(kept) > 256:
            limit = len(self.text(stream)) if stream in self.captured else _KEPT
            kept[:] = [self.text(stream)[-limit:]]

    def text(self, stream: str) -> str:
        return "".join(self._kept.get(stream, []))


class Runner(Struct):
    """One notebook's way of running commands. `variables` is where --out and --err put theirs."""

    session: Session
    variables: dict[str, Any]
    is_live: Callable[[], bool] = lambda: False

    def run(self, words: Sequence[str], *, stdin: bytes | None = None) -> object:
        """Run one line's words; the object a cell shows for it, or None."""
        try:
            with as_magic_errors():
                arguments = _once(commands.parse(words, extra=EXTRA_FLAGS))
                if stdin is None:
                    _tell_of_terminals(arguments)
                outcome = commands.execute(self.session.engine_for(arguments.verb), arguments)
                return self.show(outcome, arguments, stdin=stdin)
        except HelpAsked as asked:
            sys.stdout.write(asked.text + "\n")
            return None

    def show(self, outcome: Outcome, arguments: Arguments, *, stdin: bytes | None = None) -> object:
        if isinstance(outcome, Result):
            return self._present(outcome)
        watcher = _Watcher(self, arguments, stdin)
        try:
            return watcher.watch(outcome)
        finally:
            watcher.close()

    def _present(self, result: Result) -> object:
        if result.errors:
            if text := str(result):
                sys.stdout.write(clean(text) + "\n")
            raise joined(result.errors) from result.errors[0]
        if isinstance(result, Listing) and result.format:
            result.text()  # a mistake in the template is this cell's error, not the display's
        match result:
            case Nothing():
                return None
            case Started(container=container):
                return Container(self.session, container.id)
            case Pulled(image=image, reference=reference):
                return Image(self.session, image.id, familiar(reference))
        return result

    def view(self) -> View:
        return WidgetView() if self.is_live() else Hidden()


class _Watcher:
    """Follows the events of one command."""

    def __init__(self, runner: Runner, arguments: Arguments, stdin: bytes | None) -> None:
        self._runner = runner
        self._arguments = arguments
        self._stdin = stdin
        self._streams = Streams()
        self._pull: PullProgress | None = None
        self._build: BuildProgress | None = None

    def watch(self, events: Iterator[Event]) -> object:
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
                raise event.unanswered()
            case Result():
                return self._runner._present(event)
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
            self._pull = PullProgress(self._runner.view())
        self._pull.add(event)
        if not event.id:
            self._streams.write("stdout", f"{event.status}\n".encode())

    def _built(self, event: Any) -> None:
        if self._build is None:
            self._build = BuildProgress(self._runner.view())
        self._build.add(event)
        if isinstance(event, StepStatus) and event.is_note:
            self._streams.write("stdout", f"{event.id}\n".encode())

    def _show_failed_step(self, number: int) -> None:
        """The end of what the step that failed has said: the reason is mostly there."""
        steps = self._build.steps.all() if self._build else ()
        for step in steps:
            if step.number == number and step.output.strip():
                self._streams.write("stderr", step.output[-4000:].encode())

    def _attached(self, attached: Attached) -> Completed:
        arguments = self._arguments
        variables = {"stdout": arguments.flag("out"), "stderr": arguments.flag("err")}
        captured = frozenset(stream for stream, name in variables.items() if name)
        self._streams = Streams(captured, attached.tty)
        finished = self._watch(attached)
        for stream in captured:
            self._runner.variables[variables[stream]] = self._streams.text(stream)
        if finished.exit_code and not arguments.flag("no-raise-error"):
            raise ContainerExitError(finished.name, finished.exit_code)
        texts = self._streams.text("stdout")[-_KEPT:], self._streams.text("stderr")[-_KEPT:]
        return Completed(finished.name, finished.exit_code, *texts)

    def _watch(self, attached: Attached) -> Finished:
        if attached.joined and self._stdin is None:
            attached = replace(attached, stdin=False)  # the end of a cell is not the end of it
        try:
            return watch(attached, self._streams.write, stdin=self._stdin or b"")
        finally:
            self._streams.close()

    def close(self) -> None:
        self._streams.close()
        for progress in (self._pull, self._build):
            if progress is not None:
                progress.view.close()


def _once(arguments: Arguments) -> Arguments:
    """A cell that shows what comes for ever would never end: it shows what there is.

    Statistics have a live view instead, events those up to now; `--until` waits for a later end.
    """
    if arguments.verb == "stats" and not arguments.flag("no-stream"):
        given = arguments.given - {"no-stream"}
        return replace(arguments, values={**arguments.values, "no-stream": True}, given=given)
    if arguments.verb == "explain":  # the explanation is what was asked for
        return replace(arguments, values={**arguments.values, "no-raise-error": True})
    if arguments.verb == "events" and not arguments.is_given("until"):
        return replace(arguments, values={**arguments.values, "until": time.time()})
    return arguments


def _tell_of_terminals(arguments: Arguments) -> None:
    """`-it` in a cell: the line of the course works, and there is no keyboard for it."""
    if arguments.verb not in ("run", "exec") or arguments.flag("detach"):
        return
    if arguments.flag("interactive") and arguments.flag("tty"):
        name = arguments.verb.replace("run", "run_container")
        sys.stderr.write(
            "A cell is no terminal: nothing can be typed, so the input ends at once. "
            f"Write it below %%{name} instead, or add -d and use %exec.\n"
        )
