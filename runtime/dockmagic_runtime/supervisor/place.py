"""A container's run directory: the lock that tells that it is alive, and the socket to talk to."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.store import locks

_ATTEMPTS: Final = 50
_BETWEEN: Final = 0.01  # seconds


def take(run: str) -> tuple[int, int]:
    """(lock, listening socket), as descriptors. Raises Conflict when somebody has the lock."""
    os.makedirs(run, 0o700, exist_ok=True)
    lock = _acquire(f"{run}/lock")
    if lock is None:
        raise Conflict(f"container {os.path.basename(run)[:12]} is already running")
    try:
        return lock, _listen(f"{run}/sock")
    except BaseException:
        os.close(lock)
        raise


def _acquire(path: str) -> int | None:
    """A start that was killed half way leaves a child that has the lock until it notices."""
    for _ in range(_ATTEMPTS):
        lock = locks.acquire(path)
        if lock is not None:
            return lock
        time.sleep(_BETWEEN)
    return None


def _listen(path: str) -> int:
    if os.path.lexists(path):
        os.unlink(path)  # of a supervisor that was killed; we hold the lock
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(64)
        return listener.detach()
    finally:
        listener.close()


def leave(run: str, lock: int, listener: int) -> None:
    """Take socket, lock file and directory away, then drop the lock."""
    os.close(listener)
    os.unlink(f"{run}/sock")
    os.unlink(f"{run}/lock")
    os.rmdir(run)
    os.close(lock)
