"""An overlay mount as a file descriptor: mounted nowhere, gone when it is closed.

Since Linux 6.8 each layer is its own parameter. Before, all layers share one option string of at
most a page, and the new mount API takes only 256 bytes of it; so there the classic mount(2) puts
it on a directory for a moment, from which it is cloned and taken away again. Names in that string
go through a descriptor of the layers' common parent, which saves most of their length and needs
no chdir, which a process with threads must not do.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

_PAGE: Final = 4096
_LAYER: Final = "lowerdir+"

# An upper directory becomes a layer, which must be complete: no renamed directory that only refers
# to another place, no file with its data below (overlayfs.rst, redirect_dir and metacopy).
# An index would refuse a layer that two containers share. A host may have them on by default.
_SELF_CONTAINED: Final = ("redirect_dir", "metacopy", "index")


def mount_overlay(
    linux: Linux,
    lowers: Sequence[str],
    upper: str,
    work: str,
    *,
    target: str,
    volatile: bool = False,
) -> int:
    """The descriptor of a detached overlay mount; `lowers` topmost first.

    Without `upper` (and `work`) it is read-only, and there must be two lower directories at least.
    `target` is an empty directory of ours, needed on kernels before 6.8 only. Raises InvalidInput
    when such a kernel cannot take so many layers, OSError when the kernel refuses.
    """
    fs = linux.fsopen("overlay")
    try:
        if not _add_layers(linux, fs, lowers):
            return mount_overlay_classic(
                linux, lowers, upper, work, target=target, volatile=volatile
            )
        linux.fsconfig_string(fs, "source", "overlay")  # what mount(8) shows first
        for option in _SELF_CONTAINED:
            linux.fsconfig_string(fs, option, "off")
        if upper:
            # it takes backslashes out of these two, though not out of a single layer's name
            linux.fsconfig_string(fs, "upperdir", _escape(upper, ""))
            linux.fsconfig_string(fs, "workdir", _escape(work, ""))
        if volatile:
            linux.fsconfig_flag(fs, "volatile")
        linux.fsconfig_create(fs)
        return linux.fsmount(fs, 0)
    finally:
        linux.close(fs)


def _add_layers(linux: Linux, fs: int, lowers: Sequence[str]) -> bool:
    """False on a kernel that takes them in one string only.

    Before 6.5 the file system sees no parameter until it is created: everything is taken, and
    what is wrong goes into the kernel's log. So a parameter that no parser accepts is tried first.
    """
    if _takes(linux, fs, _LAYER, None):
        return False
    return all(_takes(linux, fs, _LAYER, lower) for lower in lowers)


def _takes(linux: Linux, fs: int, key: str, value: str | None) -> bool:
    try:
        if value is None:
            linux.fsconfig_flag(fs, key)
        else:
            linux.fsconfig_string(fs, key, value)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def mount_overlay_classic(
    linux: Linux,
    lowers: Sequence[str],
    upper: str,
    work: str,
    *,
    target: str,
    volatile: bool,
) -> int:
    """The same on a kernel before 6.8."""
    base = os.path.commonpath([os.path.dirname(lower) for lower in lowers])
    base_fd = linux.openat2(c.AT_FDCWD, base, os.O_PATH | os.O_DIRECTORY, 0, 0)
    try:
        here = f"/proc/self/fd/{base_fd}"
        names = (_escape(os.path.relpath(lower, base), ",:") for lower in lowers)
        data = "".join(f"{option}=off," for option in _SELF_CONTAINED)
        data += "lowerdir=" + ":".join(f"{here}/{name}" for name in names)
        if upper:
            data += f",upperdir={_escape(upper, ',')},workdir={_escape(work, ',')}"
        data += ",volatile" if volatile else ""
        if len(data) >= _PAGE:
            raise InvalidInput(
                f"the image has {len(lowers)} layers, too many for this kernel",
                hint="Linux 6.8 and later have no such limit",
            )
        linux.mount("overlay", target, "overlay", 0, data)
    finally:
        linux.close(base_fd)
    try:
        return linux.open_tree(c.AT_FDCWD, target, c.OPEN_TREE_CLONE)
    finally:
        linux.umount(target, c.MNT_DETACH)


def _escape(path: str, separators: str) -> str:
    for character in f"\\{separators}":
        path = path.replace(character, f"\\{character}")
    return path
