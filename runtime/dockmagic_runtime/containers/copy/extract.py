"""Unpacks a tar into a directory in use: `cp` into a container, and from one onto the host.

Strategy: each member is created by name in its parent's descriptor. In a container, links on the
way are followed inside the container's root; on the host none is. Existing files are removed,
never written through, and new ones are created with O_EXCL. So nothing outside is touched,
whatever the archive contains and whatever another process swaps meanwhile. On the host the caller
owns new files: without `keep_owner` set-id bits and attributes are dropped, and existing
directories keep their mode (CVE-2021-41089).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.images import overlay
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.tar.entry import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    LINK,
    REGULAR,
    SYMLINK,
    ByteStream,
    TarEntry,
)
from dockmagic_runtime.images.tar.reader import ArchiveReader
from dockmagic_runtime.images.unpack import clean
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.directory_stack import LONGEST, TOO_DEEP
from dockmagic_runtime.linux.remove_tree import remove_tree_at
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORIES: Final = 64
_ATTEMPTS: Final = 8  # another process may put files in the way, but not without end
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_NO_XATTR: Final = (errno.EOPNOTSUPP, errno.EPERM)
_UNLIMITED: Final = Limits(size=1 << 62, entries=1 << 40, path=1 << 20)  # see _apply


class Destination(Struct, frozen=True, kw_only=True):
    """The directory `fd`; `shown` is its name in messages.

    `root` is the container's, in which the directory has the path `path`; None on the host.
    """

    fd: int
    shown: str
    root: Root | None = None
    path: str = ""


class Rules(Struct, frozen=True, kw_only=True):
    """`owner` becomes the owner of all files, if set; with `keep_owner` the archive's owners stay.

    With `keep_kinds`, a directory is not replaced by another kind of file, nor the reverse.
    """

    keep_owner: bool = True
    owner: tuple[int, int] | None = None
    keep_kinds: bool = True


def extract(chunks: Iterator[bytes], destination: Destination, rules: Rules) -> None:
    """Unpacks a tar. No chunk is empty.

    Raises InvalidInput for bytes that are no archive, Conflict for a file in the way.
    """
    source = ByteStream(chunks, _UNLIMITED.size, hashed=False)
    extractor = _Extractor(ArchiveReader(source, _UNLIMITED), destination, rules)
    try:
        extractor.run()
        source.drain()  # a writer must not find its reader gone
    finally:
        extractor.close()


class _Extractor:
    def __init__(self, reader: ArchiveReader, destination: Destination, rules: Rules) -> None:
        self._reader = reader
        self._to = destination
        self._rules = rules
        self._is_host = destination.root is None
        self._own = (os.geteuid(), os.getegid())
        self._umask = _umask()
        self._open: dict[str, int] = {}  # path to O_PATH descriptor, oldest first
        self._times: dict[str, int] = {}  # set when the directories are complete

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def run(self) -> None:
        for entry in self._reader:
            path = clean(entry.name)
            if not path:
                continue  # the destination itself is not changed
            try:
                self._apply(entry, path)
            except OSError as error:
                raise Conflict(
                    f"{self._shown(path)}: {os.strerror(error.errno or 0).lower()}"
                ) from error
        for path, time in self._times.items():
            self._set_directory_time(path, time)

    def _shown(self, path: str) -> str:
        return f"{self._to.shown.rstrip('/')}/{path}"

    def _apply(self, entry: TarEntry, path: str) -> None:
        if len(path) > LONGEST:  # keeping such paths would take all memory
            raise Conflict(f"{self._shown(path.partition('/')[0])} has {TOO_DEEP}")
        parent, _, name = path.rpartition("/")
        parent_fd = self._at(parent)
        if entry.kind == DIRECTORY:
            self._directory(entry, path, parent_fd, name)
        elif entry.kind == REGULAR:
            self._file(entry, path, parent_fd, name)
        else:
            self._bare(entry, path, parent_fd, name)

    # --- members ---------------------------------------------------------------------------

    def _file(self, entry: TarEntry, path: str, parent_fd: int, name: str) -> None:
        mode = self._mode(entry) & ~_SET_ID  # set after the owner
        for _ in range(_ATTEMPTS):
            try:
                fd = os.open(name, _NEW_FILE, mode, dir_fd=parent_fd)
                break
            except FileExistsError:
                self._make_way(path, parent_fd, name, is_directory=False)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        try:
            self._reader.copy(fd, entry)
            self._settle(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _directory(self, entry: TarEntry, path: str, parent_fd: int, name: str) -> None:
        is_new = True
        for _ in range(_ATTEMPTS):
            try:
                os.mkdir(name, self._mode(entry) & ~_SET_ID, dir_fd=parent_fd)
                break
            except FileExistsError:
                if self._make_way(path, parent_fd, name, is_directory=True):
                    is_new = False
                    break
        if not is_new and self._is_host:
            return
        fd = os.open(name, _READ_DIRECTORY, dir_fd=parent_fd)
        try:
            self._settle(fd, entry)
        finally:
            os.close(fd)
        self._times[path] = entry.mtime_ns

    def _bare(self, entry: TarEntry, path: str, parent_fd: int, name: str) -> None:
        for _ in range(_ATTEMPTS):
            try:
                self._make_bare(entry, parent_fd, name)
                break
            except FileExistsError:
                self._make_way(path, parent_fd, name, is_directory=False)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if entry.kind == LINK:
            return  # a hard link has the attributes of its file
        owner = self._owner(entry)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
        if entry.kind != SYMLINK:
            os.chmod(name, self._mode(entry), dir_fd=parent_fd)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent_fd, follow_symlinks=False)

    def _make_bare(self, entry: TarEntry, parent_fd: int, name: str) -> None:
        if entry.kind == SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent_fd)
        elif entry.kind == LINK:
            self._link(entry, parent_fd, name)
        else:
            kinds = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR}
            kind = kinds.get(entry.kind, stat.S_IFBLK)
            os.mknod(name, kind | 0o600, entry.device, dir_fd=parent_fd)

    def _link(self, entry: TarEntry, parent_fd: int, name: str) -> None:
        directory, _, source = clean(entry.link).rpartition("/")
        if not source:
            raise InvalidInput(f"{entry.name!r} is a hard link to a directory")
        parent = os.dup(parent_fd)  # opening the target may close the parent's descriptor
        try:
            os.link(
                source,
                name,
                src_dir_fd=self._at(directory),
                dst_dir_fd=parent,
                follow_symlinks=False,
            )
        finally:
            os.close(parent)

    def _make_way(self, path: str, parent_fd: int, name: str, *, is_directory: bool) -> bool:
        """Removes the file of that name; True for an existing directory where one is wanted."""
        try:
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False  # removed meanwhile
        was_directory = stat.S_ISDIR(status.st_mode)
        if was_directory and is_directory:
            return True
        if self._rules.keep_kinds and was_directory != is_directory:
            kinds = ("non-directory", "directory")
            raise Conflict(
                f'cannot overwrite {kinds[was_directory]} "{self._shown(path)}" '
                f'with {kinds[is_directory]} "{self._to.shown}"'
            )
        _refuse_mount_point(parent_fd, name)
        for below in [p for p in self._open if p == path or p.startswith(f"{path}/")]:
            os.close(self._open.pop(below))
        remove_tree_at(parent_fd, name, Kernel())
        return False

    # --- directories -----------------------------------------------------------------------

    def _at(self, path: str) -> int:
        """An O_PATH descriptor of the directory `path`, created if it is missing."""
        fd = self._open.get(path)
        if fd is not None:
            return fd
        if not path:
            return self._to.fd
        above = path  # the nearest ancestor that is open
        while above and above not in self._open:
            above = above.rpartition("/")[0]
        fd = self._open.get(above, self._to.fd)
        missing = path[len(above) :].strip("/").split("/")
        for name in missing:  # no recursion: the archive decides the depth
            above = f"{above}/{name}" if above else name
            fd = self._enter(fd, above, name)
            self._keep(above, fd)
        return fd

    def _keep(self, path: str, fd: int) -> None:
        if len(self._open) >= _OPEN_DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd

    def _enter(self, parent_fd: int, path: str, name: str) -> int:
        try:
            return os.open(name, _PATH_DIRECTORY, dir_fd=parent_fd)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        except NotADirectoryError:
            if self._to.root is None:
                raise
            # perhaps a link: /lib of the archive is /usr/lib of the container
            return self._to.root.open(f"{self._to.path}/{path}", os.O_PATH | os.O_DIRECTORY)
        return os.open(name, _PATH_DIRECTORY, dir_fd=parent_fd)

    def _set_directory_time(self, path: str, time: int) -> None:
        try:
            fd = os.open(".", _READ_DIRECTORY, dir_fd=self._at(path))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return  # a later member, or the container, has replaced the directory
            raise
        try:
            os.utime(fd, ns=(time, time))
        finally:
            os.close(fd)

    # --- metadata --------------------------------------------------------------------------

    def _owner(self, entry: TarEntry) -> tuple[int, int] | None:
        """The owner to set; None when the file has the right one already."""
        if self._rules.owner is not None:
            return self._rules.owner
        if not self._rules.keep_owner or (entry.uid, entry.gid) == self._own:
            return None
        return entry.uid, entry.gid

    def _mode(self, entry: TarEntry) -> int:
        if not self._is_host or self._rules.keep_owner:
            return entry.mode
        if entry.kind in (CHARACTER, BLOCK_DEVICE):
            return 0o600  # the host has no device cgroup that restricts access
        return entry.mode & ~_SET_ID

    def _settle(self, fd: int, entry: TarEntry) -> None:
        """Sets owner, mode and attributes, in an order in which no step undoes another."""
        owner, mode = self._owner(entry), self._mode(entry)
        if owner is not None:
            os.fchown(fd, *owner)  # clears set-id bits and capabilities
        if mode & (_SET_ID | self._umask) or entry.kind == DIRECTORY:
            os.fchmod(fd, mode)
        if entry.xattrs and not (self._is_host and not self._rules.keep_owner):
            self._set_xattrs(fd, entry.xattrs)

    @staticmethod
    def _set_xattrs(fd: int, xattrs: dict[str, bytes]) -> None:
        for name, value in xattrs.items():
            if not overlay.is_portable(name):
                continue
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno not in _NO_XATTR:  # as Docker: not a reason to fail
                    raise


def _refuse_mount_point(parent_fd: int, name: str) -> None:
    """Raises EBUSY for a mount point: from outside its namespace the kernel would detach it."""
    try:
        os.close(Kernel().openat2(parent_fd, name, os.O_PATH | os.O_NOFOLLOW, 0, c.RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name) from None
        if error.errno not in (errno.ENOENT, errno.ENOSYS, errno.EPERM):
            raise


def _umask() -> int:
    """The process's umask; os.umask would change it for a moment, for other threads too."""
    with open("/proc/self/status", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o777  # kernels before 4.7 do not show it
