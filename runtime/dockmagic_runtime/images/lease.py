"""Leases protect layers from garbage collection until an image row references them.

A pull or load finds layers that are here and adds others; the image that keeps them comes last.
Until then their chain ids stand in a file that the process holds a lock on. A removal reads these
files inside its write transaction, and a lease is extended inside another, so a layer that was
found after it was leased stays.
"""

from __future__ import annotations

import os
from _thread import allocate_lock  # the lock of `threading`, which takes a millisecond to load

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.images.scratch_gc import LEASE
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.store.atomic import write_all
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.locks import acquire_named, is_held


class Lease(Closing):
    """The layers of one pull or load. A context manager, which releases them at its end."""

    def __init__(self, scratch: str, database: Database) -> None:
        self._database = database
        self._path = f"{scratch}/{LEASE}{os.urandom(8).hex()}"
        fd = acquire_named(self._path)  # a sweep removes those that are not held
        if fd is None:
            raise EngineBug(f"{self._path} is held by another process")
        self._fd = fd
        self._lock = allocate_lock()

    def add(self, chain_id: str) -> None:
        with self._database.transaction():
            self.note(chain_id)

    def note(self, chain_id: str) -> None:
        """The same inside a write transaction of the caller.

        Any thread's: the layers that one build places are leased for all that go on. A lease that
        has just been released notes nothing; its descriptor may be another file's by now.
        """
        with self._lock:
            if self._fd >= 0:
                write_all(self._fd, f"{chain_id}\n".encode())

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.unlink(self._path)
            os.close(fd)


def leased(scratch: str) -> set[str]:
    """All chain ids that are leased now. To be called inside a write transaction."""
    chain_ids: set[str] = set()
    for name in os.listdir(scratch):
        path = f"{scratch}/{name}"
        if name.startswith(LEASE) and is_held(path):
            chain_ids.update(_lines(path))
    return chain_ids


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except FileNotFoundError:
        return []  # released just now
