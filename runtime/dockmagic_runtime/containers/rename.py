"""`rename`."""

from __future__ import annotations

from dataclasses import replace

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec


def rename(registry: Registry, record: Record, new_name: str) -> None:
    """Give the container another name. Raises Conflict, InvalidInput."""
    wanted = new_name.removeprefix("/")
    if not wanted:
        raise InvalidInput("new name cannot be empty")
    ContainerSpec(image=record.spec.image, name=wanted)  # the same rule as for --name
    if wanted == record.name:
        raise InvalidInput("Renaming a container with the same name as its current name")
    with registry.database.transaction() as connection:
        registry.require_free(connection, wanted)
        connection.execute(
            "UPDATE containers SET name = ?, spec = ? WHERE id = ?",
            (wanted, replace(record, name=wanted).encode(), record.id),
        )
