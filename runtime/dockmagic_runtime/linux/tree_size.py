"""How many bytes the files of a directory tree have."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel

_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAY: Final = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS
_PASSED_OVER: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV)


def tree_size(path: str) -> int:
    """Bytes of all files below `path`, hard links counted once; 0 if the directory is gone.

    As Docker counts a layer: a symbolic link has the length of its target, a directory nothing.

    Directories are opened by their path from the top, so depth costs no descriptors; files deeper
    than PATH_MAX are not counted.
    """
    try:
        top = os.open(path, _READ)
    except FileNotFoundError:
        return 0
    try:
        return _size_below(top)
    finally:
        os.close(top)


def _size_below(top: int) -> int:
    linux, seen, total = Kernel(), set[int](), 0
    pending = ["."]
    while pending:
        path = pending.pop()
        try:
            fd = linux.openat2(top, path, _READ, 0, _STAY)
        except OSError as error:
            if error.errno in _PASSED_OVER:
                continue
            raise
        with _scan(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{path}/{entry.name}")
                elif (status := _status(entry)) is not None and status.st_ino not in seen:
                    if status.st_nlink > 1:
                        seen.add(status.st_ino)
                    total += status.st_size
    return total


@contextmanager
def _scan(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """os.scandir of a descriptor, which is closed at the end."""
    try:
        with os.scandir(fd) as entries:
            yield entries
    finally:
        os.close(fd)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None when the container has removed the file meanwhile."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
