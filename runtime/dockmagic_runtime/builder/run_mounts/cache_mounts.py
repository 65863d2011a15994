"""`RUN --mount=type=cache`: directories that outlive their build, found by id, and their locks.

Each is `<key>/data` beside `<key>/lock`. Builds that share one hold its lock together; `locked`
holds it alone, waiting for it; `private` takes the first that is not locked. What holds no lock
may be pruned.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from dockmagic_runtime.builder.plan.steps import StepMount
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.store import locks

_POLL: Final = 0.05  # seconds; a lock's holder is another build's RUN, and ours may be cancelled
Wait = Callable[[float], object]


class HeldCache(Struct, frozen=True):
    """A cache directory that a step uses. `is_new`: it has not been filled yet."""

    path: str
    lock: int
    is_new: bool

    def close(self) -> None:
        os.close(self.lock)


def identity(mount: StepMount, begins_with: str) -> tuple[str, ...]:
    """What makes two mounts the same cache; as in BuildKit, owner and mode are part of it."""
    return (mount.id, begins_with, str(mount.uid), str(mount.gid), str(mount.mode))


class CacheMounts:
    """All of one Docker area, below the directory `parent`."""

    def __init__(self, parent: str) -> None:
        self._parent = Path(parent)

    def hold(self, mount: StepMount, begins_with: str, wait: Wait) -> HeldCache:
        """The directory for a mount, kept until the result is closed.

        `begins_with` is the digest of what a new one is filled with: another one, another cache.
        `wait` is called between two attempts and may raise.
        """
        key = hashlib.sha256("\0".join(identity(mount, begins_with)).encode()).hexdigest()
        if mount.sharing != "private":
            return self._made(key, self._wait_for(key, mount.sharing == "shared", wait))
        for number in range(1 << 16):
            name = f"{key}-{number}" if number else key
            lock = self._try(name, shared=False)
            if lock is not None:
                return self._made(name, lock)
        raise AssertionError("so many builds cannot run at once")

    def _wait_for(self, name: str, shared: bool, wait: Wait) -> int:
        while (lock := self._try(name, shared=shared)) is None:
            wait(_POLL)
        return lock

    def _try(self, name: str, *, shared: bool) -> int | None:
        """The lock, of a directory that is still there when it is taken."""
        directory = self._parent / name
        directory.mkdir(0o700, parents=True, exist_ok=True)
        try:
            lock = locks.acquire(str(directory / "lock"), shared=shared)
        except FileNotFoundError:
            return None  # pruned meanwhile
        if lock is not None and os.fstat(lock).st_nlink == 0:
            os.close(lock)
            return None
        return lock

    def _made(self, name: str, lock: int) -> HeldCache:
        data = self._parent / name / "data"
        try:
            data.mkdir(0o700)
        except FileExistsError:
            return HeldCache(str(data), lock, is_new=False)
        return HeldCache(str(data), lock, is_new=True)

    def usage(self) -> Iterator[tuple[str, int, bool]]:
        """(name, bytes, whether a build uses it) of each."""
        for directory in sorted(self._parent.glob("*")):
            yield directory.name, _size(directory), locks.is_held(str(directory / "lock"))

    def prune(self) -> int:
        """Remove those that no build uses; their bytes."""
        freed = 0
        for directory in sorted(self._parent.glob("*")):
            lock = locks.acquire(str(directory / "lock"))
            if lock is None:
                continue
            try:
                freed += _size(directory)
                remove_tree(str(directory))
            finally:
                os.close(lock)
        return freed


def _size(directory: Path) -> int:
    with Root.at(str(directory)) as root:
        return sum(
            entry.stat(follow_symlinks=False).st_size
            for _, _, entries in root.walk()
            for entry in entries
            if entry.is_file(follow_symlinks=False)
        )
