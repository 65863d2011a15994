"""The engine's exceptions, distinguished by whose fault it was.

Each carries one sentence that names the thing (`message`), what to do about it (`hint`, may be
empty) and the exit code that Docker's command line gives the same mistake. They are raised where
the fact is known; no caller in between logs, prints or exits.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs a command that only shows its help as much as Python itself
if TYPE_CHECKING:
    from typing import Any


class DockmagicError(Exception):
    """Base of all errors of the engine. Never raised itself."""

    exit_code = 125
    excerpt = ""  # of a Dockerfile: the lines that it is about, marked
    container_id = ""  # of a container that was created for the call and could not be started
    step = 0  # of a build: the number of the one that failed
    left = ""  # of a build: the name of what the failed step has left, as `StepFailed` has it

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(kind: type[DockmagicError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidInput(DockmagicError):
    """The caller asked for something malformed: a bad reference, flag, path or Dockerfile.

    Raised before any effect. Not raised when the words are right and the thing is missing.
    """


class NotFound(DockmagicError):
    """A well-formed name that names nothing: image, container, network, volume, path."""


class Conflict(DockmagicError):
    """The thing exists and is in the wrong state for this: a name or port in use, not running."""


class Unsupported(DockmagicError):
    """This host cannot do it: not Linux, not root, a kernel without the feature."""


class StartFailed(DockmagicError):
    """The container was made but its command could not be started.

    `exit_code` is 127 when the command does not exist, 126 when it is not executable, 125 when
    the engine could not prepare the sandbox.
    """

    def __init__(self, message: str, *, exit_code: int = 125, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class ProcessFailed(DockmagicError):
    """A command ran and ended with a non-zero exit code, in a place where that is an error."""

    def __init__(self, message: str, *, exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class RemoteFailed(DockmagicError):
    """Something outside did not answer, refused, or sent what it had not promised.

    A registry out of reach, a digest that does not match, a package source without the package.
    """


class StateDamaged(DockmagicError):
    """A file of the Docker area is not what was written: garbage, cut short, or lacks a part.

    `message` names the file, `hint` says what to do.
    """


class EngineBug(DockmagicError):
    """An invariant of ours does not hold: please report it, with the text."""
