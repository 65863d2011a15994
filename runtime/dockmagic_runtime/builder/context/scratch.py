"""A build's own directory in the Docker area: made when first needed, gone with the build."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.store.scratch import scratch_directory, sweep


class OverlayDirectories(Struct, frozen=True):
    """An overlay's writable half, empty, on the layers' own file system."""

    upper: str
    work: str


class Scratch:
    """`parent` is the area's directory for temporary files."""

    def __init__(self, parent: str) -> None:
        self._parent = Path(parent)
        self._path: Path | None = None
        self._stack = ExitStack()
        self._count = 0
        self._mutex = threading.Lock()  # stages are built side by side

    def close(self) -> None:
        self._stack.close()
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
        sweep(str(self._parent))  # an engine that stays open is not opened again
        return Path(self._stack.enter_context(scratch_directory(str(self._parent), "build")))

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
