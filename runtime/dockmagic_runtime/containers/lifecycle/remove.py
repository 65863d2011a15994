"""`rm`, and the removal of containers by recovery."""

from __future__ import annotations

import os

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.stop import kill
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.volumes.store import VolumeStore


def remove(
    store: ContainerStore,
    volumes: VolumeStore,
    record: Record,
    *,
    force: bool,
    with_volumes: bool,
) -> None:
    """Removes the container. Raises Conflict when it runs and `force` is not given."""
    status = Status(store.state(record.id).status)
    if status.is_alive and not force:
        raise Conflict(
            f'cannot remove container "/{record.name}": container is {status}: '
            "stop the container before removing or force remove"
        )
    if status.is_alive:
        try:
            kill(store, record, "KILL")
        except Conflict:
            pass  # it ended by itself before the signal
    if discard(store, record.id):
        events_of(store, record).emit("destroy")
    if with_volumes:
        volumes.remove_unused(record.anonymous_volumes)


def discard(store: ContainerStore, container_id: str) -> bool:
    """Removes the directory, which disappears in one step by a rename, and the row.

    Returns whether the directory was there: if not, the supervisor's --rm was quicker.
    """
    directory = store.directory(container_id)
    trash = f"{store.data_root.scratch}/{container_id}"
    try:
        os.rename(directory, trash)
        was_there = True
    except FileNotFoundError:
        was_there = False
    if was_there:
        remove_tree(trash)
    store.forget(container_id)
    return was_there
