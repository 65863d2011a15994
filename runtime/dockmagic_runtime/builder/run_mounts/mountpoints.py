"""Mount points that a RUN needs and its tree has not: made before, taken away afterwards.

The writable layer is empty at first, so all that is in it once they are made is ours: the mount
points, and the directories that overlay has copied up to hold them. Afterwards each is removed
that is still the same file (inode and device, owner and mode) and empty. Names are looked up
below the layer's own descriptor and never followed out of it: what the step has put in their
places, a link to a directory of the host for one, is left alone (CVE-2024-23652).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from msgspec import Struct

from dockmagic_runtime.linux.root import Root

Identity = tuple[int, int, int, int, int]


class MountPoint(Struct, frozen=True):
    path: str
    is_dir: bool


def make(tree: Root, points: Iterable[MountPoint]) -> None:
    """Make those that are missing, with all that is missing above them."""
    for point in points:
        os.close(tree.mkdirs(point.path) if point.is_dir else tree.touch(point.path))


def recorded(upper: str) -> dict[str, Identity]:
    """All that is in the writable layer, parents first."""
    with Root.at(upper) as root:
        return {
            f"{directory}/{entry.name}" if directory else entry.name: _identity(
                entry.stat(follow_symlinks=False)
            )
            for directory, _, entries in root.walk()
            for entry in entries
        }


def remove(upper: str, identities: dict[str, Identity]) -> None:
    """Take away what is still as it was made."""
    with Root.at(upper) as root:
        for path in sorted(identities, key=lambda path: path.count("/"), reverse=True):
            _remove(root, path, identities[path])


def _remove(root: Root, path: str, identity: Identity) -> None:
    try:
        parent, name = root.open_parent(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if _identity(status) != identity:
            return
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    finally:
        os.close(parent)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid
