"""Writes files that other processes see whole or not at all.

The bytes go to a temporary name in the same directory, which is renamed when all of them are
written. A failure, such as a full disk, removes the temporary file and leaves the old contents.
"""

from __future__ import annotations

import errno
import os
from _thread import get_native_id
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final

# of a disk that is full or read-only: what can do without its file goes on
DISK_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_STEM: Final = 48  # characters of the name in the temporary name: at most 192 of NAME_MAX's 255


def write_file(path: str, data: bytes, *, mode: int = 0o600, sync: bool = False) -> None:
    """Replaces the file at `path`. `sync` puts it on the disk before this returns.

    `sync` is for what cannot be rebuilt from anything else. It takes milliseconds.

    Raises OSError, with nothing left behind.
    """
    temporary = _temporary(path)
    fd = os.open(temporary, _FLAGS, mode)
    try:
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    if sync:
        sync_directory(os.path.dirname(path))


@contextmanager
def replacing(path: str, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A stream that becomes the file at `path` when the block ends without an exception.

    Raises OSError, with nothing left behind.
    """
    temporary = _temporary(path)
    fd = os.open(temporary, _FLAGS, mode)
    try:
        with open(fd, "wb") as stream:
            yield stream
        os.rename(temporary, path)
    except BaseException:
        _discard(temporary)
        raise


def write_all(fd: int, data: Any) -> None:
    """Writes all bytes of a buffer: on a nearly full disk, write(2) takes a part of them."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: str) -> None:
    """Puts the names in the directory on the disk: renames and new files."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _temporary(path: str) -> str:
    """Each thread has its own, so that two writers of one path never mix their bytes."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name[:_STEM]}.{os.getpid()}.{get_native_id()}.new")


def _discard(temporary: str) -> None:
    with suppress(FileNotFoundError):  # renamed already, or the directory was removed
        os.unlink(temporary)
