"""File systems that are small, filled to the last block or inode, or read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KINDS = ("ext4 blocks of 4096", "ext4 blocks of 1024", "tmpfs", "ext4 inodes", "read-only")
_SIZES = (1 << 20, 1 << 16, 4096, 1024)


class SmallDisk:
    """A file system of its own at `path`; `exhaust` does to it what its kind says."""

    def __init__(self, kind: str, path: Path) -> None:
        self._kind = kind
        self.path = path
        self._filler = path / "filler"

    def exhaust(self, *, left: int = 0) -> None:
        """Leaves no block, except for `left` bytes, or no inode, or makes it read-only."""
        if self._kind == "read-only":
            self._remount("ro")
        elif self._kind == "ext4 inodes":
            self._use_inodes()
        else:
            self._use_blocks(left)

    def release(self) -> None:
        """As before."""
        if self._kind == "read-only":
            self._remount("rw")
        for path in self.path.glob("filler*"):
            path.unlink()

    def _remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", self.path], check=True)

    def _use_inodes(self) -> None:
        number = len(list(self.path.glob("filler*")))
        with suppress(OSError):
            while True:
                (self.path / f"filler{number}").touch(exist_ok=False)
                number += 1

    def _use_blocks(self, left: int) -> None:
        with self._filler.open("ab") as file:
            end = file.tell()
            for size in _SIZES:
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), end, size)
                        end += size
            os.ftruncate(file.fileno(), end - left)
            os.fsync(file.fileno())


@contextmanager
def small_disk(kind: str, directory: Path) -> Iterator[SmallDisk]:
    """Mounted below `directory` until the end of the block."""
    path, image = directory / "disk", directory / "disk.img"
    path.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", path], check=True)
    else:
        with image.open("wb") as file:
            file.truncate(96 << 20)
        options = ["-N", "2500"] if kind == "ext4 inodes" else []
        block = "1024" if kind.endswith("1024") else "4096"
        subprocess.run(["mkfs.ext4", "-q", "-b", block, *options, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, path], check=True)
    try:
        yield SmallDisk(kind, path)
    finally:
        subprocess.run(["umount", path], check=True)
        image.unlink(missing_ok=True)
