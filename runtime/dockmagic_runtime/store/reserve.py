"""Room on the disk that is kept for the moment when there is none left.

SQLite needs new files to read its database (a wal-index of 32 KiB, which is mapped: a page of it
that finds no block on the disk ends the process with SIGBUS) and a few pages for each deletion. So
an area keeps files of its own that are deleted first: a small part lets every verb read, a large
one is given up only by what makes room. Each part also keeps some inodes. Both are taken back as
soon as there is room again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_READING: Final = ("reading", 256 << 10, 4)  # name, bytes, inodes
_REMOVING: Final = ("removing", 1 << 20, 24)
_PARTS: Final = (_READING, _REMOVING)
_LEAST: Final = 96 << 10  # bytes that opening a database and one small transaction take
_STEP: Final = 16 << 10
_LOW: Final = 4 << 20  # bytes; with more, nothing is tried
_LOW_INODES: Final = 256
_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Reserve:
    """The reserve of one area, in the directory `reserve` of its root. Any failure is no reserve:
    nothing is raised, since nothing but a full disk ever needs it."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._directory = f"{root}/reserve"

    def keep(self) -> None:
        """Takes what is missing, as far as the disk has room for it."""
        if all(self._is_whole(part) for part in _PARTS):
            return
        with suppress(OSError):
            os.makedirs(self._directory, 0o700, exist_ok=True)
            for part in _PARTS:
                self._take(part)

    def _is_whole(self, part: tuple[str, int, int]) -> bool:
        name, size, _ = part
        try:
            return os.stat(f"{self._directory}/{name}").st_size >= size
        except OSError:
            return False

    def _take(self, part: tuple[str, int, int]) -> None:
        """All of it, or as much as there is."""
        name, size, inodes = part
        if self._is_whole(part):
            return
        fd = os.open(f"{self._directory}/{name}", _FILE & ~os.O_EXCL, 0o600)
        try:
            for share in range(size, 0, -_STEP):
                with suppress(OSError):
                    os.posix_fallocate(fd, 0, share)
                    break
        finally:
            os.close(fd)
        for number in range(1, inodes):
            with suppress(FileExistsError):
                os.close(os.open(f"{self._directory}/{name}.{number}", _FILE, 0o600))

    def make_readable(self) -> None:
        """Gives up the small part if the disk has no room for SQLite's own files.

        Where that part is gone already, the large one.
        """
        if self._is_low() and not self._fits(_READING[1]):
            self._give_up(_READING)
            if not self._fits(_LEAST):
                self._give_up(_REMOVING)

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Inside, all of it is free if the disk is full; afterwards it is taken back."""
        if not self._is_low() or self._fits(_REMOVING[1]):
            yield
            return
        self._give_up(_READING)
        self._give_up(_REMOVING)
        try:
            yield
        finally:
            self.keep()

    def _is_low(self) -> bool:
        try:
            status = os.statvfs(self._root)
        except OSError:
            return False
        if status.f_flag & os.ST_RDONLY:
            return False
        few_inodes = bool(status.f_files) and status.f_favail < _LOW_INODES
        return few_inodes or status.f_bavail * status.f_frsize < _LOW

    def _fits(self, size: int) -> bool:
        """Whether so many bytes can be had: statvfs(2) counts blocks that ext4 gives to nothing."""
        try:
            fd = os.open(self._root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def _give_up(self, part: tuple[str, int, int]) -> None:
        name, _, inodes = part
        paths = [f"{self._directory}/{name}.{number}" for number in range(1, inodes)]
        for path in (f"{self._directory}/{name}", *paths):
            with suppress(OSError):
                os.unlink(path)
        with suppress(OSError):
            _commit(self._directory)


def _commit(directory: str) -> None:
    """ext4 gives freed blocks out again only after its journal's commit."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fill_holes(path: str, size: int) -> None:
    """Gives a file that other code has mapped its blocks, on a file system with small ones.

    SQLite writes one byte into each page of its wal-index. Where a page has several blocks, the
    others stay holes, and touching one on a full disk is SIGBUS. Another process does it: closing
    a descriptor of the file here would drop the locks that SQLite has on it.
    """
    with suppress(OSError):
        if os.statvfs(path).f_bsize < os.sysconf("SC_PAGE_SIZE"):
            command = ["fallocate", "-l", str(size), path]
            os.waitpid(os.posix_spawnp(command[0], command, os.environ), 0)
