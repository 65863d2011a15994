"""Operations of the child for what the user mounts: binds, volumes, images, memory.

Strategy: as in `sandbox.mounts`. Where a source has to be opened before the child leaves the
host's namespaces (a server's file system needs the host's network, a shared mount the host's
peers), an operation does so early and keeps the descriptor for the one that places it.
"""

from __future__ import annotations

import binascii
import os
import stat
from typing import Any, ClassVar, Final

from dockmagic_runtime.errors import InvalidInput, NotFound, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.selective import Selective
from dockmagic_runtime.sandbox.filesystems import (
    attributes,
    configure,
    mount_failed,
    open_filesystem,
    settings,
)
from dockmagic_runtime.sandbox.mount_target import container_root, place
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation
from dockmagic_runtime.sandbox.overlay import mount_overlay
from dockmagic_runtime.sandbox.shared_mounts import clone_tmpfs
from dockmagic_runtime.sandbox.slots import Slot

PROPAGATION: Final = {
    "rprivate": c.MS_PRIVATE,
    "private": c.MS_PRIVATE,
    "rslave": c.MS_SLAVE,
    "slave": c.MS_SLAVE,
    "rshared": c.MS_SHARED,
    "shared": c.MS_SHARED,
}


_SECRET_ATTRIBUTES: Final = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC


_OPENED: Final = Slot[dict[str, Any]]("detached mounts by the target that each is for")


def _opened(context: Context) -> dict[str, Any]:
    return _OPENED.setdefault(context.slots, {})


# ------------------------------------------------------------------ opened early


@operation
class OpenVolume(UndoneByKernel, frozen=True):
    """The file system of a volume with driver options. Nothing of it is mounted on the host:
    it is gone when the container's last process is.

    A tmpfs has no name by which a second container could open it too; `peer` is a process of a
    container that has it, when that process began (`processes.start_of`), and where.
    """

    calls: ClassVar[tuple[str, ...]] = ("fsopen", "fsconfig", "fsmount")

    target: str
    mountpoint: str
    fstype: str
    source: str
    options: tuple[str, ...] = ()
    peer: tuple[int, int, str] = (0, 0, "")

    def describe(self) -> str:
        shared = f", shared with process {self.peer[0]}" if self.peer[0] else ""
        return f"open {self.source} ({self.fstype}) for the volume on {self.target}{shared}"

    def execute(self, context: Context) -> None:
        mount = clone_tmpfs(context.linux, *self.peer) if self.peer[0] else None
        _opened(context)[self.target] = self._open(context.linux) if mount is None else mount

    def _open(self, linux: Linux) -> int:
        try:
            return open_filesystem(linux, self.fstype, self.source, self.options)
        except OSError as error:
            raise mount_failed(self.mountpoint, self.source, error) from error


@operation
class OpenSharedSource(UndoneByKernel, frozen=True):
    """The source of a bind that shares mounts with the host: opened before the mounts of the new
    namespace are made private, while the host's mount is its peer."""

    calls: ClassVar[tuple[str, ...]] = ("open_tree OPEN_TREE_CLONE",)

    source: str
    target: str
    propagation: str
    recursive: bool = True

    def describe(self) -> str:
        return f"open {self.source} as the host shares it ({self.propagation})"

    def execute(self, context: Context) -> None:
        linux = context.linux
        fd = linux.openat2(c.AT_FDCWD, self.source, os.O_PATH, 0, 0)
        try:
            self._check(fd)
            mount = linux.open_tree(fd, "", c.AT_EMPTY_PATH | _clone(self.recursive))
        finally:
            linux.close(fd)
        _opened(context)[self.target] = mount

    def _check(self, fd: int) -> None:
        point, tags = _mount_of(fd)
        shared, slave = "shared:" in tags, "master:" in tags
        wanted = "shared" if self.propagation.endswith("shared") else "shared or slave"
        if not (shared or (slave and wanted != "shared")):
            raise InvalidInput(
                f"path {self.source} is mounted on {point} but it is not a {wanted} mount",
                hint=f"make it one first: mount --make-rshared {point}",
            )


