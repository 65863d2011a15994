"""Claims protect the lease of a container that is being started: no supervisor locks it yet.

A claim is a lock on a file beside the run directories, held by the process that starts. It ends
with that process, so a start that was killed half way does not keep its address.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock  # the lock of `threading`, which takes a millisecond to load

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.store import locks

_SUFFIX = ".starting"
_YOUNG = 10.0  # seconds


class Claims:
    """The claims of this process. Thread-safe."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._held: dict[str, int] = {}
        self._mutex = allocate_lock()

    def _path(self, container_id: str) -> str:
        return f"{self._run}/{container_id}{_SUFFIX}"

    def take(self, container_id: str) -> None:
        """Claim the container's leases. Raises Conflict when another start has claimed them."""
        with self._mutex:
            fd = None if container_id in self._held else _acquire(self._path(container_id))
            if fd is None:
                raise Conflict(f"container {container_id[:12]} is already being started")
            self._held[container_id] = fd

    def drop(self, container_id: str) -> None:
        """Idempotent."""
        with self._mutex:
            fd = self._held.pop(container_id, None)
            if fd is not None:
                os.unlink(self._path(container_id))
                os.close(fd)

    def is_taken(self, container_id: str) -> bool:
        """Whether this or another process has claimed them."""
        return locks.is_held(self._path(container_id))

    def sweep(self) -> None:
        """Removes what killed starts have left, once no start can be about to lock it."""
        for path in _claims(self._run):
            if _is_old(path) and not locks.is_held(path):
                fd = locks.acquire_named(path)
                if fd is not None:
                    os.unlink(path)
                    os.close(fd)

    def close(self) -> None:
        for container_id in list(self._held):
            self.drop(container_id)


def _acquire(path: str) -> int | None:
    # another engine may have taken the area off the host since this one was opened
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    return locks.acquire_named(path)


def _claims(run: str) -> list[str]:
    try:
        return [f"{run}/{name}" for name in os.listdir(run) if name.endswith(_SUFFIX)]
    except FileNotFoundError:
        return []


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime > _YOUNG
    except FileNotFoundError:
        return False
