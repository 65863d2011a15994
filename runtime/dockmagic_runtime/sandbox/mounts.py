"""Operations of the child that give the container its own file system.

Strategy: every mount is made detached (`fsopen`/`fsmount`, `open_tree`) and moved onto a target
that was resolved to a file descriptor inside the container's root. No path of the container is
ever walked by name on the host, so there is no moment in which a symbolic link can redirect a
mount (CVE-2021-30465, CVE-2025-31133 and their kind). Nothing here needs an undo: the mounts go
with the child's mount namespace.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import ClassVar, Final

from dockmagic_runtime.errors import EngineBug, InvalidInput
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.sandbox.filesystems import attributes, configure
from dockmagic_runtime.sandbox.mount_target import container_root, place
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation
from dockmagic_runtime.sandbox.overlay import mount_overlay
from dockmagic_runtime.sandbox.shared_mounts import mount_namespace_of

# a file system made by us may be mounted on these names only if they are real directories:
# where an image's /proc is a link, the start fails before anything trusts it (CVE-2019-19921)
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@operation
class MakeMountsPrivate(UndoneByKernel, frozen=True):
    calls: ClassVar[tuple[str, ...]] = ("mount MS_REC|MS_PRIVATE",)

    def describe(self) -> str:
        return "make every mount private, so that nothing mounted from here on shows on the host"

    def execute(self, context: Context) -> None:
        context.linux.mount("none", "/", "", c.MS_REC | c.MS_PRIVATE, "")


@operation
class MountOverlay(UndoneByKernel, frozen=True):
    """The root: `lowers` topmost first; `target` is an empty directory of the Docker area."""

    calls: ClassVar[tuple[str, ...]] = ("fsopen overlay", "fsconfig", "fsmount", "move_mount")

    lowers: tuple[str, ...]
    upper: str
    work: str
    target: str
    volatile: bool = False

    def describe(self) -> str:
        return (
            f"mount an overlay of {len(self.lowers)} read-only layers "
            f"with {self.upper} on top as the container's own, writable one"
        )

    def execute(self, context: Context) -> None:
        linux = context.linux
        mount = mount_overlay(
            linux, self.lowers, self.upper, self.work, target=self.target, volatile=self.volatile
        )
        place(context, mount, linux.openat2(c.AT_FDCWD, self.target, _DIRECTORY, 0, 0))
        context.root = Root(linux.openat2(c.AT_FDCWD, self.target, _DIRECTORY, 0, 0), linux)


@operation
class MountFilesystem(UndoneByKernel, frozen=True):
    """A file system of the kernel's (proc, sysfs, tmpfs, devpts, mqueue) at a real directory.

    `settings` are its own options, "key=value" or "flag"; `options` the mount's attributes.
    """

    calls: ClassVar[tuple[str, ...]] = ("fsopen", "fsconfig", "fsmount", "openat2", "move_mount")

    fstype: str
    target: str
    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        options = ",".join((*self.options, *self.settings))
        return f"mount {self.fstype} on {self.target}" + (f" ({options})" if options else "")

    def execute(self, context: Context) -> None:
        context.linux.close(
            mount_filesystem(context, self.fstype, self.target, self.settings, self.options)
        )


def mount_filesystem(
    context: Context,
    fstype: str,
    target: str,
    settings: Sequence[str],
    options: Sequence[str],
) -> int:
    """A descriptor of the new mount's root, which stays the mount whatever covers `target`."""
    linux = context.linux
    fs = linux.fsopen(fstype)
    try:
        linux.fsconfig_string(fs, "source", fstype)  # what mount(8) shows first
        configure(linux, fs, settings)
        linux.fsconfig_create(fs)
        mount = linux.fsmount(fs, attributes(options))
    finally:
        linux.close(fs)
    point = _mount_point(context, target)
    try:
        linux.move_mount(mount, point)
    finally:
        linux.close(point)
    return mount


