"""The networks of a container: contradictions are refused when it is created, what a network does
not have, or that there is no such network, when it starts. So a network may be created in between,
and a container that could not start stays, as with Docker."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.network.networks import Networks, check_attachment

_ALONE = ("host", "none")
_USUAL = Attachment(network="bridge")  # the start finds or creates that network


def attachments(networks: Networks, spec: ContainerSpec) -> tuple[Attachment, ...]:
    """The spec's attachments with the full names and ids of the networks that exist; empty for
    host, none and container:. Raises InvalidInput for contradictions."""
    asked = spec.attachments or (Attachment(network=spec.network),)
    if asked == (_USUAL,):
        return asked
    if any(attachment.network.startswith("container:") for attachment in asked):
        if len(asked) > 1:
            raise _mixed("container", "another network")
        return ()
    resolved = [_resolved(networks, attachment) for attachment in asked]
    names = [attachment.network for attachment in resolved]
    for name in _ALONE:
        if name in names and len(names) > 1:
            raise _mixed(name, "any other network")
    if len(set(names)) < len(names):
        raise InvalidInput(f"network {names[-1]} is given twice")
    return tuple(attachment for attachment in resolved if attachment.network not in _ALONE)


def _mixed(kind: str, other: str) -> InvalidInput:
    return InvalidInput(f"conflicting options: cannot attach both {kind} network and {other}")


def _resolved(networks: Networks, asked: Attachment) -> Attachment:
    try:
        network = networks.store.find(asked.network)
    except NotFound:
        return asked
    return replace(asked, network=network.name, network_id=network.id)


def at_start(networks: Networks, record: Record, *, again: bool) -> tuple[Attachment, ...]:
    """The attachments of a container that starts, each with the id of its network.

    The first start looks for a network by its name, later ones (`again`) for the same network.
    Raises NotFound, and InvalidInput with Docker's texts for what a network does not have.
    """
    for asked in record.spec.attachments:
        if asked.network in _ALONE:
            check_attachment(networks.store.find(asked.network), asked)
    return tuple(_checked(networks, attachment, again) for attachment in record.attachments)


def _checked(networks: Networks, attachment: Attachment, again: bool) -> Attachment:
    if attachment == _USUAL:
        return attachment
    wanted = (again and attachment.network_id) or attachment.network
    network = networks.store.find(wanted)
    check_attachment(network, attachment)
    return replace(attachment, network=network.name, network_id=network.id)


def keep(store: ContainerStore, container_id: str, networks: tuple[Attachment, ...]) -> None:
    """Writes the networks of a container to its row; the other fields stay as in the database."""
    with store.database.transaction() as connection:
        row = connection.execute("SELECT spec FROM containers WHERE id = ?", (container_id,))
        current = Record.decode(row.fetchone()[0])
        connection.execute(
            "UPDATE containers SET spec = ? WHERE id = ?",
            (replace(current, networks=networks).encode(), container_id),
        )
