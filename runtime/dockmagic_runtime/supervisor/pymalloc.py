"""The gaps that imports leave among small objects, filled before the first fork.

CPython allocates objects of up to 512 bytes in pools of 16 KiB (Objects/obmalloc.c), one size in
each. After the launcher's imports most sizes have a pool that is partly free. A supervisor would
put its first objects there, between objects of the launcher, and unshare each of those pages. With
the gaps filled, all that a supervisor allocates lies together in fresh pools.

The constants are those of CPython 3.10 to 3.13. On other versions nothing is filled: supervisors
then are larger, and otherwise the same.
"""

from __future__ import annotations

import sys
from typing import Final

_POOL: Final = 16 * 1024
_POOL_HEADER: Final = 48
_STEP: Final = 16
_LARGEST: Final = 512

_filler: Final[list[object]] = []  # kept for the lifetime of the process


def fill_pools() -> None:
    if is_known():
        _filler.extend(_gap_fillers())


def is_known() -> bool:
    """Whether this interpreter allocates as described above."""
    return (
        sys.implementation.name == "cpython"
        and (3, 10) <= sys.version_info < (3, 14)
        and "t" not in getattr(sys, "abiflags", "")  # free-threaded: mimalloc
    )


def _gap_fillers() -> list[object]:
    filler: list[object] = []
    for size in range(_STEP, _LARGEST + 1, _STEP):
        for _ in range(4 * _POOL // size):
            small = _of_size(size)
            if id(small) % _POOL == _POOL_HEADER:
                break  # the first of a fresh pool
            filler.append(small)
    return filler


def _of_size(size: int) -> object:
    if size == 16:
        return object()
    if size == 32:
        return float(size)
    return bytes(size - b"".__sizeof__())
