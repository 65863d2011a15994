"""Files of an image that no container ever sees, because a later layer replaces or removes them.

Strategy: the layers are walked from the topmost down. Each path of a layer is noted as what covers
that path below it, and a file with a covered path is wasted. A directory covers only what is no
directory; a whiteout, a file or an opaque directory covers the whole tree below it. So each entry
of the image is looked at once, and nothing of the lowest layer, mostly the largest, is remembered.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.images import overlay
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.analysis import WastedFile

_LARGEST: Final = 1000  # files that are listed by name


class _Cover(Struct):
    """`by` is the nearest layer above that has the path; `whole`: its tree covers all below."""

    by: int
    whole: bool
    is_removal: bool


class _Linked(Struct):
    """A file with several links: its bytes are seen as long as one link is."""

    path: str
    size: int
    links: int
    cover: _Cover
    covered: int = 0


class Waste(Struct):
    """`largest` is a heap of (size, path, layer, hidden by, is a removal)."""

    bytes: int = 0
    files: int = 0
    largest: list[tuple[int, str, int, int, bool]] = field(default_factory=list)

    def add(self, path: str, size: int, layer: int, cover: _Cover) -> None:
        if not size:
            return  # an empty file wastes nothing
        self.bytes += size
        self.files += 1
        item = (size, path, layer, cover.by, cover.is_removal)
        if len(self.largest) < _LARGEST:
            heapq.heappush(self.largest, item)
        else:
            heapq.heappushpop(self.largest, item)

    def by_size(self) -> tuple[WastedFile, ...]:
        ordered = sorted(self.largest, key=lambda item: (-item[0], item[1], item[2]))
        return tuple(
            WastedFile(path=path, size=size, layer=layer, hidden_by=by, is_removed=removed)
            for size, path, layer, by, removed in ordered
        )


def waste(directories: Sequence[str]) -> Waste:
    """`directories` are the layers' trees, lowest first: host paths of ours."""
    total = Waste()
    covers: dict[str, _Cover] = {}
    for number in range(len(directories), 0, -1):
        with Root.at(directories[number - 1]) as root:
            _Layer(number, covers, total).walk(root)
    return total


class _Layer:
    """One layer on its way: what it wastes is added, what it covers is noted."""

    def __init__(self, number: int, covers: dict[str, _Cover], total: Waste) -> None:
        self._number = number
        self._covers = covers
        self._total = total
        self._directories: dict[str, _Cover | None] = {}  # still to be walked: what covers them
        self._linked: dict[int, _Linked] = {}

    def walk(self, root: Root) -> None:
        for path, fd, entries in root.walk():
            above = self._directories.pop(path, None)
            if path and self._number > 1 and overlay.is_opaque(fd):
                self._note(path, whole=True)
            for entry in entries:
                self._entry(f"{path}/{entry.name}" if path else entry.name, entry, above)
        for linked in self._linked.values():
            if linked.covered == linked.links:
                self._total.add(linked.path, linked.size, self._number, linked.cover)

    def _entry(self, path: str, entry: os.DirEntry[str], above: _Cover | None) -> None:
        known = self._covers.get(path)
        if entry.is_dir(follow_symlinks=False):
            is_whole = known is not None and known.whole
            self._directories[path] = above or (known if is_whole else None)
            self._note(path, whole=is_whole)
        elif entry.is_file(follow_symlinks=False):
            if cover := above or known:
                self._covered(path, entry.stat(follow_symlinks=False), cover)
            self._note(path, whole=True)
        else:
            is_removal = not entry.is_symlink() and overlay.is_whiteout(
                entry.stat(follow_symlinks=False)
            )
            self._note(path, whole=True, is_removal=is_removal)

    def _note(self, path: str, *, whole: bool, is_removal: bool = False) -> None:
        if self._number > 1:  # there is nothing below the lowest
            self._covers[path] = _Cover(self._number, whole, is_removal)

    def _covered(self, path: str, status: os.stat_result, cover: _Cover) -> None:
        if status.st_nlink == 1:
            self._total.add(f"/{path}", status.st_size, self._number, cover)
            return
        linked = _Linked(f"/{path}", status.st_size, status.st_nlink, cover)
        self._linked.setdefault(status.st_ino, linked).covered += 1
