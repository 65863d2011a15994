"""A start that does not come to its end, as when a volume's file server does not answer.

From before its first effect a start holds the lock of the container's run directory, while the
state is still that of a container which does not run. The processes that have the lock open are
the start process and its child. None of them listens to requests, so they are killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.linux.processes import await_end, descriptor_target, open_process, start_of
from dockmagic_runtime.store import container_process

_HIDDEN: Final = (FileNotFoundError, ProcessLookupError, PermissionError)
_GRACE: Final = 1.0  # seconds for a start, or the end of a container, to come to its end by itself
_UNDO_TIME: Final = 5.0  # seconds for a start process to undo what it has done
_LOOK: Final = 0.02  # seconds between two looks at the lock
_TICKS: Final = os.sysconf("SC_CLK_TCK")  # a second
_STUCK: Final = 10.0  # seconds after which a start counts as stuck


def is_unfinished(run: str) -> bool:
    """Whether a start, or the end of one, holds the lock of a container that does not run."""
    return container_process.has_supervisor(run)


def is_stuck(run: str) -> bool:
    """Whether a start that is not new holds the lock, by the age of its youngest process: that is
    the child, and its age is counted since the boot, whatever happens to the clock."""
    if not is_unfinished(run):
        return False
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    began = max((started for _, started in _holders(run)), default=0)
    return bool(began) and now - began / _TICKS > _STUCK


def end(run: str, *, is_restart: bool = False) -> None:
    """Kills the child, so that the start process undoes its work; then, if need be, that one too.

    At a restart the eldest holder of the lock is the supervisor, which stays. A process that waits
    for a device survives this for as long as the kernel keeps it waiting.
    """
    if _is_over(run, _GRACE, is_restart):
        return
    youngest_first = sorted(_holders(run), key=lambda process: -process[1])
    for pid, started in youngest_first[:-1] if is_restart else youngest_first:
        _kill(pid, started)
        if _is_over(run, _UNDO_TIME, is_restart):
            return


def _is_over(run: str, seconds: float, is_restart: bool) -> bool:
    """Whether no start holds the lock any more, within that time."""
    deadline = time.monotonic() + seconds
    while len(_holders(run)) > 1 if is_restart else is_unfinished(run):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


def _kill(pid: int, started: int) -> None:
    pidfd = open_process(pid, started)
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await_end(pidfd)
    except ProcessLookupError:
        pass  # it has just ended
    finally:
        os.close(pidfd)


def _holders(run: str) -> list[tuple[int, int]]:
    return list(_processes_with(os.path.realpath(f"{run}/lock")))


def _processes_with(path: str) -> Iterator[tuple[int, int]]:
    """(pid, start) of each process that has the file open."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        started = start_of(pid)
        if started and _has_open(pid, path):
            yield pid, started


def _has_open(pid: int, path: str) -> bool:
    directory = f"/proc/{pid}/fd"
    try:
        return any(descriptor_target(f"{directory}/{fd}") == path for fd in os.listdir(directory))
    except _HIDDEN:
        return False
