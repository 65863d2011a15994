"""`network ls`, `inspect`, `rm` and `prune`: networks and the containers on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore, network_names
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.filters import (
    PRUNE,
    Filters,
    boolean,
    check,
    has_label,
    matches_name,
    prunable,
)
from dockmagic_runtime.model.network import Network, PrunedNetworks
from dockmagic_runtime.model.times import rfc3339
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.store.events import emit
from dockmagic_runtime.supervisor.state import State

LIST: Final = frozenset(["dangling", "driver", "id", "label", "name", "scope", "type"])

# ------------------------------------------------------------------ looking


def find(networks: Networks, store: ContainerStore, filters: Filters) -> tuple[Network, ...]:
    """The networks that pass the filters, by name. Raises InvalidInput for an unknown filter."""
    check(filters, LIST)
    tests = _tests(filters)
    listed = [
        network for network in networks.store.everything() if all(test(network) for test in tests)
    ]
    unused = boolean(filters, "dangling")
    if unused is not None:
        used = _used(store)
        used |= {network.name for network in listed if network.is_predefined}
        listed = [network for network in listed if (network.name not in used) == unused]
    return tuple(listed)


def _tests(filters: Filters) -> list[Callable[[Network], bool]]:
    for kind in filters.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise InvalidInput(f"invalid filter: 'type'='{kind}'")
    fields: dict[str, Callable[[Network, str], bool]] = {
        "driver": lambda network, text: network.driver == text,
        "id": lambda network, text: network.id.startswith(text),
        "name": lambda network, text: matches_name(network.name, text),
        "scope": lambda network, text: network.scope == text,
        "type": lambda network, text: network.is_predefined == (text == "builtin"),
    }
    tests = [_any_of(filters[name], test) for name, test in fields.items() if filters.get(name)]
    labels = filters.get("label", ())
    return [*tests, lambda network: all(has_label(network.labels, text) for text in labels)]


def _any_of(values: Any, test: Callable[[Network, str], bool]) -> Callable[[Network], bool]:
    return lambda network: any(test(network, text) for text in values)


def _used(store: ContainerStore) -> set[str]:
    """The names of the networks of running containers."""
    return {
        name
        for record, now in store.all()
        if Status(now.status).is_alive
        for name in network_names(record)
    }


def inspect(networks: Networks, store: ContainerStore, network: Network) -> dict[str, Any]:
    """Docker's `GET /networks/{id}`."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None if network.is_predefined else dict(network.ipam_options),
            "Config": _configured(network) if network.config_only else _pools(network),
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": {
            record.id: _member(record, now, network)
            for record, now in members(networks, store, network)
        },
        "Options": _options(network),
        "Labels": dict(network.labels),
        **({"Status": {"Damage": network.damage}} if network.damage else {}),
    }


def _options(network: Network) -> dict[str, str]:
    """The options; the default network shows all of them, as with Docker."""
    if network.name != "bridge":
        return dict(network.options)
    return {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": network.bridge,
        "com.docker.network.driver.mtu": "1500",
    }


def _pools(network: Network) -> list[dict[str, Any]] | None:
    pools = [
        _pool(network, subnet, ip_range, gateway)
        for subnet, ip_range, gateway in (
            (network.subnet, network.ip_range, network.gateway),
            (network.subnet6, network.ip_range6, network.gateway6),
        )
        if subnet
    ]
    return pools or None


def _configured(network: Network) -> list[dict[str, Any]]:
    """The pools of a configuration, as they were given."""
    return [
        {
            "Subnet": pool.subnet,
            **({"IPRange": pool.ip_range} if pool.ip_range else {}),
            **({"Gateway": pool.gateway} if pool.gateway else {}),
            **({"AuxiliaryAddresses": dict(pool.reserved)} if pool.reserved else {}),
        }
        for pool in network.pools
    ]


def _pool(network: Network, subnet: str, ip_range: str, gateway: str) -> dict[str, Any]:
    reserved = {
        name: address for name, address in network.reserved if (":" in address) == (":" in subnet)
    }
    return {
        "Subnet": subnet,
        **({"IPRange": ip_range} if ip_range else {}),
        "Gateway": gateway,
        **({"AuxiliaryAddresses": reserved} if reserved else {}),
    }


def members(
    networks: Networks, store: ContainerStore, network: Network
) -> list[tuple[Record, State]]:
    """The running containers on a network."""
    if not network.bridge:
        candidates = [
            (record, now) for record, now in store.all() if record.spec.network == network.name
        ]
    else:
        candidates = [
            (record, store.state(record.id))
            for record in map(store.find_by_id, networks.members(network.id))
            if record is not None
        ]
    return [(record, now) for record, now in candidates if Status(now.status).is_alive]


def _member(record: Record, now: State, network: Network) -> dict[str, str]:
    there = now.networks.get(network.id, {})
    address, address6 = there.get("ip_address", ""), there.get("ip6_address", "")
    return {
        "Name": record.name,
        "EndpointID": there.get("endpoint_id", ""),
        "MacAddress": there.get("mac_address", ""),
        "IPv4Address": f"{address}/{there.get('prefix_length', 0)}" if address else "",
        "IPv6Address": f"{address6}/{there.get('prefix_length6', 0)}" if address6 else "",
    }


# ------------------------------------------------------------------ removing


def remove(networks: Networks, store: ContainerStore, name: str, *, force: bool) -> bool:
    """Removes a network; returns whether there was one.

    Raises Conflict while a container on it runs; NotFound, unless `force`.
    """
    try:
        network = networks.store.find(name)
    except NotFound:
        if force:
            return False
        raise
    _remove(networks, store, network)
    return True


def _remove(networks: Networks, store: ContainerStore, network: Network) -> None:
    if not network.is_predefined and networks.members(network.id):
        networks.sweep()  # a killed container may still have an address there
        on_it = [record for record, _ in members(networks, store, network)]
        if on_it:
            raise _in_use(network, on_it)
    networks.store.remove(network)


def _in_use(network: Network, on_it: list[Record]) -> Conflict:
    endpoints = ", ".join(f'name:"{record.name}" id:"{record.id[:12]}"' for record in on_it)
    return Conflict(
        f"error while removing network: network {network.name} has active endpoints ({endpoints})",
        hint="disconnect or stop those containers first",
    )


def prune(networks: Networks, store: ContainerStore, filters: Filters) -> PrunedNetworks:
    """Removes the networks without running containers. Filters: until, label, label!."""
    check(filters, PRUNE)
    wanted = prunable(filters)
    removed: list[str] = []
    for network in networks.store.everything():
        if network.is_predefined or network.config_only:
            continue
        if not wanted(network.created, network.labels):
            continue
        try:
            _remove(networks, store, network)
        except (Conflict, NotFound):
            continue  # in use
        removed.append(network.name)
    event = Event(type="network", action="prune", id="", attributes={"reclaimed": "0"})
    emit(store.data_root.path, event)
    return PrunedNetworks(names=tuple(removed))
