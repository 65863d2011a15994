"""A container's places: the run directory with the lock that tells that it is alive and the socket
to talk to, and the end of its directory."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.store import locks
from dockmagic_runtime.volumes.unused import remove_unused

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
    """Take what is in the directory and itself away, then drop the lock."""
    os.close(listener)
    for name in os.listdir(run):
        if name != "lock":
            os.unlink(f"{run}/{name}")
    os.unlink(f"{run}/lock")
    os.rmdir(run)
    os.close(lock)


def clear(directory: str, anonymous_volumes: Sequence[str]) -> str:
    """`--rm`: the container's directory vanishes in one step; who finds it gone forgets the
    container. Its volumes go before: then none is left that nobody knows of.

    Returns where it lies now, to be removed in one's own time.
    """
    containers, name = os.path.split(directory)
    root = os.path.dirname(containers)
    remove_unused(root, anonymous_volumes, container_id=name)
    trash = f"{root}/tmp/{name}"
    os.rename(directory, trash)
    return trash
