"""Layers that somebody is about to need, and that no row says so of yet.

A pull or load finds layers that are here and brings others, and only at its end is there an image
that keeps them. Meanwhile their chain ids stand in a file that its process holds a lock on. Who
removes layers reads these files inside its write transaction, and who adds to one writes inside
another: so a layer that was found after it was leased stays.
"""

from __future__ import annotations

import os
from secrets import token_hex

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.images.scratch_gc import LEASE
from dockmagic_runtime.store.atomic import write_all
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.locks import acquire_named, is_held


class Lease:
    """The layers of one pull or load. A context manager, which gives them free at its end."""

    def __init__(self, scratch: str, database: Database) -> None:
        self._database = database
        self._path = f"{scratch}/{LEASE}{token_hex(8)}"
        fd = acquire_named(self._path)  # a sweep removes those that nobody holds
        if fd is None:
            raise EngineBug(f"{self._path} is somebody else's")
        self._fd = fd

    def add(self, chain_id: str) -> None:
        with self._database.transaction():
            self.note(chain_id)

    def note(self, chain_id: str) -> None:
        """The same for who is inside a write transaction already."""
        write_all(self._fd, f"{chain_id}\n".encode())

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        os.unlink(self._path)
        os.close(self._fd)


def leased(scratch: str) -> set[str]:
    """All chain ids that are leased now. To be called inside a write transaction."""
    found: set[str] = set()
    for name in os.listdir(scratch):
        path = f"{scratch}/{name}"
        if name.startswith(LEASE) and is_held(path):
            found.update(_lines(path))
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except FileNotFoundError:
        return []  # given free just now
