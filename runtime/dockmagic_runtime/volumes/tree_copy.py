"""Copies a directory tree with owners, modes, times, hard links and extended attributes.

It uses descriptors on both sides and follows no link. Neither side changes meanwhile: the source is
a read-only overlay of an image's layers, the target a new directory that no other process knows.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct, field

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 30
_NO_RANGE_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
# overlay's own marks are not the file's; labels of SELinux and the like are the host's
_PRIVATE: Final = ("trusted.overlay.", "user.overlay.")
_NO_XATTR: Final = (errno.EOPNOTSUPP, errno.EPERM, errno.ENODATA)


class TreeCopy(Struct):
    """One copy. `source` and `target` are readable descriptors of directories."""

    source: int
    target: int
    _linked: dict[tuple[int, int], str] = field(default_factory=dict)

    def run(self) -> None:
        """Copies the contents and attributes of the source to the target."""
        self._fill(self.source, self.target, "")
        copy_attributes(self.source, self.target)

    def _fill(self, source: int, target: int, path: str) -> None:
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            inside = f"{path}{name}"
            if stat.S_ISDIR(status.st_mode):
                self._directory(source, target, name, inside)
            elif not self._link(status, target, name, inside):
                _copy_entry(source, target, name, status)

    def _directory(self, source: int, target: int, name: str, path: str) -> None:
        below = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            os.mkdir(name, 0o700, dir_fd=target)
            copy = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                self._fill(below, copy, f"{path}/")
                copy_attributes(below, copy)  # after the contents, which change its time
            finally:
                os.close(copy)
        finally:
            os.close(below)

    def _link(self, status: os.stat_result, target: int, name: str, path: str) -> bool:
        """Creates a hard link when the file was copied under another name; whether it was."""
        if status.st_nlink < 2:
            return False
        first = self._linked.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            return False
        os.link(first, name, src_dir_fd=self.target, dst_dir_fd=target, follow_symlinks=False)
        return True


def _copy_entry(source: int, target: int, name: str, status: os.stat_result) -> None:
    """Copies anything but a directory."""
    if stat.S_ISREG(status.st_mode):
        _copy_file(source, target, name, status.st_size)
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: str, size: int) -> None:
    old = os.open(name, _FILE, dir_fd=source)
    try:
        new = os.open(name, _NEW, 0o600, dir_fd=target)
        try:
            for start, end in _data(old, size):
                _copy_range(old, new, start, end)
            os.ftruncate(new, size)  # a hole at the end
            copy_attributes(old, new)
        finally:
            os.close(new)
    finally:
        os.close(old)


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that are no holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        position = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, position


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    """Copies in the kernel, with shared blocks where the file system supports them."""
    try:
        while start < end:
            copied = os.copy_file_range(source, target, min(_CHUNK, end - start), start, start)
            if not copied:
                return
            start += copied
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            copied = os.sendfile(target, source, start, min(_CHUNK, end - start))
            if not copied:
                return
            start += copied


def copy_attributes(source: int, target: int, status: os.stat_result | None = None) -> None:
    """Copies owner, extended attributes, mode and times, in an order in which none undoes another.

    `status` is the source's earlier status, if it has changed since.
    """
    status = os.fstat(source) if status is None else status
    os.fchown(target, status.st_uid, status.st_gid)  # clears set-uid and capabilities
    for name in os.listxattr(source):
        if not name.startswith(_PRIVATE):
            _copy_xattr(source, target, name)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_xattr(source: int, target: int, name: str) -> None:
    try:
        os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        if error.errno not in _NO_XATTR:
            raise
