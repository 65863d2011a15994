"""A build's own directory in the Docker area: made when first needed, gone with the build.

It is locked while its build lives. What a killed build left is removed by the next one that
needs a directory: a lock ends with its process, however that ended.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.store import locks

_PREFIX: Final = "build-"
_YOUNG: Final = 60.0  # seconds; a younger one may not have its lock yet


class OverlayDirectories(Struct, frozen=True):
    """An overlay's writable half, empty, on the layers' own file system."""

    upper: str
    work: str


class Scratch:
    """`parent` is the area's directory for temporary files."""

    def __init__(self, parent: str) -> None:
        self._parent = Path(parent)
        self._path: Path | None = None
        self._lock = -1
        self._count = 0
        self._mutex = threading.Lock()  # stages are built side by side

    def close(self) -> None:
        if self._path is not None:
            remove_tree(str(self._path))
            os.close(self._lock)
            self._path = None

    def directory(self) -> Path:
        """A new empty directory, 0755 as the root of a tree is, whatever the umask says."""
        with self._mutex:
            if self._path is None:
                self._path = self._prepared()
            self._count += 1
            path = self._path / str(self._count)
        path.mkdir()
        path.chmod(0o755)
        return path

    def _prepared(self) -> Path:
        self._parent.mkdir(0o700, parents=True, exist_ok=True)
        _sweep(self._parent)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        lock = locks.acquire(str(path / "lock"))
        assert lock is not None  # no other process knows the name
        self._lock = lock
        return path

    @contextmanager
    def overlay(self, below: str) -> Iterator[OverlayDirectories]:
        """An upper and a work directory for the block.

        An overlay shows its upper directory's own metadata as those of its root, so they are
        taken from the topmost layer `below`, if there is one.
        """
        top = self.directory()
        upper, work = top / "upper", top / "work"
        upper.mkdir()
        work.mkdir()
        _settle(upper, below)
        try:
            yield OverlayDirectories(str(upper), str(work))
        finally:
            remove_tree(str(top))


def _settle(upper: Path, below: str) -> None:
    if not below:
        upper.chmod(0o755)
        return
    model = Path(below).stat()
    if os.geteuid() == 0:
        os.chown(upper, model.st_uid, model.st_gid)
    upper.chmod(model.st_mode & 0o7777)


def _sweep(parent: Path) -> None:
    long_ago = time.time() - _YOUNG
    for path in parent.glob(f"{_PREFIX}*"):
        if _mtime(path) < long_ago and not locks.is_held(str(path / "lock")):
            _remove_abandoned(path)


def _mtime(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return time.time()  # another process has removed it


def _remove_abandoned(path: Path) -> None:
    try:
        remove_tree(str(path))
    except FileNotFoundError:
        pass  # another build was sweeping too
