"""`cp`: a tar from a container, a tar into one, and `stat` of its paths.

A container's paths are resolved in its root, by descriptors, at each use: the container may swap
any of them at any moment. The descriptor decides what is read or written.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from dockmagic_runtime.containers.copy import paths
from dockmagic_runtime.containers.copy.extract import Destination, Rules, extract
from dockmagic_runtime.containers.copy.rootfs import Tree, open_tree
from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.images.compression import Readable, decompressed
from dockmagic_runtime.images.tar.writer import KERNEL_FILE_SYSTEMS, TreeArchive
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import PathStat
from dockmagic_runtime.sandbox import users


class TarStream(Closing):
    """A tar in chunks. It keeps the container's root open: read it to the end, or close it."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> TarStream:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        getattr(self._chunks, "close", _nothing)()  # a generator closes its descriptors
        self._close()


def _nothing() -> None:
    pass


def path_stat(starter: Starter, record: Record, path: str) -> PathStat:
    """The status of `path` in the container; a link is not followed. Raises NotFound."""
    path = paths.inside(path)
    with open_tree(starter, record) as tree, _located(tree.root, record, path) as located:
        return located.stat(path)


def copy_out(
    starter: Starter, record: Record, path: str, *, follow_link: bool = False, member: str = ""
) -> tuple[PathStat, TarStream]:
    """The tar of `path`; its first member is named `member` (default: the last part of `path`).

    Raises NotFound.
    """
    path = paths.inside(path)
    with ExitStack() as stack:
        tree = stack.enter_context(open_tree(starter, record))
        if follow_link and not paths.claims_directory(path):
            path = _followed(tree.root, path)
        located = stack.enter_context(_located(tree.root, record, path))
        archive = TreeArchive(skip=_devices(tree.root))
        events_of(starter.store, record).emit("archive-path")
        chunks = archive.one(located.parent, located.name, member or paths.base(path))
        return located.stat(path), TarStream(chunks, stack.pop_all().close)


def copy_in(
    starter: Starter,
    record: Record,
    path: str,
    tar: Readable,
    *,
    copy_uid_gid: bool = False,
    no_overwrite_dir_non_dir: bool = False,
) -> None:
    """Unpacks `tar`, which may be compressed, in the directory `path`, which has to exist.

    Owners are those of the archive; with `copy_uid_gid`, the container's user, if it has one.
    Raises NotFound, Conflict, InvalidInput.
    """
    path = paths.inside(path)
    with open_tree(starter, record, writable=True) as tree:
        fd = _directory(tree.root, record, path)
        try:
            _check_writable(tree, record, fd)
            events_of(starter.store, record).emit("extract-to-dir")
            owner = _user(tree.root, record) if copy_uid_gid and record.user else None
            extract(
                decompressed(tar),
                Destination(fd=fd, shown=path, root=tree.root, path=path),
                Rules(owner=owner, keep_kinds=no_overwrite_dir_non_dir),
            )
        finally:
            os.close(fd)


# ------------------------------------------------------------------ resolving


class _Located:
    """A name in a directory of the container, with its present status. Owns the descriptor."""

    def __init__(self, root: Root, parent: int, name: str) -> None:
        self._root = root
        self.parent = parent
        self.name = name
        self.status = os.stat(name, dir_fd=parent, follow_symlinks=False)

    def stat(self, path: str) -> PathStat:
        is_link = stat.S_ISLNK(self.status.st_mode)
        return PathStat(
            name=paths.base(path),
            size=self.status.st_size,
            mode=self.status.st_mode,
            mtime=self.status.st_mtime,
            link_target=_followed(self._root, path) if is_link else "",
        )

    def __enter__(self) -> _Located:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.parent)


def _located(root: Root, record: Record, path: str) -> _Located:
    """Resolves a path. A link at its end is followed only if the path claims a directory."""
    parent = -1
    try:
        if paths.claims_directory(path):
            parent, name = root.open(path, os.O_PATH | os.O_DIRECTORY), "."
        else:
            parent, name = root.open_parent(path)
        if Kernel().fstatfs_type(parent) in KERNEL_FILE_SYSTEMS:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return _Located(root, parent, name)
    except OSError as error:
        if parent >= 0:
            os.close(parent)
        raise _failure(error, record, path) from error


def _failure(error: OSError, record: Record, path: str) -> DockmagicError:
    if error.errno == errno.ENOTDIR and paths.claims_directory(path):
        return Conflict(f"lstat {path}: not a directory")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"Could not find the file {path} in container {record.name}")
    if error.errno == errno.ELOOP:
        return InvalidInput(f"evalSymlinksInScope: too many links in {path}")
    return Conflict(f"{path}: {os.strerror(error.errno or 0).lower()}")


def _followed(root: Root, path: str) -> str:
    def read_link(inner: str) -> str | None:
        try:
            return root.readlink(inner)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                return None
            raise

    return paths.follow(path, read_link)


def _devices(root: Root) -> tuple[tuple[int, int], ...]:
    """The /dev that the engine mounts in a running container: a copy of the root leaves it out."""
    top = os.fstat(root.fd)
    try:
        status = root.stat("dev", follow=False)
    except OSError:
        return ()
    return ((status.st_dev, status.st_ino),) if status.st_dev != top.st_dev else ()


def _directory(root: Root, record: Record, path: str) -> int:
    try:
        fd = root.open(path, os.O_PATH)
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            raise Conflict("extraction point is not a directory") from error
        raise _failure(error, record, path) from error
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise Conflict("extraction point is not a directory", hint=f"{path} in {record.name}")
    return fd


def _check_writable(tree: Tree, record: Record, fd: int) -> None:
    is_rootfs = os.fstat(fd).st_dev == os.fstat(tree.root.fd).st_dev
    if is_rootfs and record.spec.read_only:
        raise Conflict("container rootfs is marked read-only")
    # fstatvfs of an O_PATH descriptor works from Python 3.12 on only
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        if os.fstatvfs(readable).f_flag & os.ST_RDONLY:
            raise Conflict("mounted volume is marked read-only")
    finally:
        os.close(readable)


def _user(root: Root, record: Record) -> tuple[int, int]:
    identity = users.resolve(root, record.user)
    return identity.uid, identity.gid
