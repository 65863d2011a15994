"""For a process that has no database open: the supervisor, at the end of a container of `--rm`."""

from __future__ import annotations

from collections.abc import Sequence


def remove_unused(root: str, names: Sequence[str], *, container_id: str) -> None:
    """Remove the volumes `names` of the Docker area at `root` that nobody uses.

    `container_id` is the container that goes away: it does not count. To be called before its
    directory is removed, so that a process killed in between leaves a container that the next call
    removes, and no volume without an owner. Opens the area's database for the moment, and loads
    what that needs only when there is something to remove.
    """
    if not names:
        return
    from dockmagic_runtime.store.area import Area
    from dockmagic_runtime.store.database import Database
    from dockmagic_runtime.volumes.store import VolumeStore

    area = Area.at(root)
    database = Database(area.database)
    try:
        VolumeStore(area, database).remove_unused(names, container_id=container_id)
    finally:
        database.close()
