"""A command that runs while the notebook goes on: `job = %run_container --bg httpd`."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context

from dockmagic import commands
from dockmagic.commands.options.flags import HelpAsked
from dockmagic.errors import MagicError
from dockmagic.magics.notebook_flags import flags_first
from dockmagic.magics.runner import EXTRA_FLAGS, Runner
from dockmagic_runtime.errors import DockmagicError


def run(
    runner: Runner, words: Sequence[str], *, of_magic: bool = True, stdin: bytes | None = None
) -> object:
    """What a command gives, or with `--bg` a job that runs it.

    `of_magic` finds the notebook's flags behind the container's name, too.
    """
    ordered = flags_first(words, of_magic=of_magic)
    if "--bg" in ordered and _is_background(ordered):
        command = shlex.join(["docker", *(word for word in words if word != "--bg")])
        return Job(command, lambda: runner.run(ordered, stdin=stdin))
    return runner.run(ordered, stdin=stdin)


def _is_background(words: Sequence[str]) -> bool:
    """Whether the flag is given, in a line that can run: what is wrong is said at once."""
    try:
        return bool(commands.parse(words, EXTRA_FLAGS).values.get("bg"))
    except (DockmagicError, HelpAsked):
        return False


class Job:
    """A command in the background. Its output goes into the cell that started it."""

    def __init__(self, command: str, work: Callable[[], object]) -> None:
        self.command = command
        self._work = work
        self._result: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="dockmagic-job", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # of the thread: it is raised where the result is wanted
            self._error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> object:
        """Blocks until it ends, for at most `timeout` seconds; returns what the command gave.

        Raises its error, and TimeoutError if it has not ended.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"'{self.command}' still runs")
        if self._error is not None:
            raise self._error
        return self._result

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        if not self.done:
            return None
        if isinstance(self._error, MagicError):
            return self._error.exit_code
        return int(getattr(self._result, "exit_code", 0))

    def __repr__(self) -> str:
        state = f"exited with {self.exit_code}" if self.done else "running in the background"
        return f"{self.command}: {state}"
