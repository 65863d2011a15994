"""Fills an empty volume with the image's files at its target.

Strategy: the files are copied to a directory beside the data (`partial`), which is renamed when
complete (`whole`); its entries are then moved into the volume one by one. A later call that finds
a whole copy goes on moving, one that finds a partial copy removes it: a process killed at any
moment leaves a volume that is empty or that the next call completes. The volume's own directory
is never replaced: running containers have it mounted. The caller's lock excludes other fills.
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
    """Whether `data` has files. An interrupted move is completed first."""
    whole = f"{_tag(slot)}.whole"
    if beside.is_real_dir(whole):
        _move(beside, whole, data)
        return True
    return bool(_names(data))


def fill(data: Root, beside: Root, source: int, *, slot: str = "") -> None:
    """Fills `data`, which is empty, from the directory `source`.

    `beside` is a directory of the same file system that holds the copy meanwhile; it may be `data`
    itself. `slot` names the target, when several are filled from one `beside`.
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
    """The entries of the volume, without those of an unfinished copy."""
    return [entry.name for entry in data.scandir() if not entry.name.startswith(_PREFIX)]


def _copy(beside: Root, name: str, source: int) -> None:
    os.mkdir(name, 0o700, dir_fd=beside.fd)
    target = os.open(name, _DIRECTORY, dir_fd=beside.fd)
    try:
        TreeCopy(source, target).run()
    finally:
        os.close(target)


def _move(beside: Root, whole: str, data: Root) -> None:
    """Moves the copy's entries; files that a container has created meanwhile stay."""
    source = os.open(whole, _DIRECTORY, dir_fd=beside.fd)
    status = os.fstat(source)  # moving changes its time
    try:
        target = data.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(source) as entries:  # read completely: readdir and rename do not mix
                names = {entry.name for entry in entries}
            for name in names.difference(_names(data)):
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            copy_attributes(source, target, status)
        finally:
            os.close(target)
    finally:
        os.close(source)
    beside.remove_tree(whole)
