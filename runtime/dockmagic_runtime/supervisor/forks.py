"""Forks into other pid namespaces, and what every child of ours has in common."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux


def fork(
    linux: Linux, group: str, inside: Callable[[bool], NoReturn], *, sibling: bool = False
) -> int:
    """Fork a child that runs `inside` in a session of its own and can import nothing any more.

    A module imported after the child has entered the container would be the container's
    (CVE-2019-14271). A sibling is a child of the caller's parent. `inside` gets whether the child
    was created in the control group `group`. To move there later takes a grace period of RCU
    (measured on Linux 6.18: 10 ms; with CLONE_INTO_CGROUP 1 ms).
    """
    pid = _clone_into(linux, group, sibling=sibling) if group else -1
    is_member = pid >= 0
    if not is_member:
        pid = linux.clone_parent() if sibling else os.fork()
    if pid == 0:
        _become(lambda: inside(is_member))
    return pid


def _clone_into(linux: Linux, group: str, *, sibling: bool) -> int:
    """As fork(2), or -1 if no child can be created there. To join may be possible all the same, as
    where the limit of processes is reached, or its error says better what is wrong."""
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        fd = linux.openat2(c.AT_FDCWD, group, flags, 0, c.RESOLVE_NO_SYMLINKS)
    except OSError:
        return -1
    try:
        return linux.clone_into_cgroup(fd, sibling=sibling)
    except OSError:
        return -1
    finally:
        linux.close(fd)


def _become(inside: Callable[[], NoReturn]) -> NoReturn:
    try:
        sys.meta_path.clear()
        os.setsid()
        inside()
    finally:
        os._exit(1)


def rename_process(name: bytes) -> None:
    """By the file: a call through ctypes would unshare more of the launcher's memory."""
    fd = os.open(b"/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name)
    os.close(fd)


def close_all_but(kept: tuple[int, ...]) -> None:
    """Locks and connections are the supervisor's: to hold them means that it is alive."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


@contextlib.contextmanager
def children_in(linux: Linux, pidfd: int) -> Iterator[None]:
    """For the length of the block, children are created in the pid namespace of that process."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(pidfd, c.CLONE_NEWPID)
        try:
            yield
        finally:
            linux.setns(own, c.CLONE_NEWPID)
    finally:
        os.close(own)
