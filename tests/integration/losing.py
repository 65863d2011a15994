"""Supervisors and containers that are killed, as by the out-of-memory killer."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

from dockmagic_runtime import Engine
from dockmagic_runtime.network.port_proxy import process_record
from dockmagic_runtime.store import locks

from .waiting import eventually


def supervisor_of(engine: Engine, name: str) -> int:
    """The process that has the container's lock open. It is the program's parent only as long as
    no other was killed before it."""
    lock, holders = _lock(engine, name), list[int]()

    def has_taken_over() -> bool:  # from the start process
        holders[:] = _processes_with(lock)
        return len(holders) == 1

    assert eventually(has_taken_over)
    return holders[0]


def _lock(engine: Engine, name: str) -> str:
    return f"{engine.data_root.run}/{engine._components.containers.find(name).id}/lock"


def _processes_with(path: str) -> Iterator[int]:
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if _is_ours(pid) and _has(pid, path):
            yield pid


def _is_ours(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("dockmagic-")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _has(pid: int, path: str) -> bool:
    directory = f"/proc/{pid}/fd"
    try:
        return any(_target(f"{directory}/{fd}") == path for fd in os.listdir(directory))
    except (FileNotFoundError, ProcessLookupError):
        return False


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def kill_supervisor(engine: Engine, name: str) -> None:
    """Returns when it has ended, and its start process too."""
    kill(supervisor_of(engine, name))
    assert eventually(lambda: not locks.is_held(_lock(engine, name)))


def proxy_of(engine: Engine, name: str) -> int:
    """The process that serves what a container has published."""
    run = str(engine.data_root.run / engine._components.containers.find(name).id)
    pids: list[int] = []

    def is_noted() -> bool:
        process = process_record.read(run)
        pids[:] = [process.pid] if process else []
        return bool(pids)

    assert eventually(is_noted)
    return pids[0]


def lose(engine: Engine, name: str) -> None:
    """Kill the supervisor and then the container's first process, while no engine looks."""
    pid = engine.containers.get(name).pid
    kill_supervisor(engine, name)
    kill(pid)


def kill(pid: int) -> None:
    """Returns when it has ended."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], 20)[0], "it does not end"
    finally:
        os.close(pidfd)
