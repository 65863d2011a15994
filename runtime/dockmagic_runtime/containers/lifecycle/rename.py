"""`rename`."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Final

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import links
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.model.container import ContainerSpec, Status
from dockmagic_runtime.network import endpoints
from dockmagic_runtime.store.atomic import write_file

_NOT_ALLOCATED: Final = "Error when allocating new name"


def rename(store: ContainerStore, record: Record, new_name: str) -> None:
    """Renames the container. Raises Conflict, InvalidInput."""
    wanted = new_name.removeprefix("/")
    if not wanted:
        raise InvalidInput("Neither old nor new names may be empty")
    _check_name(record, wanted)
    if wanted == record.name:
        raise InvalidInput("Renaming a container with the same name as its current name")
    with store.database.transaction() as connection:
        _require_free(store, connection, wanted)
        connection.execute(
            "UPDATE containers SET name = ?, spec = ? WHERE id = ?",
            (wanted, replace(record, name=wanted).encode(), record.id),
        )
        # inside: where the disk has no room for the files, nothing is renamed
        _rename_on_networks(store, record, wanted)
        _note(store.directory(record.id), wanted)
    links.renamed(store, record.id, wanted)
    events_of(store, record).emit("rename", oldName=f"/{record.name}")


def _check_name(record: Record, name: str) -> None:
    try:
        ContainerSpec(image=record.spec.image, name=name)  # the same rule as for --name
    except InvalidInput as error:
        raise InvalidInput(
            f"{_NOT_ALLOCATED}: {error.message.replace(f'({name})', f'(/{name})')}", hint=error.hint
        ) from None


def _require_free(store: ContainerStore, connection: Connection, name: str) -> None:
    try:
        store.require_free(connection, name)
    except Conflict as error:
        raise Conflict(f"{_NOT_ALLOCATED}: {error.message}", hint=error.hint) from None


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
