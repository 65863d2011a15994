"""An overlay's upper directory (or a layer's) into the tar that the OCI image spec wants.

Deterministic: members sorted by name, numeric owners, whole seconds, no access times, extended
headers only where ustar is too small or for extended attributes. So the digest of the tar is a
function of the tree, and a layer kept unpacked can be packed again to the same diff id. Whiteouts
and opaque directories become `.wh.` members, files with several names hard links.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import Final, Protocol

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import archive, overlay, pax
from dockmagic_runtime.images.archive import Entry
from dockmagic_runtime.linux.root import Root

_CHUNK: Final = 1 << 18
_OCTAL_SIZE: Final = 8**11
_OCTAL_ID: Final = 8**7
_NAME: Final = 100
_PREFIX: Final = 155
_BLOCK: Final = 512
_SECOND: Final = 1_000_000_000
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFREG: archive.REGULAR,
    stat.S_IFLNK: archive.SYMLINK,
    stat.S_IFCHR: archive.CHARACTER,
    stat.S_IFBLK: archive.BLOCK_DEVICE,
    stat.S_IFDIR: archive.DIRECTORY,
    stat.S_IFIFO: archive.FIFO,
}


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Packed:
    """`diff_id` is the digest of the tar, `size` the bytes of the files in it."""

    diff_id: str
    size: int
    entries: int


def pack(directory: str, out: Writable | None = None, *, clamp_mtime: int | None = None) -> Packed:
    """Write the tar of `directory` (a host path of ours) to `out`, or only compute its digest.

    Times later than `clamp_mtime` (seconds) become that, as SOURCE_DATE_EPOCH asks for.
    """
    with Root.at(directory) as root:
        packer = _Packer(out, clamp_mtime)
        for path, fd, entries in root.walk():
            if path and overlay.is_opaque(fd):
                packer.add_mark(f"{path}/{overlay.OPAQUE_NAME}")
            for entry in entries:
                packer.add(fd, f"{path}/{entry.name}" if path else entry.name, entry)
        return packer.finish()


class _Packer:
    def __init__(self, out: Writable | None, clamp_mtime: int | None) -> None:
        self._out = out
        self._clamp = clamp_mtime
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._links: dict[tuple[int, int], str] = {}
        self._size = 0
        self._entries = 0

    def finish(self) -> Packed:
        self._write(bytes(2 * _BLOCK))
        self._flush()
        return Packed(f"sha256:{self._hash.hexdigest()}", self._size, self._entries)

    # --- members ---------------------------------------------------------------------------

    def add_mark(self, path: str) -> None:
        """An empty member that stands for a whiteout or an opaque directory."""
        self._member(Entry(path, archive.REGULAR, 0o600, 0, 0, 0, 0, "", 0))

    def add(self, parent_fd: int, path: str, found: os.DirEntry[str]) -> None:
        status = found.stat(follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return  # a socket lives no longer than the process that listens on it
        if found.name.startswith(overlay.WHITEOUT_PREFIX):
            raise InvalidInput(
                f"/{path} cannot be stored in an image",
                hint="names that begin with .wh. mean deleted files in a layer",
            )
        if overlay.is_whiteout(status):
            parent, slash, name = path.rpartition("/")
            self.add_mark(f"{parent}{slash}{overlay.WHITEOUT_PREFIX}{name}")
        elif kind == archive.REGULAR:
            self._file(parent_fd, found.name, path)
        else:
            self._bare(parent_fd, found.name, self._entry(path, kind, status), status)

    def _entry(self, path: str, kind: bytes, status: os.stat_result) -> Entry:
        """A member with the owner, mode and time of `status`; a further name becomes a link."""
        seconds = status.st_mtime_ns // _SECOND
        if self._clamp is not None:
            seconds = min(seconds, self._clamp)
        link = ""
        if status.st_nlink > 1 and kind != archive.DIRECTORY:
            link = self._links.setdefault((status.st_dev, status.st_ino), path)
        is_link = link not in ("", path)
        return Entry(
            path,
            archive.LINK if is_link else kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size if kind == archive.REGULAR and not is_link else 0,
            seconds * _SECOND,
            link if is_link else "",
            status.st_rdev,
        )

    def _bare(self, parent_fd: int, name: str, entry: Entry, status: os.stat_result) -> None:
        """What has no contents: directories, links, devices, fifos."""
        if entry.kind == archive.DIRECTORY:
            fd = os.open(name, _READ | os.O_DIRECTORY, dir_fd=parent_fd)
            try:
                entry.xattrs = overlay.xattrs(fd, entry.name)
            finally:
                os.close(fd)
            entry.name += "/"
        elif entry.kind == archive.SYMLINK:
            entry.link = os.readlink(name, dir_fd=parent_fd)
        self._member(entry)

    def _file(self, parent_fd: int, name: str, path: str) -> None:
        fd = os.open(name, _READ, dir_fd=parent_fd)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput(f"/{path} changed while it was read")
            entry = self._entry(path, archive.REGULAR, status)
            if entry.kind == archive.REGULAR:
                entry.xattrs = overlay.xattrs(fd, path)
            self._member(entry)
            self._contents(fd, entry.size)
        finally:
            os.close(fd)
        self._size += entry.size

    def _contents(self, fd: int, size: int) -> None:
        left = size
        while left:
            data = os.read(fd, min(left, _CHUNK))
            # the header is written: what a file loses meanwhile is made up by zeros, as tar does
            data = data or bytes(min(left, _CHUNK))
            self._write(data)
            left -= len(data)
        if size % _BLOCK:
            self._write(bytes(-size % _BLOCK))

    # --- headers ---------------------------------------------------------------------------

    def _member(self, entry: Entry) -> None:
        records = {pax.xattr_key(key): value for key, value in entry.xattrs.items()}
        header = _header(entry, records)
        if records:
            data = b"".join(pax.record(key, records[key]) for key in sorted(records))
            extra = Entry("PaxHeaders/0", b"x", 0o644, 0, 0, len(data), 0, "", 0)
            self._write(_header(extra, {}))
            self._write(data + bytes(-len(data) % _BLOCK))
        self._write(header)
        self._entries += 1

    # --- output ----------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pieces)
        self._hash.update(data)
        if self._out is not None:
            self._out.write(data)
        self._pieces.clear()
        self._buffered = 0


def _split(name: bytes, records: dict[str, bytes]) -> tuple[bytes, bytes]:
    """ustar's prefix and name for a long path, or a PAX record where no slash is in reach."""
    cut = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if cut > 0 and len(name) - cut - 1 <= _NAME:
        return name[:cut], name[cut + 1 :]
    records["path"] = name
    return b"", name[:_NAME]


