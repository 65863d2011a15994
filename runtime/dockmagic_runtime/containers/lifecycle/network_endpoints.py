"""Which networks a new container is on: names resolved, and what contradicts refused."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.network import Attachment
from dockmagic_runtime.network.networks import Networks, check_attachment

_ALONE = ("host", "none")


def attachments(networks: Networks, spec: ContainerSpec) -> tuple[Attachment, ...]:
    """Those of the spec with the networks' own names and ids; none for host, none and container:.

    Raises NotFound, and InvalidInput in Docker's words.
    """
    asked = spec.attachments or (Attachment(network=spec.network),)
    if asked == (Attachment(network="bridge"),):
        return asked  # most are; that network is found, or made, at the start
    if any(one.network.startswith("container:") for one in asked):
        if len(asked) > 1:
            raise _mixed("container", "another network")
        return ()
    resolved = [_resolved(networks, one) for one in asked]
    names = [one.network for one in resolved]
    for name in _ALONE:
        if name in names and len(names) > 1:
            raise _mixed(name, "any other network")
    if len(set(names)) < len(names):
        raise InvalidInput(f"network {names[-1]} is given twice")
    return tuple(one for one in resolved if one.network not in _ALONE)


def _mixed(kind: str, other: str) -> InvalidInput:
    return InvalidInput(f"conflicting options: cannot attach both {kind} network and {other}")


def _resolved(networks: Networks, asked: Attachment) -> Attachment:
    network = networks.store.find(asked.network)
    check_attachment(network, asked)
    return replace(asked, network=network.name, network_id=network.id)
