"""A container's run directory: the lock and the control socket of its supervisor.

The supervisor holds the lock for its lifetime; a held lock means that the container is alive. Here
too: how the directory of a container of `--rm` is removed at its end.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.store import locks, scratch
from dockmagic_runtime.volumes.unused import remove_unused

_ATTEMPTS: Final = 50
_BETWEEN: Final = 0.01  # seconds


def claim(run: str) -> tuple[int, int]:
    """(lock, listening socket), as descriptors. Raises Conflict when the lock is held."""
    os.makedirs(run, 0o700, exist_ok=True)
    lock = _acquire(f"{run}/lock")
    if lock is None:
        raise Conflict(f"container {os.path.basename(run)[:12]} is already running")
    try:
        return lock, _listen(f"{run}/sock")
    except BaseException:
        os.close(lock)
        raise


def _acquire(path: str) -> int | None:
    """Retries, because a start that was killed half way leaves a child that holds the lock until
    it notices."""
    for _ in range(_ATTEMPTS):
        lock = locks.acquire(path)
        if lock is not None:
            return lock
        time.sleep(_BETWEEN)
    return None


def _listen(path: str) -> int:
    if os.path.lexists(path):
        os.unlink(path)  # left by a supervisor that was killed: the lock is ours
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(64)
        return listener.detach()
    finally:
        listener.close()


def release(run: str, lock: int, listener: int) -> None:
    """Remove the directory and what is in it, then drop the lock."""
    os.close(listener)
    for name in os.listdir(run):
        if name != "lock":
            os.unlink(f"{run}/{name}")
    os.unlink(f"{run}/lock")
    os.rmdir(run)
    os.close(lock)


def move_container(directory: str, anonymous_volumes: Sequence[str]) -> int | None:
    """`--rm`: move the container's directory away, in one step; an engine that does not find it
    forgets the container. The anonymous volumes are removed before, so that none of them is left
    without a container.

    Returns the lock of what `remove_moved` removes, when there is time; None when an engine has
    removed the container.
    """
    root = _data_root(directory)
    remove_unused(root, anonymous_volumes, container_id=os.path.basename(directory))
    return scratch.move_to_trash(directory, f"{root}/tmp")


def remove_moved(linux: Linux, directory: str, lock: int) -> None:
    trash = scratch.trash_path(f"{_data_root(directory)}/tmp", os.path.basename(directory))
    remove_tree(trash, linux)
    os.close(lock)


def _data_root(directory: str) -> str:
    return os.path.dirname(os.path.dirname(directory))