def _mount_point(context: Context, path: str) -> int:
    root = container_root(context)
    try:
        return context.linux.openat2(
            root.fd, path.lstrip("/"), _DIRECTORY, 0, c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise InvalidInput(
                f"the image's {path} is not a directory, nothing will be mounted on it",
                hint="a link there could lead anywhere, so the engine refuses it",
            ) from error
        if error.errno != errno.ENOENT:
            raise
    return root.mkdirs(path)


@operation
class MountCgroups(UndoneByKernel, frozen=True):
    """`mounts` are (file system, target, settings, attributes) in order, `links` (path, target).

    With a cgroup namespace, what is mounted here begins at the container's own group.
    """

    calls: ClassVar[tuple[str, ...]] = ("fsopen", "fsmount", "move_mount", "mount_setattr")

    mounts: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]
    links: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        return "show the container its own control groups, read-only, under /sys/fs/cgroup"

    def execute(self, context: Context) -> None:
        for fstype, target, settings, options in self.mounts:
            # the tmpfs that carries the trees must still take their mount points
            now = options if fstype != "tmpfs" else tuple(a for a in options if a != "ro")
            MountFilesystem(fstype, target, settings, now).execute(context)
        root = container_root(context)
        for path, target in self.links:
            parent, name = root.open_parent(path)
            try:
                context.linux.symlink(target, name, dir_fd=parent)
            finally:
                context.linux.close(parent)
        if len(self.mounts) > 1:
            top = _mount_point(context, self.mounts[0][1])
            try:
                context.linux.mount_setattr(top, set_=c.MOUNT_ATTR_RDONLY, recursive=False)
            finally:
                context.linux.close(top)


# name → (mode, major, minor); runc's and Docker's list
_DEVICES: Final = {
    "null": (0o666, 1, 3),
    "zero": (0o666, 1, 5),
    "full": (0o666, 1, 7),
    "random": (0o666, 1, 8),
    "urandom": (0o666, 1, 9),
    "tty": (0o666, 5, 0),
}
_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


@operation
class MakeDevices(UndoneByKernel, frozen=True):
    """Fill the tmpfs on /dev. Keeps a verified descriptor of the null device for the masks."""

    calls: ClassVar[tuple[str, ...]] = ("mknodat", "symlinkat")

    def describe(self) -> str:
        return f"make the devices {' '.join(_DEVICES)} and the links {' '.join(_LINKS)} in /dev"

    def execute(self, context: Context) -> None:
        linux = context.linux
        dev = linux.openat2(container_root(context).fd, "dev", _DIRECTORY, 0, c.RESOLVE_NO_SYMLINKS)
        try:
            for name, (mode, major, minor) in _DEVICES.items():
                linux.mknod(name, stat.S_IFCHR | mode, os.makedev(major, minor), dir_fd=dev)
            for name, target in _LINKS.items():
                linux.symlink(target, name, dir_fd=dev)
            context.null_fd = linux.openat2(
                dev, "null", os.O_PATH | os.O_NOFOLLOW, 0, c.RESOLVE_NO_SYMLINKS
            )
        finally:
            linux.close(dev)


