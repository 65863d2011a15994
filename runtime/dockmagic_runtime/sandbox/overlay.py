"""An overlay mount as a file descriptor: mounted nowhere, gone when it is closed.

Since Linux 6.5 each layer is its own parameter. Before, all layers share one option string of at
most a page, and the new mount API takes only 256 bytes of it; so there the classic mount(2) puts
it on a directory for a moment, from which it is cloned and taken away again. Names in that string
go through a descriptor of the layers' common parent, which saves most of their length and needs
no chdir, which a process with threads must not do.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

_PAGE = 4096


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
    `target` is an empty directory of ours, needed on kernels before 6.5 only. Raises InvalidInput
    when such a kernel cannot take so many layers, OSError when the kernel refuses.
    """
    fs = linux.fsopen("overlay")
    try:
        linux.fsconfig_string(fs, "source", "overlay")  # what mount(8) shows first
        try:
            for lower in lowers:
                linux.fsconfig_string(fs, "lowerdir+", lower)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return mount_overlay_classic(
                linux, lowers, upper, work, target=target, volatile=volatile
            )
        if upper:
            linux.fsconfig_string(fs, "upperdir", upper)
            linux.fsconfig_string(fs, "workdir", work)
        if volatile:
            linux.fsconfig_flag(fs, "volatile")
        linux.fsconfig_create(fs)
        return linux.fsmount(fs, 0)
    finally:
        linux.close(fs)


def mount_overlay_classic(
    linux: Linux,
    lowers: Sequence[str],
    upper: str,
    work: str,
    *,
    target: str,
    volatile: bool,
) -> int:
    """The same on a kernel before 6.5."""
    base = os.path.commonpath([os.path.dirname(lower) for lower in lowers])
    base_fd = linux.openat2(c.AT_FDCWD, base, os.O_PATH | os.O_DIRECTORY, 0, 0)
    try:
        here = f"/proc/self/fd/{base_fd}"
        names = ":".join(f"{here}/{os.path.relpath(lower, base)}" for lower in lowers)
        data = f"lowerdir={names}" + (f",upperdir={upper},workdir={work}" if upper else "")
        data += ",volatile" if volatile else ""
        if len(data) >= _PAGE:
            raise InvalidInput(
                f"the image has {len(lowers)} layers, too many for this kernel",
                hint="Linux 6.5 and later have no such limit",
            )
        linux.mount("overlay", target, "overlay", 0, data)
    finally:
        linux.close(base_fd)
    try:
        return linux.open_tree(c.AT_FDCWD, target, c.OPEN_TREE_CLONE)
    finally:
        linux.umount(target, c.MNT_DETACH)
