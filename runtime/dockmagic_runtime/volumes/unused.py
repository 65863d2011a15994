"""Which containers use which volume, and the removal of unused volumes.

The supervisor uses this module too, at the end of a container of `--rm`: it has few modules loaded
and no database open, and the caller waits. So this module imports as little as it can; loading
pathlib takes longer than running all of this.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.events import emit

if TYPE_CHECKING:
    import sqlite3

HOLD: Final = "hold.lock"  # in the volume's directory
USERS: Final = """
SELECT json_extract(mount.value, '$.source'), containers.id
FROM containers, json_each(containers.spec, '$.mounts') AS mount
WHERE json_extract(mount.value, '$.kind') = 'volume'
ORDER BY containers.created
"""


def users(root: str, rows: Iterable[tuple[Any, ...]]) -> dict[str, list[str]]:
    """The ids of the containers that use each volume, from the rows of `USERS`."""
    by_volume: dict[str, list[str]] = {}
    for name, container_id in rows:
        # a row without a directory belongs to a container that its supervisor has removed
        if os.path.isdir(f"{root}/containers/{container_id}"):  # noqa: PTH112
            by_volume.setdefault(name, []).append(container_id)
    return by_volume


def take_unused(
    root: str, connection: sqlite3.Connection, names: Collection[str], *, container_id: str = ""
) -> dict[str, str]:
    """Renames unused volumes out of the way, inside a write transaction.

    Returns their new paths by name, to be removed after the transaction. `container_id` is a
    container that is being removed itself: its use does not count.
    """
    used = users(root, connection.execute(USERS))
    free = [name for name in names if not set(used.get(name, ())) - {container_id}]
    taken = {name: take_away(root, name) for name in free}
    return {name: path for name, path in taken.items() if path}


def take_away(root: str, name: str) -> str:
    """Renames the volume into the scratch directory; returns its new path.

    "" when it does not exist, or when a process that creates a container holds it.
    """
    volume, trash = f"{root}/volumes/{name}", f"{root}/tmp/volume-{os.urandom(8).hex()}"
    try:
        lock = locks.acquire(f"{volume}/{HOLD}")
        if lock is None:
            return ""
        try:
            os.rename(volume, trash)  # noqa: PTH104
        finally:
            os.close(lock)
    except FileNotFoundError:
        return ""
    emit(root, Event(type="volume", action="destroy", id=name, attributes={"driver": "local"}))
    return trash


def remove_unused(root: str, names: Sequence[str], *, container_id: str) -> None:
    """Removes those of the volumes that no container but `container_id` uses.

    Call it before the directory of the container is removed: a process killed in between then
    leaves a container that the next call removes, and no volume without an owner.
    """
    if not names:
        return
    import sqlite3

    connection = sqlite3.connect(f"{root}/state.db", isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN IMMEDIATE")
        taken = take_unused(root, connection, names, container_id=container_id)
        connection.execute("COMMIT")
    finally:
        connection.close()
    for path in taken.values():
        remove_tree(path)
