"""Processes that are not our children: which one a pid means, whether it runs, how it has ended."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
from typing import Final

# linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info), as long as it was in its first version
_GET_INFO: Final = 0xC040FF0B
_INFO: Final = struct.Struct("QQ11Ii")  # mask, control group, ids, exit status
_INFO_EXIT: Final = 1 << 3  # since Linux 6.15
_START, _EXIT_STATUS = 19, 49  # fields of /proc/PID/stat behind the name, proc(5)
_NOT_THERE: Final = (errno.ENOTTY, errno.EINVAL, errno.ESRCH)


def start_of(pid: int) -> int:
    """When it was started, in ticks since the boot; 0 for none: with the pid, a name for ever."""
    fields = _stat(pid)
    return int(fields[_START]) if fields else 0


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of the process that was started then; None if it has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if start_of(pid) == started and not has_ended(fd):  # asked once its number cannot change hands
        return fd
    os.close(fd)
    return None


def has_ended(pidfd: int) -> bool:
    """Whether all of its threads have, reaped or not."""
    return await_end(pidfd, 0)


def await_end(pidfd: int, seconds: float = 10) -> bool:
    """Whether it ends within that time: one that waits for a disk may take long, even killed."""
    ready = select.poll()
    ready.register(pidfd, select.POLLIN)
    return bool(ready.poll(int(seconds * 1000)))


def descriptor_target(link: str) -> str:
    """What a link in /proc/PID/fd leads to; nothing for one that cannot be read: just closed, of a
    process that may not be looked into, or of a directory deeper than a link can name."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def exit_status(pid: int, pidfd: int) -> int | None:
    """The status that wait(2) returns to its parent, of a process that has ended; None when it is
    too late.

    Before it is reaped /proc knows, afterwards its pidfd, if the kernel is new enough.
    """
    fields = _stat(pid)
    if fields and _is_there(pidfd):  # then the number was still its own
        return int(fields[_EXIT_STATUS])
    info = bytearray(_INFO.size)
    struct.pack_into("Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return None
    mask, *_, status = _INFO.unpack(info)
    return int(status) if mask & _INFO_EXIT else None


def descriptor_of(pidfd: int, fd: int) -> int:
    """A descriptor of another process, as one of ours; the kernel makes it close-on-exec."""
    from dockmagic_runtime.linux.syscalls import call  # needs ctypes, and hardly any process this

    return call("pidfd_getfd", pidfd, fd, 0)


def _is_there(pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may contain anything; empty for no process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
