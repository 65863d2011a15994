"""Copying into the tree of a step: files, directories, links, with Docker's rules for the target.

Every name is made in a descriptor of its directory, which was reached inside the target's `Root`;
what is in the way is removed, nothing is written through. Modes, owners, times and attributes are
set on descriptors, in the order in which none undoes another.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.builder.context.file_digests import open_file
from dockmagic_runtime.builder.context.tree import Item, Source, SourceTree
from dockmagic_runtime.builder.plan.chmod import Mode
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.overlay import is_portable
from dockmagic_runtime.linux.root import Root

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 30
_NO_RANGE_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)
_NO_XATTR: Final = (errno.EOPNOTSUPP, errno.EPERM)
_MAX_LINKS: Final = 40
_HOST_MODES: Final = 0o1777
Owner = tuple[int, int]


class Transfer(Struct):
    """One COPY's way of writing. `owner` None keeps the source's, `mode` None too.

    `is_bare`: there are no layers below, the target is the new layer's own directory. `replaces`:
    what comes takes the place of what has its name, whatever the kinds: an archive's members do.
    """

    target: Root
    owner: Owner | None
    mode: Mode | None = None
    is_bare: bool = False
    replaces: bool = False
    for_host: bool = False  # no set-uid, no devices: the files leave the container world
    _links: dict[tuple[int, int], str] = field(default_factory=dict)

    def copy_with_parents(
        self, tree: SourceTree, source: Source, destination: str, *, excludes: IgnoreRules
    ) -> None:
        """`--parents`: below the directories that lead to it, which keep their modes."""
        parts = source.above.split("/") if source.above else []
        for count in range(1, len(parts) + 1):
            below = posixpath.join(*parts[:count])
            status = tree.root.stat(posixpath.join(source.pivot, below))
            place = posixpath.join(destination, below)
            is_new = not self._is_dir(place)
            os.close(self._open_directory(place))
            if is_new:
                self._settle_directory(place, Item("", -1, "", status))
        place = posixpath.join(destination, source.above)
        if source.is_dir:
            place = posixpath.join(place, source.name)
        self.copy(tree, source, place, into=True, excludes=excludes)

    def copy(
        self,
        tree: SourceTree,
        source: Source,
        destination: str,
        *,
        into: bool,
        excludes: IgnoreRules,
    ) -> None:
        """A directory's contents into `destination`, or a file to it or into it."""
        if source.is_dir:
            self._copy_tree(tree, source, destination, excludes)
            return
        directory, name = self.place(destination, source.name, into=into)
        with self._directory(directory) as fd:
            for item in tree.items(source, excludes):
                self._put(item, fd, directory, name)

    def make_new(self, destination: str) -> bool:
        """Makes the directory if nothing is there, and no link on the way to it; whether it did.

        In the upper directory of an overlay it then has the same path.
        """
        parts = destination.strip("/").split("/")
        above = [posixpath.join("/", *parts[:count]) for count in range(1, len(parts))]
        if not parts[0] or not all(self._is_plain(path) for path in above):
            return False
        try:
            self.target.stat(destination, follow=False)
        except FileNotFoundError:
            os.close(self._open_directory(destination))
            return True
        return False

    def _is_plain(self, path: str) -> bool:
        """A directory and no link to one, or nothing."""
        try:
            return stat.S_ISDIR(self.target.stat(path, follow=False).st_mode)
        except FileNotFoundError:
            return True

    def copy_to_new(
        self, tree: SourceTree, source: Source, destination: str, excludes: IgnoreRules
    ) -> None:
        """A directory's contents into one that `make_new` has made."""
        self._copy_tree(tree, source, destination, excludes, is_new=True)

    def write(self, name: str, data: bytes, destination: str, *, into: bool) -> None:
        """A heredoc's text as a file."""
        directory, name = self.place(destination, name, into=into)
        with self._directory(directory) as parent:
            fd = _create(parent, name, posixpath.join(directory, name))
            with os.fdopen(fd, "wb") as stream:
                stream.write(data)
                stream.flush()
                _chown(fd, self.owner or (0, 0))
                os.fchmod(fd, self.mode.of(0o644, is_dir=False) if self.mode else 0o644)

    def place(self, destination: str, name: str, *, into: bool) -> tuple[str, str]:
        """The directory and the name that a file goes to. An existing directory takes it in."""
        if into or self._is_dir(destination):
            return destination, name
        for _ in range(_MAX_LINKS):
            try:
                link = self.target.readlink(destination)
            except OSError:  # no link, or nothing: this is the place
                return posixpath.dirname(destination) or "/", posixpath.basename(destination)
            destination = posixpath.join(posixpath.dirname(destination), link)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), destination)

    def _is_dir(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(self.target.stat(path).st_mode)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise

    @contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        fd = self._open_directory(path)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_directory(self, path: str) -> int:
        """The directory, made with all that is missing: 0755, or the mode and owner asked for."""
        mode = self.mode.of(0o755, is_dir=True) if self.mode is not None else 0o755
        try:
            return self.target.mkdirs(path, mode, *(self.owner or (0, 0)))
        except NotADirectoryError:
            raise InvalidInput(f"cannot copy to non-directory: {path}") from None

    def _copy_tree(
        self,
        tree: SourceTree,
        source: Source,
        destination: str,
        excludes: IgnoreRules,
        *,
        is_new: bool = False,
    ) -> None:
        existed = not is_new and self._is_dir(destination)
        directories: list[tuple[str, Item]] = []
        current, fd = "", self._open_directory(destination)
        heirs = _heirs(fd)
        root_time: int | None = None
        try:
            for item in tree.items(source, excludes):
                if not item.path:
                    # of the source's own directory only the time is taken over, as in BuildKit
                    root_time = None if existed else item.status.st_mtime_ns
                    continue
                parent, _, name = item.path.rpartition("/")
                if parent != current:
                    os.close(fd)
                    fd = -1  # should opening the next one fail
                    current = parent
                    fd = self._open_directory(posixpath.join(destination, parent))
                    heirs = _heirs(fd)
                place = posixpath.join(destination, parent)
                if item.is_dir:
                    self._make_directory(item, fd, place, name)
                    directories.append((posixpath.join(place, name), item))
                else:
                    self._put(item, fd, place, name, heirs)
        finally:
            if fd >= 0:
                os.close(fd)
        # innermost first: writing into a directory changes its time
        for path, item in reversed(directories):
            self._settle_directory(path, item)
        if root_time is not None:
            self._set_time(destination, root_time)

    def _set_time(self, path: str, nanoseconds: int) -> None:
        fd = self.target.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.utime(fd, ns=(nanoseconds, nanoseconds))
        finally:
            os.close(fd)

    def _make_directory(self, item: Item, parent: int, place: str, name: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            path = posixpath.join(place, name)
            if self.replaces and not self.target.is_real_dir(path):
                os.unlink(name, dir_fd=parent)
                self._make_directory(item, parent, place, name)
            elif not self._is_dir(path):
                raise InvalidInput(f"cannot copy to non-directory: {path}") from None
        else:
            self._copy_xattrs_between(item, parent, name)

    def _copy_xattrs_between(self, item: Item, parent: int, name: str) -> None:
        """A directory's attributes, while its source is still open."""
        if item.parent_fd < 0:
            return
        source = os.open(
            item.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=item.parent_fd
        )
        try:
            if not os.listxattr(source):
                return
            target = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
            try:
                _copy_xattrs(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _settle_directory(self, path: str, item: Item) -> None:
        fd = self.target.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._settle(fd, item.status)
        finally:
            os.close(fd)

    def _settle(self, fd: int, status: os.stat_result) -> None:
        _chown(fd, self._owner(status))  # clears set-uid, so it comes first
        os.fchmod(fd, self._mode(status))
        os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _mode(self, status: os.stat_result) -> int:
        mode = stat.S_IMODE(status.st_mode)
        if self.mode is not None:
            mode = self.mode.of(mode, is_dir=stat.S_ISDIR(status.st_mode))
        return mode & _HOST_MODES if self.for_host else mode

    def _owner(self, status: os.stat_result) -> Owner:
        return self.owner if self.owner is not None else (status.st_uid, status.st_gid)

    def _put(
        self, item: Item, parent: int, place: str, name: str, heirs: Owner | None = None
    ) -> None:
        """Anything that is no directory. `heirs` is the owner of what is made in `parent`."""
        path = posixpath.join(place, name)
        if self.replaces and self.target.is_real_dir(path):
            self.target.remove_tree(path)
        if self._put_link(item, parent, name, path):
            return
        kind = stat.S_IFMT(item.status.st_mode)
        if kind == stat.S_IFREG:
            self._put_file(item, parent, name, path, heirs)
        elif kind == stat.S_IFLNK:
            _clear(parent, name, path)
            os.symlink(os.readlink(item.name, dir_fd=item.parent_fd), name, dir_fd=parent)
            self._settle_by_name(item.status, parent, name)
        elif kind != stat.S_IFSOCK and not self.for_host:  # a socket is nothing by itself
            _clear(parent, name, path)
            os.mknod(name, item.status.st_mode, item.status.st_rdev, dir_fd=parent)
            os.chmod(name, self._mode(item.status), dir_fd=parent)
            self._settle_by_name(item.status, parent, name)

    def _put_link(self, item: Item, parent: int, name: str, path: str) -> bool:
        """A further name of a file that was copied already stays a further name."""
        status = item.status
        if status.st_nlink < 2:
            return False
        known = self._links.setdefault((status.st_dev, status.st_ino), path)
        if known == path:
            return False
        _clear(parent, name, path)
        directory, first = self.target.open_parent(known)
        try:
            os.link(first, name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(directory)
        return True

    def _put_file(self, item: Item, parent: int, name: str, path: str, heirs: Owner | None) -> None:
        source = open_file(item.parent_fd, item.name)
        try:
            fd = _create(parent, name, path)
            try:
                _copy_bytes(source, fd, item.status.st_size)
                if (owner := self._owner(item.status)) != heirs:
                    _chown(fd, owner)
                _copy_xattrs(source, fd)
                os.fchmod(fd, self._mode(item.status))
                os.utime(fd, ns=(item.status.st_mtime_ns, item.status.st_mtime_ns))
            finally:
                os.close(fd)
        finally:
            os.close(source)

    def _settle_by_name(self, status: os.stat_result, parent: int, name: str) -> None:
        if os.geteuid() == 0:
            os.chown(name, *self._owner(status), dir_fd=parent, follow_symlinks=False)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def _chown(fd: int, owner: Owner) -> None:
    """Only as root: without root the files belong to the caller, which containers see as root."""
    if os.geteuid() == 0:
        os.fchown(fd, *owner)


def _create(parent: int, name: str, path: str) -> int:
    try:
        return os.open(name, _NEW, 0o600, dir_fd=parent)
    except FileExistsError:
        _clear(parent, name, path)
        return os.open(name, _NEW, 0o600, dir_fd=parent)


def _clear(parent: int, name: str, path: str) -> None:
    """Remove what has the name, unless it is a directory."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise InvalidInput(f"cannot overwrite directory {path} with a file") from None


def _heirs(directory: int) -> Owner | None:
    """The owner of a new file there; None where the directory passes its group on."""
    is_plain = not os.fstat(directory).st_mode & stat.S_ISGID
    return (os.geteuid(), os.getegid()) if is_plain else None


def _copy_bytes(source: int, target: int, size: int) -> None:
    """By the kernel: shared blocks where the file system can, else page by page. Most files are
    as long as they were, `size`, and are not asked for more."""
    if size == 0:
        size = -1  # a file of /proc says so, whatever is in it
    try:
        copied = count = os.copy_file_range(source, target, _CHUNK)
        while count and copied != size:
            count = os.copy_file_range(source, target, _CHUNK)
            copied += count
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
        copied = count = os.sendfile(target, source, None, _CHUNK)
        while count and copied != size:
            count = os.sendfile(target, source, None, _CHUNK)
            copied += count


def _copy_xattrs(source: int, target: int) -> None:
    for name in filter(is_portable, os.listxattr(source)):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in _NO_XATTR:
                raise
