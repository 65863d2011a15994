"""The thin layer between an image and a container's own: mount points and the files Docker binds.

`/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, `/dev`, `/proc`, `/sys` must exist to be mounted
on, and must not show in `diff` or `commit`. So they are made here, once for each image, and not
in the container's writable layer. An overlay directory takes its owner and mode from the topmost
layer that has it, hence the copies from the image.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.linux.root import Root

_DIRECTORIES: Final = ("dev", "etc", "proc", "sys")
_FILES: Final = ("etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv")


def ensure(path: str, lowers: Sequence[str], scratch: str) -> str:
    """The init layer at `path` for an image with `lowers`, topmost first. Made once, atomically."""
    if not os.path.isdir(path):
        made = tempfile.mkdtemp(prefix="init-", dir=scratch)
        try:
            os.chmod(made, 0o755)
            _copy_attributes(made, _top(lowers, "."))
            _fill(made, lowers)
            os.rename(made, path)
        except FileExistsError:
            shutil.rmtree(made)  # somebody else was quicker, with the same content
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            if not os.path.isdir(path):
                raise
    return path


def _fill(made: str, lowers: Sequence[str]) -> None:
    with Root.at(made) as root:
        for name in _DIRECTORIES:
            found = _top(lowers, name)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                continue  # a link or a file: the sandbox decides whether that is acceptable
            os.close(root.mkdirs(name))
            _copy_attributes(f"{made}/{name}", found)
        for name in _FILES:
            parent = os.path.dirname(name)
            if not parent or root.exists(parent):
                os.close(root.touch(name))


def _top(lowers: Sequence[str], name: str) -> os.stat_result | None:
    """What the topmost layer that has `name` has there; `name` has one component."""
    for lower in lowers:
        try:
            return os.lstat(os.path.join(lower, name))
        except FileNotFoundError:
            continue
    return None


def _copy_attributes(path: str, found: os.stat_result | None) -> None:
    if found is not None:
        os.chown(path, found.st_uid, found.st_gid)
        os.chmod(path, stat.S_IMODE(found.st_mode))
