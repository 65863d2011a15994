"""`Root`: the one way into a container's or an image's tree.

It owns a directory descriptor and resolves every path inside it, as if that directory were `/`:
absolute links, `..` and chains of both end inside. The kernel does that (openat2 with
RESOLVE_IN_ROOT); where openat2 is missing or forbidden, or was disturbed too often by renames,
`linux.resolve` does the same by hand. Descriptors returned are close-on-exec and the caller's.
The launcher imports this module: no pathlib, nothing heavy.
"""

from __future__ import annotations

import errno
import os
import stat as _stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.remove_tree import remove_tree_at
from dockmagic_runtime.linux.resolve import DIRECTORY, MakeDirectory, check, failure, resolve

if TYPE_CHECKING:
    from dockmagic_runtime.linux.directory_stack import DirectoryStack

_IN_ROOT: Final = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
_ATTEMPTS: Final = 16
_READ_LIMIT: Final = 16 * 1024 * 1024
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Root(Closing):
    """A directory that paths cannot leave. Owns `fd`; a context manager."""

    __slots__ = ("_by_hand", "_linux", "fd")

    def __init__(self, fd: int, linux: Linux | None = None) -> None:
        if linux is None:
            from dockmagic_runtime.linux.syscalls import Kernel

            linux = Kernel()
        self.fd = fd
        self._linux = linux
        self._by_hand = False

    @classmethod
    def at(cls, path: str, linux: Linux | None = None) -> Root:
        """The tree at a host path, which is resolved the host's way: for paths of ours only."""
        return cls(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), linux)

    def close(self) -> None:
        """Give the descriptor back. Closing twice is harmless."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """open(2) inside the root: links are followed unless O_NOFOLLOW is in `flags`.

        With O_CREAT, the directory is resolved first and the name is opened O_NOFOLLOW in it.
        """
        if flags & os.O_CREAT or self._by_hand:
            return self._open_by_hand(path, flags, mode)
        check(path)
        for _ in range(_ATTEMPTS):
            try:
                return self._linux.openat2(self.fd, path or ".", flags, 0, _IN_ROOT)
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.EPERM):
                    # EPERM may also be the file's own; then the walk meets it again
                    self._by_hand = error.errno == errno.ENOSYS
                    break
                if error.errno != errno.EAGAIN:  # EAGAIN: something was renamed under a `..`
                    raise
        return self._open_by_hand(path, flags, mode)

    def _open_by_hand(self, path: str, flags: int, mode: int) -> int:
        parent, name = resolve(self.fd, path, follow=not flags & os.O_NOFOLLOW)
        try:
            return _open_in(parent, name, flags, mode, path)
        finally:
            os.close(parent)

    def open_parent(self, path: str) -> tuple[int, str]:
        """The directory that holds `path`, and the last name, which is not followed.

        The name is "." when `path` is the root itself or ends in `.` or `..`: then the descriptor
        is the directory that is meant.
        """
        check(path)
        path = path.rstrip("/")
        parent, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            return self.open(path or ".", os.O_PATH | os.O_DIRECTORY), "."
        # a leading slash is lost in "/name": without it the path starts at the root as well
        return self.open(parent or ".", os.O_PATH | os.O_DIRECTORY), name

    def mkdirs(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> int:
        """An O_PATH descriptor of the directory `path`, made with all that is missing of it.

        Links on the way are followed inside the root, dangling ones by making their target. The
        owner is set when we are root; otherwise everything is ours anyway.
        """
        try:
            return self.open(path, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            fd, _ = resolve(self.fd, f"{path}/", follow=True, make=_maker(mode, uid, gid))
            return fd

    def touch(self, path: str, mode: int = 0o644) -> int:
        """An O_PATH descriptor of the file `path`, made empty with its directories if missing."""
        try:
            return self.open(path, os.O_PATH)
        except FileNotFoundError:
            parent, name = resolve(self.fd, path, follow=True, make=_maker(0o755, 0, 0))
        try:
            fd = _open_in(parent, name, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, mode, path)
            try:
                os.fchmod(fd, mode)  # the umask is the notebook's business, not the container's
            finally:
                os.close(fd)
            return _open_in(parent, name, os.O_PATH, 0, path)
        finally:
            os.close(parent)

    def stat(self, path: str, follow: bool = True) -> os.stat_result:
        fd = self.open(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether `path` leads to something; a dangling or looping link does not."""
        try:
            self.stat(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise
        return True

    def is_real_dir(self, path: str) -> bool:
        """Whether `path` is a directory itself, not a link to one."""
        try:
            return _stat.S_ISDIR(self.stat(path, follow=False).st_mode)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise

    def readlink(self, path: str) -> str:
        parent, name = self.open_parent(path)
        try:
            return os.readlink(name, dir_fd=parent)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(parent)

    def read(self, path: str, limit: int = _READ_LIMIT) -> bytes:
        """The bytes of a regular file; EFBIG beyond `limit`, EINVAL for anything else."""
        self._refuse_special(path)  # before opening: opening a device can do something
        with open(self._open_regular(path, os.O_RDONLY), "rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise failure(errno.EFBIG, path)
        return data

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Make or overwrite a regular file. `mode` is that of a new file."""
        is_new = not self.exists(path)
        if not is_new:
            self._refuse_special(path)
        fd = self._open_regular(path, os.O_WRONLY | os.O_CREAT, mode)
        with open(fd, "wb") as stream:
            os.ftruncate(fd, 0)
            if is_new:
                os.fchmod(fd, mode)
            stream.write(data)

    def _refuse_special(self, path: str) -> None:
        if not _stat.S_ISREG(self.stat(path).st_mode):
            raise failure(errno.EINVAL, path)

    def _open_regular(self, path: str, flags: int, mode: int = 0) -> int:
        # O_NONBLOCK: a fifo that took the file's place must not hold us
        fd = self.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, mode)
        if not _stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise failure(errno.EINVAL, path)
        return fd

    def scandir(self, path: str = ".") -> Iterator[os.DirEntry[str]]:
        """The entries of a directory. Ask an entry only while iterating, and never to follow:
        `entry.stat()` and `is_dir()` without `follow_symlinks=False` leave the root.
        """
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(fd) as entries:
                yield from entries
        finally:
            os.close(fd)

    def walk(
        self, path: str = ".", *, in_use: bool = False
    ) -> Iterator[tuple[str, int, list[os.DirEntry[str]]]]:
        """Every directory from `path` down, parents first: (relative path, fd, entries by name).

        Links are not entered. Removing a directory from the yielded list keeps the walk out of
        it. The descriptor and the entries' `stat` are good until the next step. Directories that
        are removed meanwhile are left out if the tree is `in_use`, else they are an error.
        """
        yield from _walk(self.open(path, os.O_RDONLY | os.O_DIRECTORY), in_use)

    def unlink(self, path: str) -> None:
        parent, name = self.open_parent(path)
        try:
            os.unlink(name, dir_fd=parent)
        finally:
            os.close(parent)

    def rmdir(self, path: str) -> None:
        parent, name = self.open_parent(path)
        try:
            os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)

    def remove_tree(self, path: str) -> None:
        """Remove whatever `path` is, a directory with all it holds; the root is only emptied.

        Links are removed, not followed. A mount point stops it with EXDEV.
        """
        parent, name = self.open_parent(path)
        try:
            remove_tree_at(parent, name, self._linux)
        finally:
            os.close(parent)

    def subroot(self, path: str) -> Root:
        """A root of its own at a directory inside this one."""
        return Root(self.open(path, os.O_PATH | os.O_DIRECTORY), self._linux)


def _open_in(parent: int, name: str, flags: int, mode: int, path: str) -> int:
    """Open `name` in `parent`, but no link of that name; errors speak of `path`."""
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _maker(mode: int, uid: int, gid: int) -> MakeDirectory:
    def make(parent: int, name: str) -> None:
        try:
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            return  # another process was faster: its directory is as good
        fd = os.open(name, DIRECTORY & ~os.O_PATH, dir_fd=parent)
        try:
            if os.geteuid() == 0:
                os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)  # whatever the umask took away
        finally:
            os.close(fd)

    return make


def _walk(top: int, in_use: bool) -> Iterator[tuple[str, int, list[os.DirEntry[str]]]]:
    from dockmagic_runtime.linux.directory_stack import DirectoryStack  # the launcher does not walk

    # for each directory on the way: how long its path is, and which of its own are still to be
    # visited, last first
    levels: list[tuple[int, list[str]]] = [(0, [])]
    path, fd = "", top
    with DirectoryStack([top]) as way:
        while levels:
            length, pending = levels[-1]
            if fd >= 0:
                with os.scandir(fd) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
                yield path, fd, entries
                pending += [e.name for e in reversed(entries) if e.is_dir(follow_symlinks=False)]
            path, fd = path[:length], -1
            if pending:
                name = pending.pop()
                fd = _enter(way, name, in_use)
                if fd >= 0:
                    path = f"{path}/{name}" if path else name
                    levels.append((len(path), []))
                continue
            levels.pop()
            if levels and not way.leave():
                if not in_use:
                    raise failure(errno.ENOENT, path[: levels[-1][0]])
                levels[-1][1].clear()


def _enter(way: DirectoryStack, name: str, in_use: bool) -> int:
    """Open the directory; -1 if it is no longer there."""
    try:
        fd = os.open(name, DIRECTORY & ~os.O_PATH, dir_fd=way.fds[0])
    except OSError as error:
        if in_use and error.errno in _ABSENT:
            return -1
        raise
    way.enter(name, [fd])
    return fd
