"""What a notebook shows when something goes wrong: one line, and what to do about it.

A `MagicError` has `_render_traceback_`, so IPython shows its lines instead of a traceback and
still makes a real `error` output: "Run All" stops, and nbval sees it. (IPython's `UsageError`
makes none, and a subclass of it shows a full traceback.) The engine's own error is the cause.
"""

from __future__ import annotations

import errno
import os

from dockmagic_runtime.errors import DockmagicError


class MagicError(Exception):
    """A command failed. `hint` says what to do, `exit_code` is what Docker's client exits with."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def _render_traceback_(self) -> list[str]:
        """Without the class's name: it is no news to the reader, and Docker has none."""
        return [self.message, f"  {self.hint}"] if self.hint else [self.message]

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


_GREY, _PLAIN = "\x1b[90m", "\x1b[0m"


class Interrupted(KeyboardInterrupt):
    """A command was interrupted (Stop, ^C). `what` says what has become of its work.

    As an error output it stops "Run All"; it is one grey line, because nothing is wrong.
    """

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"interrupted: {what} after {_duration(seconds)}")

    def _render_traceback_(self) -> list[str]:
        return [f"{_GREY}■ {self}{_PLAIN}"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class ContainerExitError(MagicError):
    """A command in the foreground ended with a non-zero exit code."""

    def __init__(self, name: str, exit_code: int) -> None:
        hint = _MEANINGS.get(exit_code, "") or _signal_hint(exit_code)
        super().__init__(f"{name} exited with {exit_code}", hint=hint, exit_code=exit_code)


_MEANINGS = {
    125: "the engine could not start it",
    126: "the command cannot be executed",
    127: "the command was not found",
    137: "killed, by SIGKILL or for want of memory",
    143: "ended by SIGTERM, as 'docker stop' does",
}


def _signal_hint(exit_code: int) -> str:
    import signal

    number = exit_code - 128
    if number in signal.valid_signals() and number > 0:
        return f"ended by signal {number}"
    return "--no-raise-error makes this no error"


def from_engine(error: DockmagicError) -> MagicError:
    """The engine's error as a notebook shows it."""
    message = f"{error.message}\n{error.excerpt}" if error.excerpt else error.message
    return MagicError(message, hint=error.hint, exit_code=error.exit_code)


_HOSTS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
)  # fmt: skip
_SPACE = "'docker system df' shows what takes the space, 'docker system prune' frees it"


def from_host(error: OSError) -> MagicError | None:
    """What the host has run out of, as a sentence; None for any other failure, which is a bug."""
    if error.errno not in _HOSTS:
        return None
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    hint = _SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return MagicError(f"{where}{os.strerror(error.errno).lower()}", hint=hint)


def joined(errors: tuple[DockmagicError, ...]) -> MagicError:
    """Several failures of one command as one error."""
    first = errors[0]
    if len(errors) == 1:
        return from_engine(first)
    message = "; ".join(error.message for error in errors)
    return MagicError(message, hint=first.hint, exit_code=1)
