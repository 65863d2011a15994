"""What one overlay directory changes of those below it, in Docker's terms: A, C and D.

Strategy: the upper directory is walked, by descriptors, together with the directories of the same
path below; nothing else is looked at, so the cost is that of the change and not of the image. A
directory is `C` if its own metadata differ or anything in it is reported. A file that was copied
up and came out the same is not reported, as with Docker's comparison of whole trees.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import overlay
from dockmagic_runtime.linux.directory_stack import LONGEST, TOO_DEEP, DirectoryStack

ADDED: Final = "A"
CHANGED: Final = "C"
DELETED: Final = "D"
_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FEW: Final = 16
_NO_DIRECTORY: Final = -1
_NOTHING: Final = -2
_NOWHERE: Final = sys.maxsize  # the position of what no directory below has
_CAPABILITY: Final = "security.capability"


class Difference(NamedTuple):
    """`path` is absolute inside the image; `size` 0 unless it was asked for."""

    path: str
    kind: str
    size: int


class Survey(NamedTuple):
    """Differences by path, perhaps not all, and how many there are of each kind."""

    differences: list[Difference]
    counts: dict[str, int]


def differences(upper: str, lowers: Sequence[str], *, sizes: bool = False) -> list[Difference]:
    """By path. `lowers` are host directories of ours, topmost first; so is `upper`."""
    return survey(upper, lowers, sys.maxsize, sizes=sizes).differences


def survey(upper: str, lowers: Sequence[str], limit: int, *, sizes: bool = False) -> Survey:
    """The same, of which at most `limit` are kept and all are counted."""
    comparison = _Comparison(sizes, limit)
    with DirectoryStack(_open_all([upper, *lowers])) as way:
        comparison.run(way)
    comparison.differences.sort()
    return Survey(comparison.differences, comparison.counts)


def _open_all(directories: Sequence[str]) -> list[int]:
    opened: list[int] = []
    try:
        for path in directories:
            opened.append(os.open(path, _READ & ~os.O_NOFOLLOW))
    except OSError:
        for fd in opened:
            os.close(fd)
        raise
    return opened


class _Directory:
    """A directory of the upper tree, on the way to where the comparison is."""

    __slots__ = ("hides", "is_reported", "parent", "path", "pending")

    def __init__(
        self, path: str, parent: _Directory | None, *, hides: bool = False, reported: bool = True
    ) -> None:
        self.path = path
        self.parent = parent
        self.hides = hides  # what is below it, at every depth
        self.is_reported = reported  # the root itself never is
        # subdirectories to visit: name, position of the topmost directory below that has it
        # too, whether it is reported already
        self.pending: list[tuple[str, int, bool]] = []


class _Below:
    """The names that the lower directories of one path show through the overlay."""

    def __init__(self, lowers: Sequence[int], expected: int) -> None:
        self._lowers = lowers
        # many lookups: one listing of each directory is cheaper than so many misses
        self._names = self._list() if expected > _FEW else None

    def _list(self) -> dict[str, int]:
        names: dict[str, int] = {}
        for position, fd in enumerate(self._lowers):
            for name in os.listdir(fd):
                names.setdefault(name, position)
        return names

    def find(self, name: str) -> tuple[int, os.stat_result] | None:
        """The position of the topmost directory that has `name`, and its status there."""
        if self._names is not None:
            position = self._names.get(name, -1)
            candidates = range(position, position + 1) if position >= 0 else range(0)
        else:
            candidates = range(len(self._lowers))
        for position in candidates:
            try:
                status = os.stat(name, dir_fd=self._lowers[position], follow_symlinks=False)
            except FileNotFoundError:
                continue
            return None if overlay.is_whiteout(status) else (position, status)
        return None

    def names(self) -> Iterator[str]:
        """All names that are seen."""
        for name in self._names if self._names is not None else self._list():
            if self.find(name):
                yield name


class _Comparison:
    def __init__(self, sizes: bool, limit: int) -> None:
        self.differences: list[Difference] = []
        self.counts = {ADDED: 0, CHANGED: 0, DELETED: 0}
        self._sizes = sizes
        self._limit = limit

    def run(self, way: DirectoryStack) -> None:
        directory = _Directory("", None)
        self._scan(directory, way.fds)
        while True:
            if directory.pending:
                name, first, reported = directory.pending.pop()
                opened = self._enter(way, name, first)
                if opened is None:
                    continue
                path = f"{directory.path}/{name}"
                if len(path) > LONGEST:  # a list of such paths would take all memory
                    raise InvalidInput(f"/{path.split('/')[1]} has {TOO_DEEP}")
                hides = opened or directory.hides
                directory = _Directory(path, directory, hides=hides, reported=reported)
                self._scan(directory, way.fds)
                continue
            if directory.parent is None:
                return
            directory = directory.parent
            if not way.leave():
                directory.pending.clear()

    def _enter(self, way: DirectoryStack, name: str, first: int) -> bool | None:
        """Open the directory, and those below it from position `first`; whether it is opaque.

        None when the container has taken it away meanwhile.
        """
        here = way.fds
        upper = _open_below(here[0], name)
        if upper < 0:
            return None
        fds, trees = [upper], [0]
        try:
            is_opaque = overlay.is_opaque(upper)
            for position in range(first, len(here)):
                inner = _open_below(here[position], name)
                if inner == _NOTHING:
                    continue
                if inner == _NO_DIRECTORY:
                    break  # a file or a whiteout here hides what is further down
                fds.append(inner)
                trees.append(way.trees[position])
                if overlay.is_opaque(inner):
                    break
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        way.enter(name, fds, trees)
        return is_opaque

    def _scan(self, directory: _Directory, fds: Sequence[int]) -> None:
        """`fds` are the directory itself and those below it."""
        with os.scandir(fds[0]) as listing:
            entries = list(listing)
        below = _Below(fds[1:], len(entries)) if len(fds) > 1 else None
        if directory.hides and below:
            present = {entry.name for entry in entries}
            for name in below.names():
                if name not in present:
                    self._report(directory, name, DELETED)
        for entry in entries:
            try:
                if below is None:
                    self._added(directory, entry)
                else:
                    self._compare(directory, fds, entry, below.find(entry.name))
            except FileNotFoundError:
                continue  # the container has removed it meanwhile

    def _added(self, directory: _Directory, entry: os.DirEntry[str]) -> None:
        """`entry` has nothing below it."""
        if entry.is_dir(follow_symlinks=False):
            directory.pending.append((entry.name, _NOWHERE, True))
        elif _is_special(entry) and overlay.is_whiteout(entry.stat(follow_symlinks=False)):
            return
        self._report(directory, entry.name, ADDED, entry)

    def _compare(
        self,
        directory: _Directory,
        fds: Sequence[int],
        entry: os.DirEntry[str],
        below: tuple[int, os.stat_result] | None,
    ) -> None:
        if below is None:
            self._added(directory, entry)
            return
        position, old = below
        new = entry.stat(follow_symlinks=False)
        if overlay.is_whiteout(new):
            self._report(directory, entry.name, DELETED)
            return
        is_pair = stat.S_ISDIR(new.st_mode) and stat.S_ISDIR(old.st_mode)
        differs = _differ(new, old) or _capability_differs(fds[0], fds[1 + position], entry, new)
        if differs:
            self._report(directory, entry.name, CHANGED, entry)
        if stat.S_ISDIR(new.st_mode):
            first = 1 + position if is_pair else _NOWHERE
            directory.pending.append((entry.name, first, differs))

    def _report(
        self,
        directory: _Directory,
        name: str,
        kind: str,
        entry: os.DirEntry[str] | None = None,
    ) -> None:
        if not directory.is_reported:
            self._report_directory(directory)
        size = 0
        if self._sizes and entry is not None and entry.is_file(follow_symlinks=False):
            size = entry.stat(follow_symlinks=False).st_size
        self._keep(f"{directory.path}/{name}", kind, size)

    def _keep(self, path: str, kind: str, size: int) -> None:
        self.counts[kind] += 1
        if len(self.differences) < self._limit:
            self.differences.append(Difference(path, kind, size))

    def _report_directory(self, directory: _Directory) -> None:
        """The directory and those above it are changed, since something in them is."""
        ancestor: _Directory | None = directory
        while ancestor is not None and not ancestor.is_reported:
            ancestor.is_reported = True
            self._keep(ancestor.path, CHANGED, 0)
            ancestor = ancestor.parent


def _open_below(fd: int, name: str) -> int:
    """The directory `name` in `fd`: -1 if something else has that name, -2 if nothing has."""
    try:
        return os.open(name, _READ, dir_fd=fd)
    except FileNotFoundError:
        return _NOTHING
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return _NO_DIRECTORY
        raise


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Neither file nor link nor directory; asked without a system call."""
    return not (
        entry.is_file(follow_symlinks=False)
        or entry.is_symlink()
        or entry.is_dir(follow_symlinks=False)
    )


def _differ(new: os.stat_result, old: os.stat_result) -> bool:
    """Docker's comparison: times and sizes of directories change too easily to count."""
    if (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) != (
        old.st_mode,
        old.st_uid,
        old.st_gid,
        old.st_rdev,
    ):
        return True
    if stat.S_ISDIR(new.st_mode):
        return False
    return (new.st_mtime_ns, new.st_size) != (old.st_mtime_ns, old.st_size)


def _capability_differs(
    new: int, old: int, entry: os.DirEntry[str], status: os.stat_result
) -> bool:
    """setcap(8) changes neither size nor time."""
    if not stat.S_ISREG(status.st_mode):
        return False
    return _capability(new, entry.name) != _capability(old, entry.name)


def _capability(fd: int, name: str) -> bytes:
    try:
        # no call takes a descriptor and a name
        return os.getxattr(f"/proc/self/fd/{fd}/{name}", _CAPABILITY, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise
