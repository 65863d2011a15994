"""A layer's tar into a directory that overlayfs can use, by descriptors only.

Strategy: each member is made by name in its parent's descriptor, which is reached through real
directories of this layer, or through its links inside the layer's own root. What is in the way is
removed first and files are made O_EXCL, so nothing is ever written through. Directories get their
metadata at the end. Whiteouts become overlay's own. Whatever a layer says, nothing outside its
directory is touched, and a layer that is refused leaves the caller to remove one directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput, RemoteFailed
from dockmagic_runtime.images import overlay
from dockmagic_runtime.images.compression import Readable, decompressed
from dockmagic_runtime.images.limits import Limits, refusal
from dockmagic_runtime.images.tar.entry import (
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
from dockmagic_runtime.linux.remove_tree import remove_tree_at
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.linux.tree_size import tree_size

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORIES: Final = 96
_COPY: Final = 1 << 20
# what a member's name or kind can provoke; everything else (ENOSPC, EIO) is ours to suffer
_HOSTILE: Final = frozenset(
    (
        errno.ENOENT,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENOTDIR,
        errno.EINVAL,
        errno.EISDIR,
        errno.EMLINK,
    )
)
_NO_XATTR: Final = (errno.EOPNOTSUPP, errno.EPERM)


class Unpacked(Struct, frozen=True):
    """`diff_id` is the digest of the tar, `size` that of the tree, as `tree_size` counts."""

    diff_id: str
    size: int
    entries: int


class _Metadata(Struct):
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: dict[str, bytes] = field(default_factory=dict)


def unpack(
    stream: Readable,
    directory: str,
    *,
    expected_diff_id: str = "",
    lowers: Sequence[str] = (),
    limits: Limits | None = None,
    is_lenient: bool = False,
) -> Unpacked:
    """Unpack a layer, compressed or not, into the empty `directory` (a host path of ours).

    `lowers` are the directories of the layers below, topmost first: hard links may lead there.
    `is_lenient`: members that are the root itself and no directory are passed over, as by ADD.
    """
    limits = limits or Limits.configured()
    source = ByteStream(decompressed(stream), limits.size)
    with ExitStack() as stack:
        root = stack.enter_context(Root.at(directory))
        below = [stack.enter_context(Root.at(lower)) for lower in lowers]
        extractor = _Extractor(root, below, ArchiveReader(source, limits), limits.depth)
        extractor.is_lenient = is_lenient
        stack.callback(extractor.close)
        extractor.run()
        diff_id = source.drain()
    if expected_diff_id and diff_id != expected_diff_id:
        raise RemoteFailed(
            f"the layer is not the one its image names: got {diff_id}, expected {expected_diff_id}"
        )
    size = extractor.size if extractor.is_size_exact else tree_size(directory)
    return Unpacked(diff_id, size, extractor.entries)


def clean(name: str) -> str:
    """A member's name as a path below the root: no leading slash, `.` or `..`; "" is the root."""
    if "\0" in name:
        raise InvalidInput(f"{name!r} in the layer contains a NUL byte")
    if not any(mark in name for mark in ("//", "./", "/.")) and name not in (".", ".."):
        return name.strip("/")
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise InvalidInput(f"{name!r} in the layer leads out of it")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class _Extractor:
    """One unpacking: where it stands, which directories are open, what is still to be set."""

    def __init__(
        self, root: Root, lowers: Sequence[Root], reader: ArchiveReader, depth: int
    ) -> None:
        self._root = root
        self._lowers = lowers
        self._reader = reader
        self._depth = depth
        self._kernel = Kernel()
        self._may_chown = os.geteuid() == 0
        self._own = (os.geteuid(), os.getegid())
        self._open: dict[str, int] = {}  # path to O_PATH descriptor, oldest first
        self._through_links: set[str] = set()
        self._pending: dict[str, _Metadata] = {"": _Metadata(0o755, 0, 0, 0)}
        self.is_lenient = False
        self.size = 0
        self.is_size_exact = True  # else members have replaced one another
        self.entries = 0

    def close(self) -> None:
        self._forget_open()

    def run(self) -> None:
        for entry in self._reader:
            self.entries += 1
            try:
                self._apply(entry)
            except OSError as error:
                if error.errno in _HOSTILE:
                    reason = os.strerror(error.errno or 0)
                    raise InvalidInput(f"{entry.name!r} in the layer: {reason}") from None
                raise
        self._settle_directories()

    # --- members ---------------------------------------------------------------------------

    def _apply(self, entry: TarEntry) -> None:
        path = clean(entry.name)
        if path.count("/") > self._depth:
            raise refusal(f"the layer has more than {self._depth} directories in one", "depth")
        parent, _, name = path.rpartition("/")
        if overlay.WHITEOUT_PREFIX in path and self._is_mark(path, parent, name):
            return
        if name.startswith(overlay.WHITEOUT_PREFIX):
            self._white_out(entry, parent, name.removeprefix(overlay.WHITEOUT_PREFIX))
        elif entry.kind == DIRECTORY:
            self._directory(entry, path, parent, name)
        elif not name and self.is_lenient:
            return
        elif not name:
            raise InvalidInput(f"{entry.name!r} in the layer is its root, but no directory")
        elif entry.kind == REGULAR:
            self._file(entry, path, self._at(parent), name)
        elif entry.kind == LINK:
            self._link(entry, path, parent, name)
        else:
            self._special(entry, path, self._at(parent), name)

    def _is_mark(self, path: str, parent: str, name: str) -> bool:
        """Apply an opaque mark; leave out aufs's own bookkeeping. False if `path` is neither."""
        above = parent.split("/")
        if any(part.startswith(overlay.AUFS_PREFIX) for part in above):
            return True
        if any(part.startswith(overlay.WHITEOUT_PREFIX) for part in above):
            raise InvalidInput(f"{path!r} in the layer is below a whiteout")
        if name == overlay.OPAQUE_NAME:
            self._make_opaque(self._really_at(parent))
        return name.startswith(overlay.AUFS_PREFIX)

    def _directory(self, entry: TarEntry, path: str, parent: str, name: str) -> None:
        if name:
            self._make_directory(self._at(parent), path, name)
        self._pending[path] = _Metadata(
            entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.xattrs
        )

    def _make_directory(self, parent_fd: int, path: str, name: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        except FileExistsError:
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return
            self._remove(parent_fd, path, name)
            os.mkdir(name, 0o700, dir_fd=parent_fd)
            if overlay.is_whiteout(status):
                # deleted below and made anew here: what was below must not shine through
                fd = os.open(name, _PATH_DIRECTORY, dir_fd=parent_fd)
                try:
                    self._make_opaque(fd)
                finally:
                    os.close(fd)

    def _file(self, entry: TarEntry, path: str, parent_fd: int, name: str) -> None:
        fd = self._create(parent_fd, path, name)
        try:
            self._reader.copy(fd, entry)
            self._settle(fd, entry)
        finally:
            os.close(fd)
        self.size += entry.size

    def _create(self, parent_fd: int, path: str, name: str) -> int:
        try:
            return os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
        except FileExistsError:
            self._remove(parent_fd, path, name)
            return os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)

    def _special(self, entry: TarEntry, path: str, parent_fd: int, name: str) -> None:
        if self._exists(parent_fd, name):
            self._remove(parent_fd, path, name)
        if entry.kind == SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent_fd)
            self.size += len(os.fsencode(entry.link))
        elif not self._make_node(entry, parent_fd, name):
            return
        if self._may_chown and (entry.uid, entry.gid) != self._own:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
        if entry.kind != SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent_fd)
        self._set_xattrs_by_name(parent_fd, name, entry.xattrs)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent_fd, follow_symlinks=False)

    def _make_node(self, entry: TarEntry, parent_fd: int, name: str) -> bool:
        kinds = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR}
        mode = kinds.get(entry.kind, stat.S_IFBLK) | 0o600
        try:
            os.mknod(name, mode, entry.device, dir_fd=parent_fd)
        except PermissionError:
            if entry.kind == FIFO:
                raise
            return False  # a user namespace allows no devices; /dev is the engine's anyway
        return True

    # --- hard links ------------------------------------------------------------------------

    def _link(self, entry: TarEntry, path: str, parent: str, name: str) -> None:
        target = clean(entry.link)
        if target == path:
            raise InvalidInput(f"{entry.name!r} in the layer is a hard link to itself")
        source_fd, source = self._link_source(entry, target)
        parent_fd = self._at(parent)
        try:
            if self._exists(parent_fd, name):
                self._remove(parent_fd, path, name)
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(source_fd)

    def _link_source(self, entry: TarEntry, target: str) -> tuple[int, str]:
        """Directory and name of the link's target, which is brought up from below if need be."""
        try:
            fd, name = self._root.open_parent(target)
        except FileNotFoundError:
            fd, name = -1, ""
        if fd >= 0 and self._exists(fd, name):
            self._check_linkable(entry, os.stat(name, dir_fd=fd, follow_symlinks=False))
            return fd, name
        if fd >= 0:
            os.close(fd)
        self._copy_up(entry, target)
        return self._root.open_parent(target)

    def _check_linkable(self, entry: TarEntry, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode) or overlay.is_whiteout(status):
            raise InvalidInput(
                f"{entry.name!r} in the layer is a hard link to {entry.link!r}, which is no file"
            )

    def _copy_up(self, entry: TarEntry, target: str) -> None:
        """What overlayfs does before it links a file of a lower layer: copy it to this one."""
        self.is_size_exact = False
        for lower in self._lowers:
            try:
                status = lower.stat(target, follow=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            self._check_linkable(entry, status)
            parent, _, name = target.rpartition("/")
            if stat.S_ISLNK(status.st_mode):
                os.symlink(lower.readlink(target), name, dir_fd=self._at(parent))
            elif stat.S_ISREG(status.st_mode):
                self._copy_file(lower, target, status, self._at(parent), name)
            else:
                break
            return
        raise InvalidInput(
            f"{entry.name!r} in the layer is a hard link to {entry.link!r}, which is not there"
        )

    def _copy_file(
        self, lower: Root, target: str, status: os.stat_result, parent_fd: int, name: str
    ) -> None:
        source = lower.open(target, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
            try:
                while os.sendfile(fd, source, None, _COPY):
                    pass
                self._settle(fd, _metadata_of(status, overlay.xattrs(source, target)))
            finally:
                os.close(fd)
        finally:
            os.close(source)

    # --- whiteouts -------------------------------------------------------------------------

    def _white_out(self, entry: TarEntry, parent: str, name: str) -> None:
        if name in ("", ".", ".."):
            raise InvalidInput(f"{entry.name!r} in the layer is no whiteout")
        parent_fd = self._really_at(parent)
        try:
            overlay.make_whiteout(parent_fd, name)
        except FileExistsError:
            # the layer has the path itself, and a whiteout speaks of the layers below only
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                fd = os.open(name, _PATH_DIRECTORY, dir_fd=parent_fd)
                try:
                    self._make_opaque(fd)
                finally:
                    os.close(fd)

    def _really_at(self, path: str) -> int:
        fd = self._at(path)
        if _is_in(path, self._through_links):
            raise InvalidInput(f"a whiteout in the layer's {path!r} leads through a link")
        return fd

    def _make_opaque(self, fd: int) -> None:
        readable = os.open(".", _READ_DIRECTORY, dir_fd=fd)
        try:
            overlay.make_opaque(readable)
        finally:
            os.close(readable)

    # --- directories -----------------------------------------------------------------------

    def _at(self, path: str) -> int:
        """An O_PATH descriptor of the directory `path`, made if the layer has no member for it."""
        fd = self._open.get(path)
        if fd is not None:
            return fd
        parts = path.split("/") if path else []
        known = len(parts)
        while known and "/".join(parts[:known]) not in self._open:
            known -= 1
        reached = "/".join(parts[:known])
        fd = self._open.get(reached, -1)
        if fd < 0:
            fd = self._keep("", os.open(".", _PATH_DIRECTORY, dir_fd=self._root.fd))
        for name in parts[known:]:
            reached = f"{reached}/{name}" if reached else name
            fd = self._keep(reached, self._enter(fd, reached, name))
        return fd

    def _keep(self, path: str, fd: int) -> int:
        if len(self._open) >= _OPEN_DIRECTORIES:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
        self._open[path] = fd
        return fd

    def _enter(self, parent_fd: int, path: str, name: str) -> int:
        try:
            return os.open(name, _PATH_DIRECTORY, dir_fd=parent_fd)
        except FileNotFoundError:
            self._imply(parent_fd, path, name)
        except NotADirectoryError:
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                self._through_links.add(path)
                return self._root.mkdirs(path)
            if not overlay.is_whiteout(status):
                raise
            self._imply(parent_fd, path, name)
        return os.open(name, _PATH_DIRECTORY, dir_fd=parent_fd)

    def _imply(self, parent_fd: int, path: str, name: str) -> None:
        """Make a directory that has no member of its own: as it is below, or Docker's default.

        Overlay shows the topmost directory's metadata: a plain 0755 would change /tmp for all.
        """
        self._make_directory(parent_fd, path, name)
        self._pending.setdefault(path, self._as_below(path))

    def _as_below(self, path: str) -> _Metadata:
        for lower in self._lowers:
            try:
                fd = lower.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    break  # a file or a link is what is seen below
                raise
            try:
                return _metadata_of(os.fstat(fd), overlay.xattrs(fd, path))
            finally:
                os.close(fd)
        return _Metadata(0o755, 0, 0, 0)

    def _remove(self, parent_fd: int, path: str, name: str) -> None:
        """Remove what an earlier member made, and all we know about it."""
        self.is_size_exact = False
        remove_tree_at(parent_fd, name, self._kernel)
        gone = (path, *self._through_links)  # what was reached through links may be gone too
        for stale in [p for p, fd in self._open.items() if fd != parent_fd and _is_in(p, gone)]:
            os.close(self._open.pop(stale))
        self._pending = {p: m for p, m in self._pending.items() if not _is_in(p, (path,))}
        self._through_links = {p for p in self._through_links if not _is_in(p, (path,))}

    def _forget_open(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    @staticmethod
    def _exists(parent_fd: int, name: str) -> bool:
        try:
            os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    # --- metadata --------------------------------------------------------------------------

    def _settle_directories(self) -> None:
        for path, metadata in self._pending.items():
            try:
                fd = self._root.open(path, _READ_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it was reached through a link that a later member replaced
            try:
                self._settle(fd, metadata)
            finally:
                os.close(fd)

    def _settle(self, fd: int, metadata: TarEntry | _Metadata) -> None:
        """Owner, mode, attributes, times: in the order in which none undoes another."""
        if self._may_chown and (metadata.uid, metadata.gid) != self._own:
            os.fchown(fd, metadata.uid, metadata.gid)  # clears set-uid and capabilities
        os.fchmod(fd, metadata.mode)
        for name, value in metadata.xattrs.items():
            self._set_xattr(fd, name, value)
        os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))

    def _set_xattrs_by_name(self, parent_fd: int, name: str, xattrs: dict[str, bytes]) -> None:
        for key, value in xattrs.items():  # no call takes a descriptor and a name
            self._set_xattr(f"/proc/self/fd/{parent_fd}/{name}", key, value)

    def _set_xattr(self, target: int | str, name: str, value: bytes) -> None:
        if not overlay.is_portable(name):
            return
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            # as Docker: a file system or a user namespace without them is no reason to refuse
            if error.errno not in _NO_XATTR:
                raise


def _is_in(path: str, tops: Iterable[str]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def _metadata_of(status: os.stat_result, xattrs: dict[str, bytes]) -> _Metadata:
    return _Metadata(
        stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs
    )
