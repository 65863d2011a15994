"""Forks into other pid namespaces, and what every child of ours has in common."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux


def fork(inside: Callable[[], NoReturn]) -> int:
    """fork(2) whose child runs `inside` in a session of its own and can import nothing any more.

    A module imported after the child has entered the container would be the container's
    (CVE-2019-14271).
    """
    pid = os.fork()
    if pid == 0:
        _become(inside)
    return pid


def fork_sibling(linux: Linux, inside: Callable[[], NoReturn]) -> int:
    """The same, but the child is a child of our parent."""
    pid = linux.fork_sibling()
    if pid == 0:
        _become(inside)
    return pid


def _become(inside: Callable[[], NoReturn]) -> NoReturn:
    try:
        sys.meta_path.clear()
        os.setsid()
        inside()
    finally:
        os._exit(1)


@contextlib.contextmanager
def children_in(linux: Linux, pidfd: int) -> Iterator[None]:
    """For the length of the block, children are born in the pid namespace of that process.

    Our own comes back afterwards: the next fork of ours is not meant to be there.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(pidfd, c.CLONE_NEWPID)
        try:
            yield
        finally:
            linux.setns(own, c.CLONE_NEWPID)
    finally:
        os.close(own)
