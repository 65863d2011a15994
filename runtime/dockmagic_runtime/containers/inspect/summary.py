"""An element of Docker's `GET /containers/json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dockmagic_runtime.containers.inspect.mounts import mounts
from dockmagic_runtime.containers.inspect.networks import networks
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import Container
from dockmagic_runtime.model.container_texts import command_text, status_text
from dockmagic_runtime.supervisor.state import State


def summaries(store: ContainerStore, containers: Iterable[Container]) -> list[dict[str, Any]]:
    """One for each container that has not been removed meanwhile."""
    stored = {record.id: (record, now) for record, now in store.all()}
    return [
        _summary(store, container, *stored[container.id])
        for container in containers
        if container.id in stored
    ]


def _summary(
    store: ContainerStore, container: Container, record: Record, now: State
) -> dict[str, Any]:
    return {
        "Id": container.id,
        "Names": sorted(f"/{name}" for name in (container.name, *container.links)),
        "Image": container.image,
        "ImageID": container.image_id,
        "Command": command_text(container),
        "Created": int(container.created),
        "Ports": list(_ports(container)),
        "Labels": container.labels,
        "State": str(container.status),
        "Status": status_text(container),
        "HostConfig": {
            "NetworkMode": record.spec.network,
            **({"Annotations": record.spec.annotations} if record.spec.annotations else {}),
        },
        "NetworkSettings": {"Networks": networks(record, now)},
        "Mounts": mounts(store, record),
    }


def _ports(container: Container) -> Iterator[dict[str, Any]]:
    """Published ones, then those that are only exposed."""
    if not container.status.is_alive:
        return
    published: set[str] = set()
    for port in container.ports:
        if port.host_port:
            published.add(f"{port.container_port}/{port.protocol}")
            yield {
                "IP": port.host_ip or "0.0.0.0",
                "PrivatePort": port.container_port,
                "PublicPort": port.host_port,
                "Type": port.protocol,
            }
    for text in container.exposed:
        if text not in published:
            number, _, protocol = text.partition("/")
            yield {"PrivatePort": int(number), "Type": protocol}