def _mount_of(fd: int) -> tuple[str, str]:
    """Where the mount of an open file is attached, and the tags of its propagation."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as stream:
        facts = dict(line.split(":", 1) for line in stream)
    number = facts["mnt_id"].strip()
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            words = line.split(" ")
            if words[0] == number:
                return words[4], " ".join(words[6 : words.index("-")])
    return "/", ""


def _clone(recursive: bool) -> int:
    return c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if recursive else 0)


# ------------------------------------------------------------------ placed


@operation
class BindMount(UndoneByKernel, frozen=True):
    """A file or directory of the host (a volume is one too) inside the container.

    The source is opened by the host's name in the child's still unpivoted view, what is inside a
    volume (`subpath`) in-root; the target is resolved in-root and made if it is missing, through
    descriptors (CVE-2024-45310).
    """

    calls: ClassVar[tuple[str, ...]] = (
        "open_tree OPEN_TREE_CLONE",
        "mount_setattr",
        "openat2",
        "move_mount",
    )

    source: str
    target: str
    read_only: bool = False
    recursive: bool = True
    propagation: str = "rprivate"
    subpath: str = ""
    submounts_read_only: bool = True

    def describe(self) -> str:
        kind = "read-only " if self.read_only else ""
        source = f"{self.source}/{self.subpath}" if self.subpath else self.source
        return f"bind {source} {kind}to {self.target}"

    def execute(self, context: Context) -> None:
        linux = context.linux
        mount = self._open(context)
        linux.mount_setattr(
            mount, propagation=PROPAGATION[self.propagation], recursive=self.recursive
        )
        if self.read_only:
            deep = self.recursive and self.submounts_read_only
            linux.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY, recursive=deep)
        place(context, mount, _target(context, mount, self.source, self.target))

    def _open(self, context: Context) -> int:
        linux = context.linux
        opened: int | None = _opened(context).pop(self.target, None)
        if opened is not None:
            return _part(context, opened, self.subpath) if self.subpath else opened
        if not self.subpath:
            return linux.open_tree(c.AT_FDCWD, self.source, _clone(self.recursive))
        with Root.at(self.source, linux) as whole:
            return _clone_inside(linux, whole, self.subpath, self.source)


@operation
class MountImage(UndoneByKernel, frozen=True):
    """An image's files, read-only; `lowers` are its layers, topmost first.

    `scratch` is a directory of the Docker area, needed on kernels before 6.5 only.
    """

    calls: ClassVar[tuple[str, ...]] = ("fsopen overlay", "fsmount", "mount_setattr", "move_mount")

    source: str
    target: str
    lowers: tuple[str, ...]
    scratch: str
    subpath: str = ""

    def describe(self) -> str:
        part = f"{self.subpath} of " if self.subpath else ""
        return f"mount {part}image {self.source} read-only on {self.target}"

    def execute(self, context: Context) -> None:
        linux = context.linux
        if len(self.lowers) == 1:  # an overlay wants two
            mount = linux.open_tree(c.AT_FDCWD, self.lowers[0], c.OPEN_TREE_CLONE)
        else:
            mount = mount_overlay(linux, self.lowers, "", "", target=self.scratch)
        if self.subpath:
            mount = _part(context, mount, self.subpath)
        linux.mount_setattr(
            mount, set_=c.MOUNT_ATTR_RDONLY, propagation=c.MS_PRIVATE, recursive=False
        )
        place(context, mount, _target(context, mount, self.source, self.target))


@operation
class MountTree(UndoneByKernel, frozen=True):
    """Directories of the host as one tree for a build step; `lowers` topmost first.

    With `upper` and `work` it can be written to, and what is written goes there. `scratch` is as
    in `MountImage`. `subpath` is resolved in-root: a link in it leads nowhere but into the tree
    (CVE-2024-1753, CVE-2024-9407).
    """

    calls: ClassVar[tuple[str, ...]] = ("fsopen overlay", "fsmount", "openat2", "move_mount")

    name: str
    target: str
    lowers: tuple[str, ...]
    scratch: str
    upper: str = ""
    work: str = ""
    subpath: str = ""

    def describe(self) -> str:
        part = f"{self.subpath} of " if self.subpath else ""
        kind = "writable for this step" if self.upper else "read-only"
        return f"mount {part}{self.name} on {self.target}, {kind}"

    def execute(self, context: Context) -> None:
        linux = context.linux
        if len(self.lowers) == 1 and not self.upper:  # an overlay wants two
            mount = linux.open_tree(c.AT_FDCWD, self.lowers[0], c.OPEN_TREE_CLONE)
        else:
            mount = mount_overlay(
                linux, self.lowers, self.upper, self.work, target=self.scratch, volatile=True
            )
        if self.subpath:
            mount = _part(context, mount, self.subpath)
        attributes = 0 if self.upper else c.MOUNT_ATTR_RDONLY
        linux.mount_setattr(mount, set_=attributes, propagation=c.MS_PRIVATE, recursive=False)
        place(context, mount, _target(context, mount, self.name, self.target))


@operation
class MountSecret(Selective, UndoneByKernel, frozen=True):
    """A file in memory that only this container sees. Its contents are never on a disk: they come
    with the plan, over a socket, and are in neither its description nor its repr."""

    not_shown: ClassVar[frozenset[str]] = frozenset({"data"})

    calls: ClassVar[tuple[str, ...]] = ("fsopen tmpfs", "fsmount", "openat", "move_mount")

    id: str
    target: str
    data: str  # base64
    mode: int = 0o400
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        return f"put the secret {self.id} into memory and mount it on {self.target}, read-only"

    def execute(self, context: Context) -> None:
        linux = context.linux
        fs = linux.fsopen("tmpfs")
        try:
            linux.fsconfig_create(fs)
            mount = linux.fsmount(fs, _SECRET_ATTRIBUTES)
        finally:
            linux.close(fs)
        self._write(mount)
        mount = _part(context, mount, "secret")
        linux.mount_setattr(mount, set_=_SECRET_ATTRIBUTES | c.MOUNT_ATTR_RDONLY, recursive=False)
        place(context, mount, _target(context, mount, f"secret {self.id}", self.target))

    def _write(self, mount: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open("secret", flags, 0o600, dir_fd=mount), "wb") as stream:
            stream.write(binascii.a2b_base64(self.data))
            os.fchown(stream.fileno(), self.uid, self.gid)
            os.fchmod(stream.fileno(), self.mode)


@operation
class MountTmpfs(UndoneByKernel, frozen=True):
    """`--tmpfs`: a directory in memory, with the covered one's mode unless `options` have another.

    `options` are words of mount(8).
    """

    calls: ClassVar[tuple[str, ...]] = ("openat2", "fsopen tmpfs", "fsmount", "move_mount")

    target: str
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"mount tmpfs on {self.target} ({','.join(self.options)})"

    def execute(self, context: Context) -> None:
        linux, root = context.linux, container_root(context)
        words = settings(self.options)
        try:
            target = root.open(self.target, os.O_PATH | os.O_DIRECTORY)
            mode = stat.S_IMODE(os.fstat(target).st_mode)
        except FileNotFoundError:
            target, mode = root.mkdirs(self.target), 0o1777
        _refuse_proc(linux, target, "tmpfs", self.target)
        if not any(word.startswith("mode=") for word in words):
            words = [f"mode={mode:o}", *words]
        fs = linux.fsopen("tmpfs")
        try:
            linux.fsconfig_string(fs, "source", "tmpfs")  # what mount(8) shows first
            configure(linux, fs, words)
            linux.fsconfig_create(fs)
            mount = linux.fsmount(fs, attributes(self.options))
        finally:
            linux.close(fs)
        place(context, mount, target)


# ------------------------------------------------------------------ sources and targets


def _clone_inside(linux: Linux, whole: Root, subpath: str, name: str) -> int:
    """A detached mount of what is at `subpath`, resolved in-root."""
    try:
        fd = whole.open(subpath, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = os.strerror(error.errno or 0).lower()
        raise NotFound(f"cannot access path {name}/{subpath}: {reason}") from error
    try:
        return linux.open_tree(fd, "", c.AT_EMPTY_PATH | _clone(recursive=True))
    finally:
        linux.close(fd)


def _part(context: Context, mount: int, subpath: str) -> int:
    """A part of a detached mount, which is given back.

    Before Linux 6.15 a mount can be cloned only while it is attached; so for two calls it covers
    the container's root, which no process uses yet.
    """
    linux = context.linux
    linux.move_mount(mount, container_root(context).fd)
    try:
        with Root(os.dup(mount), linux) as whole:
            return _clone_inside(linux, whole, subpath, "")
    finally:
        linux.umount(f"/proc/self/fd/{mount}", c.MNT_DETACH)
        linux.close(mount)


def _target(context: Context, mount: int, source: str, path: str) -> int:
    """The mount point: a directory for a directory, a file for anything else, made if missing."""
    root = container_root(context)
    is_directory = stat.S_ISDIR(os.fstat(mount).st_mode)
    try:
        target = root.mkdirs(path) if is_directory else root.touch(path)
    except NotADirectoryError as error:
        raise _mismatch(source, path) from error
    except (FileNotFoundError, PermissionError):
        _refuse_below_proc(context, source, path)
        raise
    if not is_directory and stat.S_ISDIR(os.fstat(target).st_mode):
        raise _mismatch(source, path)
    _refuse_proc(context.linux, target, source, path)
    return target


def _refuse_proc(linux: Linux, target: int, source: str, path: str) -> None:
    # asked of what the name led to: it may have led here by a link of the image
    if linux.fstatfs_type(target) == c.PROC_SUPER_MAGIC:
        raise InvalidInput(f"cannot mount {source} on {path}: it is inside /proc")


def _refuse_below_proc(context: Context, source: str, path: str) -> None:
    """Says so when nothing could be made at `path` because procfs is above it."""
    root, above = container_root(context), os.path.dirname(path)
    while above != os.path.dirname(above) and not root.exists(above):
        above = os.path.dirname(above)
    fd = root.open(above, os.O_PATH)
    try:
        _refuse_proc(context.linux, fd, source, path)
    finally:
        os.close(fd)


def _mismatch(source: str, path: str) -> StartFailed:
    return StartFailed(
        f'error mounting "{source}" to rootfs at "{path}": not a directory: Are you trying to '
        "mount a directory onto a file (or vice-versa)? Check if the specified host path exists "
        "and is the expected type",
        exit_code=127,
    )
