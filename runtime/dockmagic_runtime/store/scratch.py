"""Temporary entries of the scratch directory: locked by the process that works on them.

A lock ends with its process, however that ended: an entry that has none is left over, and the next
sweep removes it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SUFFIX: Final = ".held"  # of names whose owners hold a lock; others are known by their age alone
_YOUNG: Final = 10.0  # seconds; a younger entry may not have its lock yet
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch_directory(parent: str, kind: str) -> Iterator[str]:
    """A new directory, 0700, removed at the end unless it was renamed away."""
    from tempfile import mkdtemp  # most commands make none

    path = mkdtemp(prefix=f"{kind}-", suffix=_SUFFIX, dir=parent)
    try:
        fd = os.open(path, _OPEN)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
        finally:
            os.close(fd)
    finally:
        if os.path.lexists(path):
            _remove(path)


def scratch_file(parent: str, kind: str) -> tuple[int, str]:
    """A new file, 0600: its descriptor, which holds the lock, and its path."""
    from tempfile import mkstemp  # as above

    fd, path = mkstemp(prefix=f"{kind}-", suffix=_SUFFIX, dir=parent)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd, path


def trash_path(parent: str, name: str) -> str:
    """The place of a directory while it is being removed."""
    return f"{parent}/{name}{_SUFFIX}"


def move_to_trash(directory: str, parent: str) -> int | None:
    """Moves the directory to its `trash_path`, in one step, for the caller to remove.

    Returns the descriptor that holds its lock; None when it is not there, or when another process
    is removing it.
    """
    try:
        fd = os.open(directory, _OPEN)
    except FileNotFoundError:
        return None
    try:
        if _is_free(fd):  # before it moves: no sweep takes it from the caller
            os.rename(directory, trash_path(parent, os.path.basename(directory)))
            return fd
    except FileNotFoundError:
        pass  # moved meanwhile
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def in_trash(parent: str) -> Iterator[str]:
    """The names of temporary entries, without what `trash_path` adds."""
    return (name.removesuffix(_SUFFIX) for name in os.listdir(parent) if name.endswith(_SUFFIX))


def sweep(parent: str) -> None:
    """Removes the entries that no process works on any more."""
    for name in os.listdir(parent):
        if name.endswith(_SUFFIX):
            _remove_abandoned(f"{parent}/{name}")


def _remove_abandoned(path: str) -> None:
    try:
        fd = os.open(path, _OPEN)
    except FileNotFoundError:
        return  # its owner, or another sweep, was quicker
    try:
        if time.time() - os.fstat(fd).st_ctime > _YOUNG and _is_free(fd):
            _remove(path)
    except FileNotFoundError:
        pass  # as above
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    from dockmagic_runtime.linux.remove_tree import remove_tree

    remove_tree(path)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
