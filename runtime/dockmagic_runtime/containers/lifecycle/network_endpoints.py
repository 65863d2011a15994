"""The networks of a new container: resolves names and refuses contradictions."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.network.networks import Networks, check_attachment

_ALONE = ("host", "none")


def attachments(networks: Networks, spec: ContainerSpec) -> tuple[Attachment, ...]:
    """The spec's attachments with the networks' full names and ids; empty for host, none and
    container:.

    Raises NotFound, and InvalidInput with Docker's texts.
    """
    asked = spec.attachments or (Attachment(network=spec.network),)
    if asked == (Attachment(network="bridge"),):
        return asked  # the usual case; the start finds or creates that network
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
    network = networks.store.find(asked.network)
    check_attachment(network, asked)
    return replace(asked, network=network.name, network_id=network.id)
