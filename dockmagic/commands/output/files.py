"""Files that a command line names: opened and written with errors as Go words them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.store.atomic import replacing


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
    """A file that takes its name when it is whole; devices and pipes are written as they are.

    Raises InvalidInput, with a text that begins with `failure`, before anything is written.
    """
    check_output(path, failure)
    mode = _mode(path)
    is_special = mode is not None and not stat.S_ISREG(mode)
    with ExitStack() as stack:
        try:
            # 0600, as with Docker
            file = stack.enter_context(_special(path) if is_special else replacing(path))
        except PermissionError as error:
            raise InvalidInput(f"{failure}: open {path}: {reason(error)}") from None
        yield file


def _special(path: str) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb")


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
    if mode is not None and stat.S_ISDIR(mode):
        raise InvalidInput(f"{failure}: {path} is a directory")


def _mode(path: str) -> int | None:
    """None for a file that is not there."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(_mode(path) or 0)
    except (OSError, ValueError):
        return False
