"""What the verbs tell the journal of events, and reading it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dockmagic_runtime.containers.events.filters import KNOWN, matches
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.filters import Filters, check
from dockmagic_runtime.store import events as journal
from dockmagic_runtime.store.container_events import ContainerEvents, VolumeUse


def events_of(
    store: ContainerStore, record: Record, networks: tuple[tuple[str, str, str], ...] = ()
) -> ContainerEvents:
    """For telling what happens to the container, here or in its supervisor.

    `networks` are those it is connected with: id, name and driver of each.
    """
    return ContainerEvents(
        root=str(store.data_root.root),
        directory=store.directory(record.id),
        id=record.id,
        attributes={**record.labels, "image": record.spec.image, "name": record.name},
        networks=networks,
        volumes=tuple(
            VolumeUse(name=one.source, destination=one.target, writable=not one.read_only)
            for one in record.mounts
            if one.kind == "volume"
        ),
    )


def read(
    root: str, *, since: float, until: float, filters: Filters, follow: bool
) -> Iterator[Event]:
    """Those that pass. Times are seconds since the epoch, 0 for open; nothing waits for the first
    look: what happens after this call is told. Raises InvalidInput for a filter there is not.

    With `follow` and without `since`, only what happens from now on, as with Docker.
    """
    check(filters, KNOWN)
    if follow:
        found = journal.follow(root, since or time.time(), until)
    else:
        found = journal.read(root, since, until)
    return (event for event in found if matches(event, filters))
