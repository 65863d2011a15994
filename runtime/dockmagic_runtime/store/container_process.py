"""Which containers are alive: by their supervisor's lock, or by the process that outlived it.

A supervisor holds its lock as long as it lives. A record beside the lock names the container's
process: when the lock is free because the supervisor was killed, the record says whether that
process still runs, and where its output can be found again. A process that ends with its
supervisor in any case has no record. A reboot removes run directories.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec
from msgspec import Struct

from dockmagic_runtime.store import locks
from dockmagic_runtime.store.atomic import write_file

_NAME: Final = "program.json"
_LOCK: Final = "lock"


class Program(Struct, frozen=True, kw_only=True):
    """`started` as in `linux.processes.start_of`; `pipes` are the inode numbers of those that it
    writes "stdout" and "stderr" to, none of a terminal."""

    pid: int
    started: int
    pipes: dict[str, int]

    def open(self) -> int | None:
        """A pidfd; None when it has ended."""
        from dockmagic_runtime.linux.processes import open_process  # not for one that is supervised

        return open_process(self.pid, self.started)


def write_record(run: str, program: Program) -> None:
    """Records the process in the container's run directory, whole or not at all."""
    write_file(f"{run}/{_NAME}", msgspec.json.encode(program))


def read_record(run: str) -> Program | None:
    """The recorded process, whether or not it runs."""
    try:
        with open(f"{run}/{_NAME}", "rb") as stream:
            return msgspec.json.decode(stream.read(), type=Program)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:  # damaged: then the process is found by its cgroup only
        return None


def has_supervisor(run: str) -> bool:
    return locks.is_held(f"{run}/{_LOCK}")


def survivor(run: str) -> Program | None:
    """The recorded process, if it runs. For a container without a supervisor."""
    program = read_record(run)
    fd = program.open() if program else None
    if fd is None:
        return None
    os.close(fd)
    return program


def kill(run: str) -> None:
    """Kills the recorded process, if it runs, and waits for its end. The caller holds the lock."""
    import signal

    from dockmagic_runtime.linux.processes import await_end

    program = read_record(run)
    fd = program.open() if program else None
    if fd is None:
        return
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        await_end(fd)
    except ProcessLookupError:
        pass  # it has just ended by itself
    finally:
        os.close(fd)


def is_alive(run: str) -> bool:
    """Whether the container with that run directory has a supervisor, or runs on without one."""
    return has_supervisor(run) or survivor(run) is not None
