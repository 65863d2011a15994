"""Digests of files' contents, remembered while a file stays as it is.

A file that was changed so lately that a second change could carry the same time stamp is read
again, as git does with its index. What is remembered of a large context outlives the process, in
one file for each context; a damaged or missing one only costs the reading.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.store.atomic import write_file

_RACY: Final = 2_000_000_000  # nanoseconds; coarser than the clock of any file system in use
_LIMIT: Final = 100_000
_WORTH: Final = 200  # files; fewer are read again faster than they are looked up
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SHARDS: Final = "*.digests"
# device, inode, size, and the times of contents and inode
Identity = tuple[int, int, int, int, int]
_Kept = list[tuple[Identity, bytes]]


class FileDigests:
    """SHA-256 of files by identity. With `path`, what is known is kept there."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[Identity, str] = _loaded(path) if path else {}
        self._saved = len(self._known)
        self._lock = threading.Lock()

    def of(self, parent_fd: int, name: str, status: os.stat_result) -> str:
        """The digest of `name` in the directory, or of the O_PATH descriptor itself if empty."""
        identity = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        known = self._known.get(identity)
        if known is not None:
            return known
        digest = _digest(parent_fd, name)
        if time.time_ns() - max(status.st_ctime_ns, status.st_mtime_ns) > _RACY:
            self._remember(identity, digest)
        return digest

    def _remember(self, identity: Identity, digest: str) -> None:
        with self._lock:
            if len(self._known) >= _LIMIT:
                self._known.clear()
            self._known[identity] = digest

    def save(self) -> None:
        """Keep what is new, if it is worth it. A rename: readers see the old or the new file."""
        with self._lock:
            if self._path is None or len(self._known) in range(_WORTH) or not self._is_new():
                return
            kept = [(identity, bytes.fromhex(digest)) for identity, digest in self._known.items()]
            self._saved = len(kept)
        self._path.parent.mkdir(0o700, exist_ok=True)
        write_file(str(self._path), msgspec.msgpack.encode(kept))

    def _is_new(self) -> bool:
        return len(self._known) != self._saved


class ContextDigests:
    """Those of all contexts, each under the identity of its directory, in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._lock = threading.Lock()
        self._contexts: dict[str, FileDigests] = {}

    def of(self, root: Root) -> FileDigests:
        status = os.fstat(root.fd)
        name = _SHARDS.replace("*", f"{status.st_dev:x}-{status.st_ino:x}")
        with self._lock:
            if name not in self._contexts:
                self._contexts[name] = FileDigests(self._directory / name)
            return self._contexts[name]

    def save(self) -> None:
        for context in list(self._contexts.values()):
            context.save()

    def forget(self) -> None:
        with self._lock:
            self._contexts.clear()
            for path in self._directory.glob(_SHARDS):
                path.unlink(missing_ok=True)


def _loaded(path: Path) -> dict[Identity, str]:
    try:
        kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {identity: digest.hex() for identity, digest in kept}


def open_file(parent_fd: int, name: str) -> int:
    """A readable descriptor of `name` in `parent_fd`, or of that descriptor itself if empty."""
    if name:
        return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=parent_fd)
    # an O_PATH descriptor is opened for reading by its link in /proc, which is the file itself
    return os.open(f"/proc/self/fd/{parent_fd}", _READ)


def _digest(parent_fd: int, name: str) -> str:
    with open(open_file(parent_fd, name), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
