"""Where a path of an image comes from: what each layer says about it, with the difference.

The path is resolved as a container would resolve it: links on its way are followed inside the
image, the last part is not. Each layer's tree is entered by descriptors, one name at a time and
through no link, so a layer can lead nowhere but into itself. Contents are foreign: what is
read, compared and reported of them is bounded.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.images import overlay
from dockmagic_runtime.model.analysis import FileOrigin, FileVersion
from dockmagic_runtime.model.image import Image

HASHED: Final = 256 << 20  # bytes of a file that are read for its digest
COMPARED: Final = 256 << 10  # bytes of a text that is compared
_LINES: Final = 2000  # lines of one: comparing takes the square of them at worst
_SHOWN: Final = 400  # lines of a difference
_WIDTH: Final = 400  # characters of a line
_LINKS: Final = 40  # as many as the kernel follows
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TYPES: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class _Absence(Enum):
    UNTOUCHED = auto()  # the layer says nothing about the path
    REMOVED = auto()  # it takes away what is below


class _Entry(Struct, frozen=True):
    status: os.stat_result
    target: str = ""
    digest: str = ""
    text: tuple[str, ...] | None = None


def origin(
    image: Image, path: str, directories: Sequence[str], instructions: Sequence[str]
) -> FileOrigin:
    """`directories` are the layers' trees, lowest first, `instructions` what made them.

    Raises NotFound when no layer has the path, InvalidInput when it is none.
    """
    if not path or "\0" in path:
        raise InvalidInput(f"invalid path: {path!r}")
    with _opened(directories) as roots:
        parts = _resolve(roots, path)
        versions = tuple(_versions(roots, parts, instructions))
    real_path = f"/{'/'.join(parts)}"
    if not versions:
        raise NotFound(
            f"no layer of the image has {path}", hint="'layers --tree IMAGE' lists what they have"
        )
    return FileOrigin(image=image, path=path, real_path=real_path, versions=versions)


@contextmanager
def _opened(directories: Sequence[str]) -> Iterator[list[int]]:
    roots: list[int] = []
    try:
        for directory in directories:
            roots.append(os.open(directory, _DIRECTORY))
        yield roots
    finally:
        for fd in roots:
            os.close(fd)


def _resolve(roots: Sequence[int], path: str) -> list[str]:
    """The parts of `path` without `..` and without links before the last; missing ones stay."""
    left = path.split("/")[::-1]
    parts: list[str] = []
    links = 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            del parts[-1:]
            continue
        parts.append(name)
        if not any(part not in ("", ".") for part in left):
            break
        target = _link(roots, parts)
        if target is not None:
            links += 1
            if links > _LINKS:
                raise InvalidInput(f"too many levels of symbolic links: {path}")
            left += target.split("/")[::-1]
            parts = [] if target.startswith("/") else parts[:-1]
    return parts


def _link(roots: Sequence[int], parts: Sequence[str]) -> str | None:
    """Where the path leads, if what a container sees there is a link."""
    for root in reversed(roots):
        entry = _look(root, parts)
        if isinstance(entry, _Entry):
            return entry.target or None
        if entry is _Absence.REMOVED:
            return None
    return None


def _versions(
    roots: Sequence[int], parts: Sequence[str], instructions: Sequence[str]
) -> Iterator[FileVersion]:
    below: _Entry | None = None
    for number, (root, created_by) in enumerate(zip(roots, instructions, strict=True), 1):
        entry = _look(root, parts, read=True)
        if isinstance(entry, _Entry):
            kind = "C" if below else "A"
            if not (below and _is_same_directory(below, entry)):
                yield _version(number, created_by, kind, entry, below)
            below = entry
        elif entry is _Absence.REMOVED and below:
            yield FileVersion(layer=number, created_by=created_by, kind="D")
            below = None


def _is_same_directory(below: _Entry, entry: _Entry) -> bool:
    """A directory is in each layer that has something in it, mostly as it was."""
    first, second = below.status, entry.status
    return stat.S_ISDIR(first.st_mode) and (first.st_mode, first.st_uid, first.st_gid) == (
        second.st_mode,
        second.st_uid,
        second.st_gid,
    )


def _version(
    number: int, created_by: str, kind: str, entry: _Entry, below: _Entry | None
) -> FileVersion:
    status = entry.status
    return FileVersion(
        layer=number,
        created_by=created_by,
        kind=kind,
        type=_TYPES.get(stat.S_IFMT(status.st_mode), "unknown"),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=0 if stat.S_ISDIR(status.st_mode) else status.st_size,
        modified=status.st_mtime,
        digest=entry.digest,
        target=entry.target,
        diff=_difference(below, entry) if below else (),
    )


def _look(root: int, parts: Sequence[str], *, read: bool = False) -> _Entry | _Absence:
    """What one layer has at a path; with `read` also the contents of a file."""
    fd, absence = os.dup(root), _Absence.UNTOUCHED
    try:
        for name in parts[:-1]:
            status = _status(fd, name)
            if status is None:
                return absence
            if not stat.S_ISDIR(status.st_mode):
                return _Absence.REMOVED  # a whiteout or another thing in the directory's place
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
            if overlay.is_opaque(fd):
                absence = _Absence.REMOVED
        if not parts:
            return _Entry(os.fstat(fd))
        status = _status(fd, parts[-1])
        if status is None:
            return absence
        if overlay.is_whiteout(status):
            return _Absence.REMOVED
        return _entry(fd, parts[-1], status, read=read)
    finally:
        os.close(fd)


def _status(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


def _entry(fd: int, name: str, status: os.stat_result, *, read: bool) -> _Entry:
    if stat.S_ISLNK(status.st_mode):
        return _Entry(status, target=os.readlink(name, dir_fd=fd))
    if not read or not stat.S_ISREG(status.st_mode) or status.st_size > HASHED:
        return _Entry(status)
    digest, kept = hashlib.sha256(), bytearray()
    with open(os.open(name, _FILE, dir_fd=fd), "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            kept += chunk if len(kept) <= COMPARED else b""
    text = _text(bytes(kept)) if len(kept) <= COMPARED else None
    return _Entry(status, digest=f"sha256:{digest.hexdigest()}", text=text)


def _text(data: bytes) -> tuple[str, ...] | None:
    """The lines of a text; None for what is none, or too much to be compared."""
    if b"\0" in data or data.count(b"\n") >= _LINES:
        return None
    try:
        *lines, last = data.decode().split("\n")
    except UnicodeDecodeError:
        return None
    return (*lines, last, "\\ No newline at end of file") if last else tuple(lines)


def _difference(below: _Entry, entry: _Entry) -> tuple[str, ...]:
    if below.text is None or entry.text is None or below.text == entry.text:
        return ()
    from difflib import unified_diff

    lines = [line[:_WIDTH] for line in unified_diff(below.text, entry.text, lineterm="")]
    shown = lines[2 : _SHOWN + 2]  # the first two name files
    more = len(lines) - 2 - len(shown)
    return (*shown, f"… {more} more lines") if more else tuple(shown)
