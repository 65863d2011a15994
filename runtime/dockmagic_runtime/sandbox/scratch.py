"""An overlay with a disposable writable layer: to look at a container that does not run.

The container's own writable layer is the topmost of the lower ones, so nothing is written to it,
any number may look at once, and the container may be started meanwhile. A writable layer there
has to be nevertheless: mount points may have to be made in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar, Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation
from dockmagic_runtime.sandbox.overlay import mount_overlay

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@operation
class MountScratchOverlay(UndoneByKernel, frozen=True):
    """`lowers` topmost first; `target` is an empty directory of the Docker area."""

    calls: ClassVar[tuple[str, ...]] = ("fsopen tmpfs", "fsopen overlay", "fsmount", "move_mount")

    lowers: tuple[str, ...]
    target: str

    def describe(self) -> str:
        return f"mount an overlay of {len(self.lowers)} layers with an empty one in memory on top"

    def execute(self, context: Context) -> None:
        linux, target = context.linux, self.target
        _place(linux, _tmpfs(linux), target)
        for name in ("upper", "work", "root"):
            linux.mkdir(f"{target}/{name}", 0o755)
        upper, work, root = (f"{target}/{name}" for name in ("upper", "work", "root"))
        _copy_attributes(self.lowers, upper)
        _place(linux, mount_overlay(linux, self.lowers, upper, work, target=root), root)
        context.root = Root(linux.openat2(c.AT_FDCWD, root, _DIRECTORY, 0, 0), linux)


def _copy_attributes(lowers: Sequence[str], upper: str) -> None:
    """The upper directory decides owner and mode of the root: those of the topmost layer."""
    top = os.stat(lowers[0])
    os.chown(upper, top.st_uid, top.st_gid)
    os.chmod(upper, top.st_mode & 0o7777)


def _tmpfs(linux: Linux) -> int:
    fs = linux.fsopen("tmpfs")
    try:
        linux.fsconfig_create(fs)
        return linux.fsmount(fs, 0)
    finally:
        linux.close(fs)


def _place(linux: Linux, mount: int, path: str) -> None:
    target = linux.openat2(c.AT_FDCWD, path, _DIRECTORY, 0, 0)
    try:
        linux.move_mount(mount, target)
    finally:
        linux.close(target)
        linux.close(mount)
