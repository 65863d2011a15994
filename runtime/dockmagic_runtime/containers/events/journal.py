"""The events of containers: `events_of` for the verbs that write them, `read` for `events`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

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
    """The writer of the container's events, for this process or its supervisor.

    `networks` are those that the container is connected to: id, name and driver of each.
    """
    return ContainerEvents(
        root=store.data_root.path,
        directory=store.directory(record.id),
        id=record.id,
        attributes={**record.labels, "image": record.spec.image, "name": record.name},
        networks=networks,
        volumes=tuple(
            VolumeUse(name=mount.source, destination=mount.target, writable=not mount.read_only)
            for mount in record.mounts
            if mount.kind == "volume"
        ),
    )


def read(
    root: str,
    *,
    since: float,
    until: float,
    filters: Filters,
    follow: bool,
    is_cancelled: Callable[[], bool] | None = None,
) -> Iterator[Event]:
    """The events that pass the filters, oldest first.

    Times are seconds since the epoch, 0 for an open end. With `follow`, everything that happens
    after this call is included, even before the iterator is first advanced; without `since` then
    nothing older, as with Docker. Raises InvalidInput for an unknown filter.
    """
    check(filters, KNOWN)
    if follow:
        events = journal.follow(root, since or time.time(), until, over=is_cancelled)
    else:
        events = journal.read(root, since, until)
    return (event for event in events if matches(event, filters))
