"""`DirectoryStack`: the directories from the top of a tree down to the position of a walk.

Not all of them are open at once.

A container can make a tree that is deeper than a process has descriptors. So what is far above is
closed, and opened again on the way back: by its names from the top, which stays open, and without
following links. Several are opened at once, or each step back would go all the way. Whatever was
moved meanwhile, nothing outside is reached: what has the names now is walked, or nothing is there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.linux.closeable import Closing

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LONGEST: Final = 1 << 14  # of a path that is kept: four times what one call of the kernel takes
TOO_DEEP: Final = f"directories in too many others: paths of more than {LONGEST} bytes"
_MOST: Final = 128  # descriptors, if the last directory alone has not more
_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)


# a directory's name, its descriptors (none while it is closed), and the trees they are of
_Level = tuple[str, list[int], Sequence[int]]


class DirectoryStack(Closing):
    """Through one tree, or through several at once that have directories of the same path.

    It takes over the descriptors `tops`, and those that it is given later. A context manager.

    `fds` are those of the directory where it is, in each tree that has it, and `trees` says which
    these are, counted from 0. `fds` is empty when that directory is gone.
    """

    __slots__ = ("_count", "_first", "_levels", "fds", "trees")

    def __init__(self, tops: list[int]) -> None:
        self.fds = tops
        self.trees: Sequence[int] = range(len(tops))
        self._levels: list[_Level] = [("", tops, self.trees)]
        self._first = 1  # what is between the top and this level is closed
        self._count = len(tops)

    def close(self) -> None:
        for _, fds, _ in self._levels:
            self._shut(fds)

    def enter(self, name: str, fds: list[int], trees: Sequence[int] = (0,)) -> None:
        """Go on to the directory `name`, which the caller has opened in `trees`."""
        self._levels.append((name, fds, trees))
        self.fds, self.trees = fds, trees
        self._count += len(fds)
        if self._count > _MOST:
            self._shut_far(len(self._levels) - 1, _MOST)

    def leave(self) -> bool:
        """Go back to the directory above. False if it is no longer where it was."""
        levels = self._levels
        self._shut(levels.pop()[1])
        _, self.fds, self.trees = levels[-1]
        return bool(self.fds) or self._reopen()

    def _shut(self, fds: list[int]) -> None:
        self._count -= len(fds)
        for fd in fds:
            os.close(fd)
        fds.clear()

    def _shut_far(self, last: int, most: int) -> None:
        while self._count > most and self._first < last:
            self._shut(self._levels[self._first][1])
            self._first += 1

    def _reopen(self) -> bool:
        """The directory where it is, and some of those above it."""
        self._first = 1
        try:
            for depth in range(1, len(self._levels)):
                self._open(depth)
                self._shut_far(depth, _MOST // 2)
        except OSError as error:
            for _, fds, _ in self._levels[1:]:
                self._shut(fds)
            self._first = 1
            if error.errno in _GONE:
                return False
            raise
        return True

    def _open(self, depth: int) -> None:
        _, above, known = self._levels[depth - 1]
        name, fds, trees = self._levels[depth]
        parents = dict(zip(known, above, strict=True))
        for tree in trees:
            fds.append(os.open(name, DIRECTORY, dir_fd=parents[tree]))
            self._count += 1
