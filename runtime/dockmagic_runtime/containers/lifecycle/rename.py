"""`rename`."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import links
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, Status
from dockmagic_runtime.network import endpoints
from dockmagic_runtime.store.atomic import write_file


def rename(store: ContainerStore, record: Record, new_name: str) -> None:
    """Renames the container. Raises Conflict, InvalidInput."""
    wanted = new_name.removeprefix("/")
    if not wanted:
        raise InvalidInput("new name cannot be empty")
    ContainerSpec(image=record.spec.image, name=wanted)  # the same rule as for --name
    if wanted == record.name:
        raise InvalidInput("Renaming a container with the same name as its current name")
    with store.database.transaction() as connection:
        store.require_free(connection, wanted)
        connection.execute(
            "UPDATE containers SET name = ?, spec = ? WHERE id = ?",
            (wanted, replace(record, name=wanted).encode(), record.id),
        )
        # inside: where the disk has no room for the files, nothing is renamed
        _rename_on_networks(store, record, wanted)
        _note(store.directory(record.id), wanted)
    links.renamed(store, record.id, wanted)
    events_of(store, record).emit("rename", oldName=f"/{record.name}")


def _rename_on_networks(store: ContainerStore, record: Record, name: str) -> None:
    """The networks of a running container list it by name."""
    networks = f"{store.data_root.path}/networks"
    for network_id, known in endpoints.of_container(networks, record.id):
        endpoints.write(networks, network_id, record.id, replace(known, name=name))
        if not Status(store.last_state(record.id).status).is_alive:  # ended meanwhile
            endpoints.remove(networks, network_id, record.id)


def _note(directory: str, name: str) -> None:
    """For the supervisor, which has the name that the container was started with."""
    try:
        write_file(f"{directory}/name", name.encode())
    except FileNotFoundError:
        pass  # a container of --rm that has just ended
