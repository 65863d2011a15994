"""What processes that were killed have left in the scratch directory, told apart by its name.

What has a lock is left over as soon as nobody holds it; what has none, once it is so old that
nobody can be at it any more. A pin is as old as its blob, which says nothing: it goes when nobody
has a lease, since only who has one pins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.store.locks import acquire, is_held

GRACE: Final = 24 * 3600.0
LEASE: Final = "lease-"
TAKING: Final = "taking-"
PIN: Final = "pin-"
GROWING: Final = "growing-"
_PREPARED: Final = ("layer-", "blob-")


def sweep(scratch: str) -> None:
    """Remove what is certainly left over."""
    is_quiet = not any(name.startswith(LEASE) and held for name, _, held in _locked(scratch))
    for name, path, held in _locked(scratch):
        if not held and (not name.startswith(GROWING) or _age(path) > GRACE):
            _remove_unheld(path)
    for name in os.listdir(scratch):
        path = f"{scratch}/{name}"
        is_pin = is_quiet and name.startswith(PIN)
        if is_pin or (name.startswith(_PREPARED) and _age(path) > GRACE):
            remove_tree(path)


def _locked(scratch: str) -> Iterator[tuple[str, str, bool]]:
    for name in os.listdir(scratch):
        if name.startswith((LEASE, TAKING, GROWING)):
            yield name, f"{scratch}/{name}", is_held(f"{scratch}/{name}")


def _remove_unheld(path: str) -> None:
    fd = acquire(path)
    if fd is not None:
        try:
            os.unlink(path)
        finally:
            os.close(fd)


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
