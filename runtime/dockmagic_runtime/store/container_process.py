"""Who is alive: the containers whose supervisor is, and those whose program has outlived it.

A supervisor holds its lock as long as it lives. Beside the lock it is noted which program it
answers for: where nobody holds the lock any more, because the supervisor was killed, the note
tells whether that program runs on, and where its output can be found again. A program that ends
with its supervisor in any case is not noted. A reboot takes run directories away.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Final

from msgspec import Struct, to_builtins

from dockmagic_runtime.linux.processes import await_end, open_process
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
        return open_process(self.pid, self.started)


def note(run: str, program: Program) -> None:
    """Into the container's run directory, whole or not at all."""
    write_file(f"{run}/{_NAME}", json.dumps(to_builtins(program)).encode())


def noted(run: str) -> Program | None:
    """The program of the note, whether or not it runs."""
    try:
        with open(f"{run}/{_NAME}", "rb") as stream:
            return Program(**json.load(stream))
    except FileNotFoundError:
        return None


def has_supervisor(run: str) -> bool:
    return locks.is_held(f"{run}/{_LOCK}")


def survivor(run: str) -> Program | None:
    """The noted program, if it runs. Ask only when there is no supervisor."""
    program = noted(run)
    fd = program.open() if program else None
    if fd is None:
        return None
    os.close(fd)
    return program


def end(run: str) -> None:
    """Kill the noted program, if it runs, and wait for that. Only who has the lock may."""
    program = noted(run)
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
