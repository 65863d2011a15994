"""`network connect` and `disconnect`, for running and for stopped containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.network_endpoints import keep
from dockmagic_runtime.containers.lifecycle.start import Starter, published_ports
from dockmagic_runtime.containers.plan import etc_files
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.names import require_name
from dockmagic_runtime.model.network import Attachment, Network
from dockmagic_runtime.network.endpoint_operations import RemoveVeth
from dockmagic_runtime.network.etc import hosts
from dockmagic_runtime.network.networks import (
    check_attachment,
    free_interface,
    new_endpoint,
    refuse_configuration,
)
from dockmagic_runtime.network.plan import (
    EndpointPlan,
    event_fields,
    introduced,
    plan,
    plug_in,
    republished,
    rerouted,
    shared,
    state_fields,
)
from dockmagic_runtime.sandbox.operation import Operation, to_wire
from dockmagic_runtime.store import locks

# ------------------------------------------------------------------ connect


def connect(starter: Starter, record: Record, network: Network, asked: Attachment) -> None:
    """Connects the container to one more network. Raises Conflict, InvalidInput without effect."""
    _check_modes(record, network)
    attachment = replace(asked, network=network.name, network_id=network.id)
    refuse_configuration(network)
    check_attachment(network, attachment)
    with _locked(starter, record):
        record = starter.store.find(record.id)
        is_alive = Status(starter.store.state(record.id).status).is_alive
        others = tuple(
            attachment for attachment in record.attachments if attachment.network != network.name
        )
        if is_alive and len(others) < len(record.attachments):
            raise Conflict(
                f"endpoint with name {record.name} already exists in network {network.name}"
            )
        joined = replace(record, networks=(*others, attachment))
        keep(starter.store, record.id, joined.attachments)
        if is_alive:
            try:
                _plug_in(starter, joined, attachment)
            except BaseException:
                starter.networks.release(record.id, network.id)
                keep(starter.store, record.id, record.attachments)
                raise


def _check_modes(record: Record, network: Network) -> None:
    mode = record.spec.network
    if mode.startswith("container:") or (mode == "host" and network.name != "host"):
        raise InvalidInput(
            "container sharing network namespace with another container or host cannot be "
            "connected to any other network"
        )
    if "host" in (mode, network.name):
        raise InvalidInput(
            "container cannot be disconnected from host network or connected to host network"
        )
    if "none" in (mode, network.name):
        raise InvalidInput(
            "container cannot be connected to multiple networks with one of the networks in "
            "private (none) mode"
        )


def _plug_in(starter: Starter, joined: Record, attachment: Attachment) -> None:
    networks = starter.networks
    before = _present(starter, joined)
    if attachment.network == "bridge":
        networks.default()
    ((network, lease),) = networks.lease(joined.id, (attachment,))
    interface = free_interface(network, attachment, [endpoint.interface for endpoint in before])
    endpoint = new_endpoint(network, attachment, lease, interface)
    after = [*before, endpoint]
    info = starter.container_info(joined)
    _update_networks(
        starter,
        joined,
        before,
        after,
        operations=(*shared(networks.paths, network), *plug_in(info, endpoint, False)),
        reverse=(RemoveVeth(endpoint.veth),),
    )
    own = hosts.own_names(joined.hostname, joined.spec.domainname)
    _write(starter, joined, "hosts", lambda text: hosts.with_line(text, lease.address, own))
    events_of(starter.store, joined).emit_network("connect", *event_fields(endpoint))


# ------------------------------------------------------------------ disconnect


def disconnect(starter: Starter, name: str, container: str, *, force: bool) -> None:
    """Disconnects the container from a network.

    Raises Conflict when it is not connected; NotFound for the container, and for the network
    unless `force`.
    """
    require_name("network", name)
    try:
        record = starter.store.find(container)
    except NotFound:
        if force:
            starter.networks.store.find(name)
            raise NotFound(f"endpoint {container} not found") from None
        raise
    is_known = True
    try:
        name = starter.networks.store.find(name).name
    except NotFound:
        if not force:
            raise
        is_known = False
    if "host" in (name, record.spec.network):
        raise InvalidInput(
            "container cannot be disconnected from host network or connected to host network"
        )
    with _locked(starter, record):
        record = starter.store.find(record.id)
        left = tuple(attachment for attachment in record.attachments if attachment.network != name)
        is_alive = Status(starter.store.state(record.id).status).is_alive
        if len(left) == len(record.attachments):
            the = "" if is_alive and is_known else "the "  # Docker has two sentences
            raise Conflict(f"container {record.id} is not connected to {the}network {name}")
        parted = replace(record, networks=left)
        if is_alive:
            _pull_out(starter, record, parted, name)
        keep(starter.store, record.id, parted.attachments)


def _pull_out(starter: Starter, record: Record, parted: Record, name: str) -> None:
    before = _present(starter, record)
    after = [endpoint for endpoint in before if endpoint.network.name != name]
    gone = next((endpoint for endpoint in before if endpoint.network.name == name), None)
    if gone is None:
        return  # the network was removed by force
    _update_networks(starter, parted, before, after, operations=(RemoveVeth(gone.veth),))
    starter.networks.release(record.id, gone.network.id)
    _write(starter, record, "hosts", lambda text: hosts.without_line(text, gone.lease.address))
    events_of(starter.store, record).emit_network("disconnect", *event_fields(gone))


# ------------------------------------------------------------------ common to both


def _locked(starter: Starter, record: Record) -> AbstractContextManager[None]:
    """Excludes other processes that change the container's networks."""
    return locks.held(starter.store.networks_lock(record.id))


def _present(starter: Starter, record: Record) -> list[EndpointPlan]:
    now = starter.store.state(record.id)
    return starter.networks.present(record.id, record.attachments, now.networks)


def _update_networks(
    starter: Starter,
    record: Record,
    before: Sequence[EndpointPlan],
    after: Sequence[EndpointPlan],
    *,
    operations: tuple[Operation, ...],
    reverse: tuple[Operation, ...] = (),
) -> None:
    """Asks the supervisor to change the networks, now and for its next start."""
    networks, ports = starter.networks, published_ports(record)
    info = starter.container_info(record)
    ended, begun = republished(networks.paths, info, before, after, ports)
    forgotten, known = introduced(networks.paths, info, before, after)
    connection = plan(networks.paths, info, after, ports) if after else networks.isolate()
    request = starter.request_again(record, connection)
    process = starter.store.connect(record.id)
    try:
        process.request(
            "networks",
            operations=to_wire((*operations, *rerouted(before, after))),
            reverse=to_wire((*reverse, *rerouted(after, before))),
            dropped=to_wire((*ended, *forgotten)),
            kept=to_wire((*begun, *known)),
            endpoint=state_fields(after),
            request=request.encode().decode("latin-1"),
        )
    finally:
        process.close()
    if _have_names(before) != _have_names(after):
        resolv_conf = networks.resolv_conf(record.spec, has_names=record.has_names)
        etc_files.rewrite_resolv_conf(starter.store.directory(record.id), resolv_conf)


def _have_names(endpoints: Sequence[EndpointPlan]) -> bool:
    return any(not endpoint.network.is_predefined for endpoint in endpoints)


def _write(starter: Starter, record: Record, name: str, change: Callable[[str], str]) -> None:
    etc_files.change(f"{starter.store.directory(record.id)}/{name}", change)
