"""`attach`: join the streams of a container that runs, from now on."""

from __future__ import annotations

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.transitions import Action, refusal
from dockmagic_runtime.supervisor.engine_client import ContainerProcess


def attach(store: ContainerStore, record: Record) -> ContainerProcess:
    """Attaches to a running container, beside any other client. Earlier output is in the log.

    Raises Conflict when the container does not run.
    """
    try:
        process = store.connect(record.id)
    except Conflict as error:
        raise Conflict(refusal(Action.ATTACH, Status.EXITED, id=record.id)) from error
    process.await_attached()
    process.hooks.reconnect = lambda: attached_again(store, record)
    events_of(store, record).emit("attach")
    return process


def attached_again(store: ContainerStore, record: Record) -> ContainerProcess | None:
    """Attached to the next supervisor after a killed one; None when the container has ended."""
    while (process := rejoined(store, record)) is not None:
        try:
            return process.await_attached()
        except Conflict:
            if not process.was_lost:  # else still in the queue of the killed one
                return None  # it has ended or was paused meanwhile
    return None


def rejoined(store: ContainerStore, record: Record) -> ContainerProcess | None:
    """A connection to the supervisor after a killed one; None when the container has ended."""
    if not Status(store.state(record.id).status).is_alive:
        return None
    try:
        return store.connect(record.id)
    except Conflict:
        return None  # it has just ended
