"""The size of a container's writable layer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.usage import ContainerSize

_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAY: Final = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS
_PASSED_OVER: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV)


def size(store: ContainerStore, layers: LayerStore, record: Record) -> ContainerSize:
    """Bytes of the writable layer, and of that and the image together."""
    writable = writable_size(store.upper(record.id))
    return ContainerSize(writable=writable, root=writable + _image_size(layers, record))


def _image_size(layers: LayerStore, record: Record) -> int:
    total = 0
    for chain_id in record.layers:
        try:
            total += layers.get(chain_id).size
        except NotFound:
            continue  # the image is being removed
    return total


def writable_size(path: str) -> int:
    """Bytes of all files below `path`, hard links counted once; 0 if the directory is gone.

    Directories are opened by their path from the top, so depth costs no descriptors; files deeper
    than PATH_MAX are not counted.
    """
    try:
        top = os.open(path, _READ)
    except FileNotFoundError:
        return 0
    try:
        return _tree_size(top)
    finally:
        os.close(top)


def _tree_size(top: int) -> int:
    linux, seen, total = Kernel(), set[int](), 0
    pending = ["."]
    while pending:
        path = pending.pop()
        try:
            fd = linux.openat2(top, path, _READ, 0, _STAY)
        except OSError as error:
            if error.errno in _PASSED_OVER:
                continue
            raise
        with _scan(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{path}/{entry.name}")
                elif (status := _status(entry)) is not None and status.st_ino not in seen:
                    if status.st_nlink > 1:
                        seen.add(status.st_ino)
                    total += status.st_size
    return total


@contextmanager
def _scan(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """os.scandir of a descriptor, which is closed at the end."""
    try:
        with os.scandir(fd) as entries:
            yield entries
    finally:
        os.close(fd)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None when the container has removed the file meanwhile."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
