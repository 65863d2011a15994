"""`attach`: join the streams of a container that runs, from now on."""

from __future__ import annotations

from dockmagic_runtime.containers.events import events_of
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.supervisor.handle import Process


def attach(registry: Registry, record: Record) -> Process:
    """Any number may be attached; what was written before is in the log. Raises Conflict."""
    try:
        process = Process.connect(registry.run(record.id), record.id)
    except Conflict as error:
        raise Conflict("You cannot attach to a stopped container, start it first") from error
    process.await_attached()
    events_of(registry, record).tell("attach")
    return process
