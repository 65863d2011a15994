"""SQLite's errors as the engine's: a disk that is full or read-only, a file that is damaged."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from dockmagic_runtime.errors import Conflict, StateDamaged

if TYPE_CHECKING:
    from types import TracebackType

_PRIMARY: Final = 0xFF  # of an extended result code
_DAMAGED: Final = (
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_TOOBIG,
)  # fmt: skip
_DISK: Final = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_HINT: Final = "'docker system repair' rebuilds it from the files beside it"
_ALMOST_NOTHING: Final = 1 << 20  # bytes


class translated:
    """A context manager: SQLite's errors leave it as the engine's, constraints as they are.

    A class, since each read of the database goes through it.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, UnicodeDecodeError):  # in a name of the schema, or in a message of it
            raise damaged(self._path, "a text is no UTF-8") from error
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            meaning = _meaning(error, self._path)
            if meaning is not None:
                raise meaning from error


def damaged(path: str, reason: str) -> StateDamaged:
    return StateDamaged(f"{path} is damaged: {reason}", hint=_HINT)


def unwritable(error: sqlite3.Error, path: str) -> OSError | None:
    """Why the disk takes nothing, if that is what the error means."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return _os_error(errno.ENOSPC, path)
    if code == sqlite3.SQLITE_READONLY:
        return _os_error(errno.EROFS, path)
    if code not in _DISK:
        return None
    status = os.statvfs(os.path.dirname(path))
    if status.f_flag & os.ST_RDONLY:
        return _os_error(errno.EROFS, path)
    has_no_inode = bool(status.f_files) and not status.f_favail
    if has_no_inode or status.f_bavail * status.f_frsize < _ALMOST_NOTHING:
        return _os_error(errno.ENOSPC, path)
    return None


def _meaning(error: sqlite3.Error, path: str) -> Exception | None:
    code = _code(error)
    if code in _DAMAGED or _is_schema_wrong(error, code):
        return damaged(path, str(error).partition(" with text ")[0])
    if cause := unwritable(error, path):
        return cause
    if code == sqlite3.SQLITE_BUSY:
        return Conflict(f"{path} is locked by another process", hint="try again")
    if code in _DISK:
        return _os_error(errno.EIO, path)
    return None


def _is_schema_wrong(error: sqlite3.Error, code: int) -> bool:
    """The queries are ours: what SQLite cannot make sense of is the schema, or the text of a value.

    The latter, which Python reports, has no code.
    """
    text = str(error)
    is_misuse = "transaction" in text or "user-defined function" in text
    return (code == sqlite3.SQLITE_ERROR and not is_misuse) or text.startswith("Could not decode")


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def _os_error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
