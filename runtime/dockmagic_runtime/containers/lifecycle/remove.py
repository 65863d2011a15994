"""`rm`, and the removal of containers by recovery."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import unfinished
from dockmagic_runtime.containers.lifecycle.stop import kill
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.transitions import Action, check
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.scratch import move_to_trash

if TYPE_CHECKING:
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
    if force:
        status = _without_start(store, record.id, status)
    if not force:
        check(Action.REMOVE, status, id=record.id, name=record.name)
    if status.is_alive:
        try:
            kill(store, record, "KILL")
        except Conflict:
            pass  # it ended by itself before the signal
    if discard(store, record.id):
        events_of(store, record).emit("destroy")
    if force and store.on_start_killed is not None:
        store.on_start_killed(record.id)
    if with_volumes:
        volumes.remove_unused(record.anonymous_volumes)


def _without_start(store: ContainerStore, container_id: str, status: Status) -> Status:
    """Ends a start, or a restart, that is in progress; the status after that."""
    run = store.run(container_id)
    is_restart = status is Status.RESTARTING
    if is_restart or (not status.is_alive and unfinished.is_unfinished(run)):
        unfinished.end(run, is_restart=is_restart)
        return Status(store.state(container_id).status)
    return status


def discard(store: ContainerStore, container_id: str) -> bool:
    """Removes the directory, which disappears in one step by a rename, and the row.

    Returns whether the directory was there: if not, the supervisor's --rm was quicker.
    """
    directory, scratch = store.directory(container_id), store.data_root.scratch_path
    lock: int | None = None
    try:
        # in one transaction: a row without a directory then means that a fault took the directory
        with store.database.transaction() as connection:
            store.delete(connection, container_id)
            lock = move_to_trash(directory, scratch)
    except OSError as error:
        if error.errno not in DISK_UNWRITABLE:
            raise
        if lock is None:
            lock = move_to_trash(directory, scratch)
    if lock is not None:
        remove_tree(store.trash(container_id))
        os.close(lock)
    store.forget(container_id)  # on a full disk there was no space for it before
    return lock is not None
