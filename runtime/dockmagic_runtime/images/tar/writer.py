"""A tree as a tar, chunk by chunk: a layer out of an overlay's upper directory, or a copy.

Strategy: the tree is walked by descriptors, parents first and names in order; no link is followed
and nothing but regular files is opened for reading. A tree may change while it is read: what has
vanished when its turn comes is left out, and a file has the size in its header. In a layer,
whiteouts and opaque directories become `.wh.` members; in a copy, the kernel's own file systems
(/proc, /sys) that are mounted in the tree are empty directories.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Generator, Iterator
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import overlay
from dockmagic_runtime.images.tar import header
from dockmagic_runtime.images.tar.entry import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    LINK,
    REGULAR,
    SYMLINK,
    TarEntry,
)
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.directory_stack import DirectoryStack
from dockmagic_runtime.linux.syscalls import Kernel

CHUNK: Final = 1 << 18
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFIFO: FIFO,
}
_VANISHED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE)
KERNEL_FILE_SYSTEMS: Final = frozenset(
    (
        c.PROC_SUPER_MAGIC,
        c.SYSFS_MAGIC,
        c.CGROUP_SUPER_MAGIC,
        c.CGROUP2_SUPER_MAGIC,
        c.DEVPTS_SUPER_MAGIC,
        c.MQUEUE_MAGIC,
    )
)
Identity = tuple[int, int]  # device and inode
_File = tuple[int, int]  # a descriptor, and how much of it is wanted


class TreeArchive:
    """One tar. `size` are the bytes of the files and `entries` the members written so far."""

    def __init__(
        self,
        *,
        as_layer: bool = False,
        clamp_mtime: int | None = None,
        skip: Collection[Identity] = (),
    ) -> None:
        """Times later than `clamp_mtime` (seconds) become that; directories in `skip` stay
        empty."""
        self._as_layer = as_layer
        self._clamp = clamp_mtime
        self._skip = skip
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._links: dict[Identity, str] = {}
        self.size = 0
        self.entries = 0

    def below(self, fd: int) -> Generator[bytes, None, None]:
        """What is in the directory `fd`, without itself. The descriptor is not used up."""
        yield from self._walk(os.open(".", _READ | os.O_DIRECTORY, dir_fd=fd), "")
        yield self._end()

    def one(self, parent_fd: int, name: str, member: str) -> Iterator[bytes]:
        """`name` in the directory `parent_fd`, as the member `member`, with all that it holds.

        "." as the member makes its contents members of their own. Raises OSError if it is gone.
        """
        status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        file = self._add(parent_fd, name, member, status)
        if file is not None:
            yield from self._stream(*file)
        elif stat.S_ISDIR(status.st_mode) and not _is_kernels(parent_fd, name):
            top = os.open(name, _READ | os.O_DIRECTORY, dir_fd=parent_fd)
            yield from self._walk(top, member)
        yield self._end()

    def _end(self) -> bytes:
        self._write(bytes(2 * BLOCK))
        return self._take()

    # --- walking ---------------------------------------------------------------------------

    def _walk(self, top: int, path: str) -> Iterator[bytes]:
        """Uses up the descriptor `top`."""
        with DirectoryStack([top]) as way:
            # for each directory on the way: how long its path is, and which of its own are still
            # to be visited, last first
            levels: list[tuple[int, list[str]]] = [(len(path), [])]
            yield from self._level(top, path, levels[0][1])
            while levels:
                length, pending = levels[-1]
                path = path[:length]
                if not pending:
                    levels.pop()
                    if levels and not way.leave():
                        levels[-1][1].clear()
                    continue
                name = pending.pop()
                child = _open(name, way.fds[0], os.O_DIRECTORY)
                if child >= 0:
                    way.enter(name, [child])
                    path = _prefix(path) + name
                    levels.append((len(path), []))
                    yield from self._level(child, path, levels[-1][1])

    def _level(self, fd: int, path: str, pending: list[str]) -> Iterator[bytes]:
        """The entries of one directory; those to enter are added to `pending`, last first."""
        if self._as_layer and path and overlay.is_opaque(fd):
            self._mark(f"{path}/{overlay.OPAQUE_NAME}")
        device = 0 if self._as_layer else os.fstat(fd).st_dev
        with os.scandir(fd) as listing:
            entries = sorted(listing, key=_name)
        prefix = _prefix(path)
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            file = self._add(fd, entry.name, prefix + entry.name, status)
            if file is not None:
                yield from self._stream(*file)
            elif self._buffered >= CHUNK:
                yield self._take()
            if stat.S_ISDIR(status.st_mode) and self._is_entered(fd, entry.name, status, device):
                pending.append(entry.name)
        pending.reverse()

    def _is_entered(self, fd: int, name: str, status: os.stat_result, device: int) -> bool:
        if self._as_layer or status.st_dev == device:
            return True
        return (status.st_dev, status.st_ino) not in self._skip and not _is_kernels(fd, name)

    # --- members ---------------------------------------------------------------------------

    def _add(self, fd: int, name: str, path: str, status: os.stat_result) -> _File | None:
        """Write the member; a large file is left open for the caller to stream."""
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return None  # a socket lives no longer than the process that listens on it
        if self._as_layer and self._whiteout(name, path, status):
            return None
        if kind == REGULAR:
            return self._file(fd, name, path)
        entry = self._entry(path, kind, status)
        if kind == DIRECTORY:
            directory = _open(name, fd, os.O_DIRECTORY)
            if directory < 0:
                return None
            try:
                entry.xattrs = overlay.xattrs(directory, path)
            finally:
                os.close(directory)
            entry.name = _prefix(path)
        elif entry.kind == SYMLINK:
            entry.link = os.readlink(name, dir_fd=fd)
            self.size += status.st_size
        self._member(entry)
        return None

    def _whiteout(self, name: str, path: str, status: os.stat_result) -> bool:
        if name.startswith(overlay.WHITEOUT_PREFIX):
            raise InvalidInput(
                f"/{path} cannot be stored in an image",
                hint="names that begin with .wh. mean deleted files in a layer",
            )
        if not overlay.is_whiteout(status):
            return False
        parent, slash, name = path.rpartition("/")
        self._mark(f"{parent}{slash}{overlay.WHITEOUT_PREFIX}{name}")
        return True

    def _mark(self, path: str) -> None:
        """An empty member that stands for a whiteout or an opaque directory."""
        self._member(TarEntry(path, REGULAR, 0o600, 0, 0, 0, 0, "", 0))

    def _entry(self, path: str, kind: bytes, status: os.stat_result) -> TarEntry:
        """A member with the owner, mode and time of `status`; a further name becomes a link."""
        seconds = status.st_mtime_ns // header.SECOND
        if self._clamp is not None:
            seconds = min(seconds, self._clamp)
        link = ""
        if status.st_nlink > 1 and kind != DIRECTORY:
            link = self._links.setdefault((status.st_dev, status.st_ino), path)
        is_link = link not in ("", path)
        return TarEntry(
            path,
            LINK if is_link else kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size if kind == REGULAR and not is_link else 0,
            seconds * header.SECOND,
            link if is_link else "",
            status.st_rdev if kind in (CHARACTER, BLOCK_DEVICE) else 0,
        )

    def _file(self, parent_fd: int, name: str, path: str) -> _File | None:
        fd = _open(name, parent_fd)
        if fd < 0:
            return None
        is_open = True
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None  # something else has the name now
            entry = self._entry(path, REGULAR, status)
            if entry.kind == REGULAR:
                entry.xattrs = overlay.xattrs(fd, path)
            self._member(entry)
            self.size += entry.size
            if entry.size > CHUNK:
                is_open = False
                return fd, entry.size
            self._contents(fd, entry.size)
            return None
        finally:
            if is_open:
                os.close(fd)

    def _contents(self, fd: int, size: int) -> None:
        data = os.read(fd, size) if size else b""
        if len(data) < size:
            data = data.ljust(size, b"\0")  # see _stream
        self._write(data)
        if size % BLOCK:
            self._write(bytes(-size % BLOCK))

    def _stream(self, fd: int, size: int) -> Iterator[bytes]:
        """The contents of a large file. Uses up the descriptor."""
        try:
            left = size
            while left:
                data = os.read(fd, min(left, CHUNK))
                # the header is written: what a file loses meanwhile is made up by zeros, as in tar
                data = data or bytes(min(left, CHUNK))
                self._write(data)
                left -= len(data)
                yield self._take()
        finally:
            os.close(fd)
        self._write(bytes(-size % BLOCK))

    # --- output ----------------------------------------------------------------------------

    def _member(self, entry: TarEntry) -> None:
        self._write(header.member(entry))
        self.entries += 1

    def _write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._buffered += len(data)

    def _take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        return data


def _prefix(path: str) -> str:
    """What the names of a directory's entries begin with; "" is the top of a layer."""
    return path if path.endswith("/") or not path else f"{path}/"


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _open(name: str, dir_fd: int, flags: int = 0) -> int:
    """A readable descriptor; -1 for what has vanished or has become something else."""
    try:
        return os.open(name, _READ | flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in _VANISHED:
            return -1
        raise


def _is_kernels(fd: int, name: str) -> bool:
    """Whether a directory, which is a mount point, shows the kernel's state and no files."""
    directory = _open(name, fd, os.O_DIRECTORY)
    if directory < 0:
        return True  # gone: nothing to enter
    try:
        return Kernel().fstatfs_type(directory) in KERNEL_FILE_SYSTEMS
    finally:
        os.close(directory)
