"""The thin layer between an image and a container's own: mount points and the files Docker binds.

`/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, `/dev`, `/proc`, `/sys` must exist to be mounted
on, `/etc/mtab` be a link to what the kernel says, and none of them show in `diff` or `commit`. So
this layer has them, once for each image, and not the container's writable layer. An overlay
directory takes its owner and mode from the topmost layer that has it, hence the copies from the
image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.images import overlay
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.store.scratch import scratch_directory

_DIRECTORIES: Final = ("dev", "etc", "proc", "sys")
_FILES: Final = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
_MARK: Final = ".dockerenv"  # by which programs recognise a container of Docker
_MTAB: Final = ("etc/mtab", "/proc/mounts")


def ensure(path: str, lowers: Sequence[str], scratch: str, *, is_step: bool = False) -> str:
    """The init layer at `path` for an image with `lowers`, topmost first; created at most once."""
    if not os.path.isdir(path):
        with scratch_directory(scratch, "init") as new:
            os.chmod(new, 0o755)
            _copy_attributes(new, _top(lowers, "."))
            _fill(new, lowers, _FILES if is_step else (*_FILES, _MARK))
            try:
                os.rename(new, path)
            except OSError:
                if not os.path.isdir(path):
                    raise  # else another process was quicker, with the same content
    return path


def _fill(layer: str, lowers: Sequence[str], files: Sequence[str]) -> None:
    with Root.at(layer) as root:
        for name in _DIRECTORIES:
            status = _top(lowers, name)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                continue  # a link or a file: the sandbox decides whether that is acceptable
            os.close(root.mkdirs(name))
            _copy_attributes(f"{layer}/{name}", status)
        for name in files:
            parent = os.path.dirname(name)
            if not parent or root.exists(parent):
                os.close(root.touch(name))
        if root.is_real_dir("etc") and not _has_mtab(lowers):
            name, target = _MTAB
            os.symlink(target, f"{layer}/{name}")


def _has_mtab(lowers: Sequence[str]) -> bool:
    """Whether the merged layers have an /etc/mtab. Layers are the engine's: their paths are safe
    below a directory that is no link."""
    for lower in lowers:
        etc = f"{lower}/etc"
        status = _status(etc)
        if status is None:
            continue
        if not stat.S_ISDIR(status.st_mode):
            return False
        mtab = _status(f"{lower}/{_MTAB[0]}")
        if mtab is not None:
            return not overlay.is_whiteout(mtab)
        if _is_opaque(etc):
            return False
    return False


def _is_opaque(directory: str) -> bool:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return overlay.is_opaque(fd)
    finally:
        os.close(fd)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _top(lowers: Sequence[str], name: str) -> os.stat_result | None:
    """What the topmost layer that has `name` has there; `name` has one component."""
    statuses = (_status(os.path.join(lower, name)) for lower in lowers)
    return next((status for status in statuses if status is not None), None)


def _copy_attributes(path: str, status: os.stat_result | None) -> None:
    if status is not None:
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, stat.S_IMODE(status.st_mode))
