"""Removing trees that strangers made, by descriptor.

Nothing is followed: no link, and no mount point either, since a forgotten bind mount of a host
directory must not be emptied. Depth costs no descriptors and no recursion: what lies too deep is
moved up to the top of the tree first, where its turn comes.
"""

from __future__ import annotations

import errno
import os
from itertools import count
from typing import Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

_DEPTH: Final = 64
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAY: Final = c.RESOLVE_NO_XDEV | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS


def remove_tree(path: str, linux: Linux | None = None) -> None:
    """Remove the tree at a host path of ours. Its last component is not followed."""
    if linux is None:
        from dockmagic_runtime.linux.syscalls import Kernel

        linux = Kernel()
    parent = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree_at(parent, os.path.basename(path), linux)
    finally:
        os.close(parent)


def remove_tree_at(parent: int, name: str, linux: Linux) -> None:
    """Remove `name` in the directory `parent`; "." empties the directory itself."""
    if name != "." and _unlink(parent, name):
        return
    top = _open_directory(parent, name, linux)
    try:
        removal = _Removal(top, linux)
        while removal.empty(top, 0):
            pass
    finally:
        os.close(top)
    if name != ".":
        os.rmdir(name, dir_fd=parent)


def _unlink(parent: int, name: str) -> bool:
    """False when it is a directory."""
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        return False
    return True


def _open_directory(parent: int, name: str, linux: Linux) -> int:
    try:
        return linux.openat2(parent, name, _FLAGS, 0, _STAY)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    fd = os.open(name, _FLAGS, dir_fd=parent)
    # not as strict as RESOLVE_NO_XDEV: a bind mount of the same file system goes unnoticed
    if os.fstat(fd).st_dev != os.fstat(parent).st_dev:
        os.close(fd)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    return fd


class _Removal:
    def __init__(self, top: int, linux: Linux) -> None:
        self._top = top
        self._linux = linux
        self._numbers = count()

    def empty(self, fd: int, depth: int) -> bool:
        """Remove what is in `fd`; whether something was moved to the top and is left there."""
        moved = False
        with os.scandir(fd) as listing:  # all of it first: readdir and unlink do not mix
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
        for name, is_directory in entries:
            try:
                moved |= self._remove(fd, name, is_directory, depth)
            except FileNotFoundError:
                pass  # another process removes the same tree
        return moved

    def _remove(self, fd: int, name: str, is_directory: bool, depth: int) -> bool:
        if not is_directory:
            os.unlink(name, dir_fd=fd)
            return False
        if depth == _DEPTH:
            self._lift(fd, name)
            return True
        child = _open_directory(fd, name, self._linux)
        try:
            moved = self.empty(child, depth + 1)
        finally:
            os.close(child)
        os.rmdir(name, dir_fd=fd)
        return moved

    def _lift(self, fd: int, name: str) -> None:
        """Move a directory to the top, under a name that is free or that of an empty one."""
        for number in self._numbers:
            try:
                os.rename(name, f".{number}", src_dir_fd=fd, dst_dir_fd=self._top)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            else:
                return
