"""Runs a command's line for a notebook: streams to the cell, errors to the user, objects back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dockmagic import commands
from dockmagic.commands.image.pull import Pulled
from dockmagic.commands.options.flags import Arguments, HelpAsked, switch, value
from dockmagic.commands.output.listing import Listing
from dockmagic.commands.output.result import Attached, Nothing, Outcome, Result, Started
from dockmagic.commands.references import familiar
from dockmagic.errors import joined
from dockmagic.magics.failures import as_magic_errors, interruptible
from dockmagic.magics.following import follow
from dockmagic.magics.interactive import Interactive
from dockmagic.magics.objects import Container, Image
from dockmagic.magics.streams import Limits
from dockmagic.magics.tables import Table
from dockmagic.magics.watcher import Watcher, left
from dockmagic.session import Session
from dockmagic.widgets.live import Hidden, OutputView, View
from dockmagic.widgets.sanitize import clean

_NOTEBOOK_FLAGS = (
    value("out", help="Notebook: put its output into this variable instead of showing it"),
    value("err", help="Notebook: the same for its error output"),
    switch("no-raise-error", help="Notebook: a non-zero exit code is no error"),
    switch("bg", help="Notebook: go on at once, and return a job to wait for"),
)
EXTRA_FLAGS = {
    **dict.fromkeys(("run", "exec", "start", "attach", "explain"), _NOTEBOOK_FLAGS),
    "serve": (switch("beside", help="Serve beside the kernel, not in the cell", default=True),),
}


class Runner(Struct):
    """One notebook's way of running commands. `variables` is where --out and --err put theirs."""

    session: Session
    variables: dict[str, Any]
    is_live: Callable[[], bool] = lambda: False
    limits: Callable[[], Limits] = Limits
    interactive: Interactive | None = None
    since: Callable[[], float] = lambda: 0.0  # events before it are another run's

    def run(self, words: Sequence[str], *, stdin: bytes | None = None) -> object:
        """Run one line's words; the object a cell shows for it, or None."""
        try:
            with as_magic_errors():
                arguments = _once(commands.parse(words, extra=EXTRA_FLAGS), self.since())
                if stdin is None and not self._has_keyboard:
                    _tell_of_terminals(arguments)
                if self._follows(arguments):
                    return follow(self.session.engine, arguments)
                with interruptible(lambda _: left(arguments)):
                    outcome = commands.execute(self.session.engine_for(arguments.verb), arguments)
                    return self.show(outcome, arguments, stdin=stdin)
        except HelpAsked as asked:
            sys.stdout.write(asked.text + "\n")
            return None

    def show(self, outcome: Outcome, arguments: Arguments, *, stdin: bytes | None = None) -> object:
        if isinstance(outcome, Result):
            return self.present(outcome, lambda: self._again(arguments))
        watcher = Watcher(self, arguments, stdin)
        with closing(watcher), interruptible(watcher.outcome):
            return watcher.watch(outcome)

    def _again(self, arguments: Arguments) -> Result:
        """The result of the same line, as it is now."""
        outcome = commands.execute(self.session.engine, arguments)
        assert isinstance(outcome, Result)
        return outcome

    def present(self, result: Result, again: Callable[[], Result] | None = None) -> object:
        """What the cell is given for a result. `again` makes it once more, for a live view."""
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
                return self.container(container.id)
            case Pulled(image=image, reference=reference):
                return self.image(image.id, familiar(reference))
            case Listing() if not (result.format or result.quiet):
                return Table(result, self, again)
        return result

    def container(self, id: str) -> Container:
        return Container(self.session, id, self, self.limits())

    def image(self, id: str, name: str = "") -> Image:
        return Image(self.session, id, self, name)

    @property
    def _has_keyboard(self) -> bool:
        return self.interactive is not None and self.interactive.has_keyboard

    def _follows(self, arguments: Arguments) -> bool:
        """Whether a log gets a view of its own, which does not block the kernel."""
        is_log = arguments.verb == "logs" and arguments.flag("follow")
        return bool(is_log and not arguments.flag("details") and self.is_live())

    def interact(self, attached: Attached, title: str) -> object | None:
        """What a process with a terminal is worth to the cell; None to watch it like others."""
        return None if self.interactive is None else self.interactive(attached, title)

    def view(self) -> View:
        return OutputView() if self.is_live() else Hidden()


def _once(arguments: Arguments, since: float) -> Arguments:
    """A cell that shows what comes for ever would never end: it shows what there is.

    Statistics have a live view instead, events those up to now; `--until` waits for a later end.
    """
    if arguments.verb == "stats" and not arguments.flag("no-stream"):
        given = arguments.given - {"no-stream"}
        return replace(arguments, values={**arguments.values, "no-stream": True}, given=given)
    if arguments.verb == "explain":  # the explanation is what was asked for
        return replace(arguments, values={**arguments.values, "no-raise-error": True})
    if arguments.verb == "events":
        until = arguments.flag("until") if arguments.is_given("until") else time.time()
        values = {"until": until, "since": max(since, arguments.flag("since"))}
        return replace(arguments, values={**arguments.values, **values})
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