@operation
class BindFromContainer(UndoneByKernel, frozen=True):
    """A mount of another container (`--ipc container:NAME` shares its /dev/shm).

    The child enters that container's mount namespace for it: see `sandbox.shared_mounts`.
    """

    calls: ClassVar[tuple[str, ...]] = ("setns", "open_tree OPEN_TREE_CLONE", "move_mount")

    pid: int
    path: str

    def describe(self) -> str:
        return f"share {self.path} with process {self.pid}"

    def execute(self, context: Context) -> None:
        linux = context.linux
        with mount_namespace_of(linux, self.pid):
            # that container decides what lies at the path: no link of it is followed
            fd = linux.openat2(c.AT_FDCWD, self.path, _DIRECTORY, 0, c.RESOLVE_NO_SYMLINKS)
            try:
                mount = linux.open_tree(fd, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
            finally:
                linux.close(fd)
        place(context, mount, _mount_point(context, self.path))


@operation
class MaskPaths(UndoneByKernel, frozen=True):
    """Hide what reveals the host: files behind the null device, directories behind an empty
    read-only tmpfs. The source is the descriptor of our own node (CVE-2025-31133)."""

    calls: ClassVar[tuple[str, ...]] = ("openat2", "open_tree OPEN_TREE_CLONE", "move_mount")

    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"hide {' '.join(self.paths)}"

    def execute(self, context: Context) -> None:
        linux = context.linux
        null = os.fstat(context.null_fd)
        if not stat.S_ISCHR(null.st_mode) or null.st_rdev != os.makedev(1, 3):
            raise EngineBug("/dev/null is not the null device that was made a moment ago")
        for path in self.paths:
            target = _existing(context, path)
            if target is None:
                continue
            if stat.S_ISDIR(os.fstat(target).st_mode):
                mount = _empty_tmpfs(linux)
            else:
                mount = linux.open_tree(context.null_fd, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
            place(context, mount, target)


def _existing(context: Context, path: str) -> int | None:
    try:
        return context.linux.openat2(
            container_root(context).fd,
            path.lstrip("/"),
            os.O_PATH,
            0,
            c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS,
        )
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return None  # this kernel has no such file
        raise


def _empty_tmpfs(linux: Linux) -> int:
    fs = linux.fsopen("tmpfs")
    try:
        linux.fsconfig_string(fs, "size", "0")
        linux.fsconfig_create(fs)
        return linux.fsmount(fs, c.MOUNT_ATTR_RDONLY)
    finally:
        linux.close(fs)


@operation
class MakeReadOnly(UndoneByKernel, frozen=True):
    """Cover paths with a read-only view of themselves."""

    calls: ClassVar[tuple[str, ...]] = (
        "open_tree OPEN_TREE_CLONE",
        "mount_setattr MOUNT_ATTR_RDONLY",
        "move_mount",
    )

    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"make {' '.join(self.paths)} read-only"

    def execute(self, context: Context) -> None:
        linux = context.linux
        for path in self.paths:
            target = _existing(context, path)
            if target is None:
                continue
            mount = linux.open_tree(
                target, "", c.OPEN_TREE_CLONE | c.AT_RECURSIVE | c.AT_EMPTY_PATH
            )
            linux.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY, recursive=True)
            place(context, mount, target)


@operation
class MakeRootReadOnly(UndoneByKernel, frozen=True):
    """`--read-only`: the overlay itself; what is mounted on it keeps its own setting."""

    calls: ClassVar[tuple[str, ...]] = ("mount_setattr MOUNT_ATTR_RDONLY",)

    def describe(self) -> str:
        return "make the root file system read-only"

    def execute(self, context: Context) -> None:
        # by "/" after the pivot, not by the root's descriptor: a bind over it would not count
        fd = context.linux.openat2(c.AT_FDCWD, "/", _DIRECTORY, 0, 0)
        try:
            context.linux.mount_setattr(fd, set_=c.MOUNT_ATTR_RDONLY, recursive=False)
        finally:
            context.linux.close(fd)


@operation
class PivotRoot(UndoneByKernel, frozen=True):
    calls: ClassVar[tuple[str, ...]] = ("fchdir", "pivot_root", "umount2 MNT_DETACH")

    def describe(self) -> str:
        return "make the overlay the root directory and detach the host's"

    def execute(self, context: Context) -> None:
        linux = context.linux
        linux.fchdir(container_root(context).fd)
        linux.pivot_root(".", ".")
        # both roots are now stacked on "."; the old one is on top (pivot_root(2), NOTES)
        linux.umount(".", c.MNT_DETACH)
        linux.chdir("/")
