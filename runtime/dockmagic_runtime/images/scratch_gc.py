"""Removes what killed processes have left in the scratch directory; a prefix says what it is.

A file with a lock is left over as soon as no process holds the lock. A file without one is left
over once it is older than any work can take. A pin has the age of its blob, which says nothing: it
is removed when no process holds a lease, since only a process with a lease pins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.store import scratch as scratch_entries
from dockmagic_runtime.store.locks import acquire, is_held

GRACE: Final = 24 * 3600.0
LEASE: Final = "lease-"
UNPACK_LOCK: Final = "unpack-"
PIN: Final = "pin-"
PARTIAL: Final = "partial-"


def sweep(scratch: str) -> None:
    """Removes what is certainly left over."""
    scratch_entries.sweep(scratch)
    is_quiet = not any(name.startswith(LEASE) and held for name, _, held in _locked(scratch))
    for name, path, held in _locked(scratch):
        if not held and (not name.startswith(PARTIAL) or age_of(path) > GRACE):
            _remove_unheld(path)
    for name in os.listdir(scratch):
        path = f"{scratch}/{name}"
        if is_quiet and name.startswith(PIN):
            os.unlink(path)


def _locked(scratch: str) -> Iterator[tuple[str, str, bool]]:
    for name in os.listdir(scratch):
        if name.startswith((LEASE, UNPACK_LOCK, PARTIAL)):
            yield name, f"{scratch}/{name}", is_held(f"{scratch}/{name}")


def _remove_unheld(path: str) -> None:
    fd = acquire(path)
    if fd is not None:
        try:
            os.unlink(path)
        finally:
            os.close(fd)


def age_of(path: str) -> float:
    """Seconds since the file was written; 0 if there is none."""
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
