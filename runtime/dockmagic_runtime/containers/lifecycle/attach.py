"""`attach`: join the streams of a container that runs, from now on."""

from __future__ import annotations

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.supervisor.engine_client import ContainerProcess


def attach(store: ContainerStore, record: Record) -> ContainerProcess:
    """Any number may be attached; what was written before is in the log. Raises Conflict."""
    try:
        process = store.connect(record.id)
    except Conflict as error:
        raise Conflict("You cannot attach to a stopped container, start it first") from error
    process.await_attached()
    process.hooks.reconnect = lambda: attached_again(store, record)
    events_of(store, record).emit("attach")
    return process


def attached_again(store: ContainerStore, record: Record) -> ContainerProcess | None:
    """Its supervisor was killed: attached to the next one, unless it is over."""
    while (process := rejoined(store, record)) is not None:
        try:
            return process.await_attached()
        except Conflict:
            if not process.was_lost:  # we were not still in the queue of the one that was killed
                return None  # it has ended or was paused meanwhile
    return None


def rejoined(store: ContainerStore, record: Record) -> ContainerProcess | None:
    """A connection to who follows its supervisor, which was killed; None when it is over."""
    if not Status(store.state(record.id).status).is_alive:
        return None
    try:
        return store.connect(record.id)
    except Conflict:
        return None  # it has just ended
