"""Digests of files' contents, remembered while a file stays as it is.

A file that was changed so lately that a second change could carry the same time stamp is read
again, as git does with its index. The memory is the process's own, nothing of it is stored.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import Final

_RACY: Final = 2_000_000_000  # nanoseconds; coarser than the clock of any file system in use
_LIMIT: Final = 100_000
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
Identity = tuple[int, int, int, int, int]


class FileDigests:
    """SHA-256 of files by identity (device, inode, size, times)."""

    def __init__(self) -> None:
        self._known: dict[Identity, str] = {}
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


def open_file(parent_fd: int, name: str) -> int:
    """A readable descriptor of `name` in `parent_fd`, or of that descriptor itself if empty."""
    if name:
        return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=parent_fd)
    # an O_PATH descriptor is opened for reading by its link in /proc, which is the file itself
    return os.open(f"/proc/self/fd/{parent_fd}", _READ)


def _digest(parent_fd: int, name: str) -> str:
    with open(open_file(parent_fd, name), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