def _fitting(key: str, value: int, limit: int, records: dict[str, bytes]) -> int:
    """The value if its field can hold it, else 0 and a record."""
    if 0 <= value < limit:
        return value
    records[key] = str(value).encode()
    return 0


def _header(entry: Entry, records: dict[str, bytes]) -> bytes:
    """A ustar header; what does not fit into it is added to `records`."""
    name, link, prefix = os.fsencode(entry.name), os.fsencode(entry.link), b""
    if len(name) > _NAME:
        prefix, name = _split(name, records)
    if len(link) > _NAME:
        records["linkpath"], link = link, link[:_NAME]
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name.ljust(_NAME, b"\0"),
        entry.mode,
        _fitting("uid", entry.uid, _OCTAL_ID, records),
        _fitting("gid", entry.gid, _OCTAL_ID, records),
        _fitting("size", entry.size, _OCTAL_SIZE, records),
        _fitting("mtime", entry.mtime_ns // _SECOND, _OCTAL_SIZE, records),
    )
    tail = b"%b%bustar\x0000%b%07o\0%07o\0%b" % (
        entry.kind,
        link.ljust(_NAME, b"\0"),
        bytes(64),  # user and group have no names
        os.major(entry.device),
        os.minor(entry.device),
        prefix.ljust(_PREFIX + 12, b"\0"),
    )
    return b"%b%06o\0 %b" % (head, sum(head) + sum(tail) + 8 * 0x20, tail)
