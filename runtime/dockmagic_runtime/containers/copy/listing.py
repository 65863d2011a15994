"""The entries of a directory of a container or an image."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from dockmagic_runtime.containers.copy import paths
from dockmagic_runtime.containers.copy.rootfs import open_tree
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import Conflict, DockmagicError, NotFound
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import PathStat
from dockmagic_runtime.sandbox.overlay import mount_overlay


def of_container(starter: Starter, record: Record, path: str, limit: int) -> tuple[PathStat, ...]:
    """The entries by name, at most `limit`. Raises NotFound, Conflict for no directory."""
    with open_tree(starter, record) as tree:
        return _entries(tree.root, path, limit, f"container {record.name}")


def of_image(
    starter: Starter, lowers: Sequence[str], path: str, limit: int, name: str
) -> tuple[PathStat, ...]:
    """The same of the layers of an image, topmost first."""
    if not lowers:
        raise NotFound(f"Could not find the file {path} in image {name}")
    linux = Kernel()
    if len(lowers) == 1:  # an overlay needs two
        root = Root.at(lowers[0], linux)
    else:
        root = Root(mount_overlay(linux, lowers, "", "", target=starter.rootfs), linux)
    with root:
        return _entries(root, path, limit, f"image {name}")


def _entries(root: Root, path: str, limit: int, where: str) -> tuple[PathStat, ...]:
    path = paths.inside(path)
    try:
        entries = [
            _status(root, f"{path.rstrip('/')}/{entry.name}", entry)
            for entry, _ in zip(root.scandir(path), range(limit), strict=False)
        ]
    except OSError as error:
        raise _failure(error, path, where) from error
    return tuple(sorted(entries, key=lambda entry: entry.name))


def _status(root: Root, path: str, entry: os.DirEntry[str]) -> PathStat:
    status = entry.stat(follow_symlinks=False)
    target = ""
    if stat.S_ISLNK(status.st_mode):
        link = root.readlink(path)
        target = os.path.normpath(os.path.join("/", os.path.dirname(path), link))
    return PathStat(
        name=entry.name,
        size=status.st_size,
        mode=status.st_mode,
        mtime=status.st_mtime,
        link_target=target,
    )


def _failure(error: OSError, path: str, where: str) -> DockmagicError:
    if error.errno in (errno.ENOENT, errno.ELOOP):
        return NotFound(f"Could not find the file {path} in {where}")
    return Conflict(f"{path}: {os.strerror(error.errno or 0).lower()}")
