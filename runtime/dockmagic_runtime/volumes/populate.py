"""Filling an empty volume with what the image has at its place.

Strategy: the copy is made in a directory beside the data (`partial`), renamed when it is whole
(`whole`), and its entries are then moved into the volume one by one. Whoever finds a whole copy
goes on moving, whoever finds a partial one throws it away: killing the process at any moment
leaves a volume that is empty or that the next call completes. The volume's own directory is never
replaced: containers that run have it mounted. Two at once are told apart by the caller's lock.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.volumes.tree_copy import TreeCopy, copy_attributes

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PREFIX: Final = ".dockmagic-copy-"


def is_filled(data: Root, beside: Root, *, slot: str = "") -> bool:
    """Whether something is in `data`. A copy that was interrupted while it moved is completed."""
    whole = f"{_tag(slot)}.whole"
    if beside.is_real_dir(whole):
        _move(beside, whole, data)
        return True
    return bool(_names(data))


def fill(data: Root, beside: Root, source: int, *, slot: str = "") -> None:
    """Fill `data`, which is empty, from the directory `source`.

    `beside` is a directory of the same file system for the copy meanwhile; it may be `data`
    itself. `slot` tells apart several directories that are filled from one `beside`.
    """
    partial, whole = f"{_tag(slot)}.partial", f"{_tag(slot)}.whole"
    if beside.is_real_dir(partial):
        beside.remove_tree(partial)
    _copy(beside, partial, source)
    os.rename(partial, whole, src_dir_fd=beside.fd, dst_dir_fd=beside.fd)
    _move(beside, whole, data)


def _tag(slot: str) -> str:
    return _PREFIX + hashlib.sha256(slot.encode()).hexdigest()[:16]


def _names(data: Root) -> list[str]:
    """What is in the volume, but for what a copy has left in it."""
    return [entry.name for entry in data.scandir() if not entry.name.startswith(_PREFIX)]


def _copy(beside: Root, name: str, source: int) -> None:
    os.mkdir(name, 0o700, dir_fd=beside.fd)
    target = os.open(name, _DIRECTORY, dir_fd=beside.fd)
    try:
        TreeCopy(source, target).run()
    finally:
        os.close(target)


def _move(beside: Root, whole: str, data: Root) -> None:
    """What a container has put there meanwhile stays. The last step removes the sign of a copy."""
    source = os.open(whole, _DIRECTORY, dir_fd=beside.fd)
    status = os.fstat(source)  # moving changes its time
    try:
        target = data.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(source) as entries:  # all of it first: readdir and rename do not mix
                names = {entry.name for entry in entries}
            for name in names.difference(_names(data)):
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            copy_attributes(source, target, status)
        finally:
            os.close(target)
    finally:
        os.close(source)
    beside.remove_tree(whole)
