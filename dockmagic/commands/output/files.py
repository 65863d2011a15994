"""Files that a command line names: opened and written with errors as Go words them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.store.atomic import replacing

_KINDS: Final = {  # Docker's words for what is no regular file
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link directly",
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "named pipe (FIFO)",
    stat.S_IFCHR: "character device file",
    stat.S_IFBLK: "block device file",
}


def reason(error: OSError | ValueError) -> str:
    """As Go's `os.PathError` ends; Python refuses names with a null character by itself."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "invalid argument"


def opened(path: str) -> BinaryIO:
    """A file to read. Raises InvalidInput, for a directory too."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"open {path}: {reason(error)}") from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise InvalidInput(f"read {path}: is a directory")
    return os.fdopen(fd, "rb")


@contextmanager
def replaced(path: str, failure: str) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole: as with Docker, only a regular one is replaced.

    Raises InvalidInput, with a text that begins with `failure`, before anything is written.
    """
    check_output(path, failure)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(replacing(path))  # 0600, as with Docker
        except PermissionError as error:
            raise InvalidInput(f"{failure}: open {path}: {reason(error)}") from None
        yield file


def check_output(path: str, failure: str) -> None:
    """Docker's complaints of a place to write to, before anything is read for it."""
    folder = os.path.dirname(os.path.normpath(path))  # noqa: PTH120 - text, which may be no path
    try:
        mode = _mode(path)
        if folder:
            os.stat(folder)
    except OSError as error:
        where = folder if isinstance(error, FileNotFoundError) else path
        raise InvalidInput(
            f"{failure}: invalid output path: stat {where}: {reason(error)}"
        ) from None
    except ValueError as error:
        raise InvalidInput(f"{failure}: invalid output path: {reason(error)}") from None
    if mode is not None and not stat.S_ISREG(mode):
        raise InvalidInput(f"{failure}: cannot write to a {_KINDS[stat.S_IFMT(mode)]}")


def _mode(path: str) -> int | None:
    """None for a file that is not there."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(_mode(path) or 0)
    except (OSError, ValueError):
        return False
