"""A mount of another container, cloned: the way to share what has no name outside of it.

Only a process in its mount namespace can clone a mount, so a single-threaded child goes there and
comes back. The other container may have put links in the way, so the result is compared with what
the kernel lists for that mount point.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.processes import start_of

_NO_LINKS: Final = c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS


@contextmanager
def mount_namespace_of(linux: Linux, pid: int) -> Iterator[None]:
    """For the length of the block, paths are those of the process `pid`."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.setns(theirs, c.CLONE_NEWNS)
        finally:
            os.close(theirs)
        try:
            yield
        finally:
            linux.setns(own, c.CLONE_NEWNS)
    finally:
        os.close(own)


def clone_tmpfs(linux: Linux, pid: int, started: int, path: str) -> int | None:
    """The tmpfs that a process has mounted at `path`, detached; None when it has none there.

    `started` is what `start_of` said of `pid`: the number may be another process's by now.
    """
    try:
        device = _device(pid, path) if start_of(pid) == started else 0
        with mount_namespace_of(linux, pid):
            fd = linux.openat2(c.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, 0, _NO_LINKS)
            try:
                mount = linux.open_tree(fd, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
            finally:
                linux.close(fd)
    except OSError:
        return None  # it has just ended, or has moved things: there is nothing to share
    if os.fstat(mount).st_dev != device:
        linux.close(mount)
        return None
    return mount


def _device(pid: int, path: str) -> int:
    """The number of the file system, as the kernel says it, whatever the container shows."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            words = line.split(" ")
            if words[3:5] == ["/", path] and words[words.index("-") + 1] == "tmpfs":
                major, minor = words[2].split(":")
                return os.makedev(int(major), int(minor))
    raise FileNotFoundError(path)
