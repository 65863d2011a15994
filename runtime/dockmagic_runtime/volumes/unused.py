"""Who uses which volume, and taking away those that nobody uses.

Also for the supervisor, at the end of a container of `--rm`: it has no database open and few
modules loaded, so this one imports nothing that it does not need.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.linux.removal import remove_tree

if TYPE_CHECKING:
    from dockmagic_runtime.store.area import Area
    from dockmagic_runtime.store.database import Database

USERS: Final = """
SELECT json_extract(mount.value, '$.source'), containers.id
FROM containers, json_each(containers.spec, '$.mounts') AS mount
WHERE json_extract(mount.value, '$.kind') = 'volume'
ORDER BY containers.created
"""


def users(area: Area, rows: Iterable[tuple[Any, ...]]) -> dict[str, list[str]]:
    """The ids of the containers that use each volume, from the rows of `USERS`."""
    found: dict[str, list[str]] = {}
    for name, container_id in rows:
        # a row without a directory is that of a container which its supervisor has removed
        if area.container(container_id).is_dir():
            found.setdefault(name, []).append(container_id)
    return found


def take_unused(
    area: Area, database: Database, names: Collection[str], *, container_id: str = ""
) -> dict[str, Path]:
    """Rename those of the volumes that nobody uses away, all in one transaction: their new paths.

    `container_id` is a container that goes away itself: it does not count.
    """
    with database.transaction() as connection:
        used = users(area, connection.execute(USERS))
        free = [name for name in names if not set(used.get(name, ())) - {container_id}]
        taken = {name: take_away(area, name) for name in free}
    return {name: path for name, path in taken.items() if path is not None}


def take_away(area: Area, name: str) -> Path | None:
    """Rename the volume into the scratch directory; its new path, None when it has gone."""
    trash = area.scratch / f"volume-{os.urandom(8).hex()}"
    try:
        return (area.volumes / name).rename(trash)
    except FileNotFoundError:
        return None


def discard_unused(
    area: Area, database: Database, names: Collection[str], *, container_id: str = ""
) -> None:
    """Remove those of the volumes that nobody uses, but for `container_id`."""
    if names:
        for path in take_unused(area, database, names, container_id=container_id).values():
            remove_tree(str(path))


def remove_unused(root: str, names: Sequence[str], *, container_id: str) -> None:
    """Remove the volumes `names` of the Docker area at `root` that nobody else uses.

    To be called before the directory of the container is removed, so that a process killed in
    between leaves a container that the next call removes, and no volume without an owner.
    """
    if not names:
        return
    from dockmagic_runtime.store.area import Area
    from dockmagic_runtime.store.database import Database

    area = Area.at(root)
    database = Database(area.database)
    try:
        discard_unused(area, database, names, container_id=container_id)
    finally:
        database.close()
