"""`docker network create`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dockmagic.commands.options.environment import check_label, read_labels
from dockmagic.commands.options.flags import (
    Arguments,
    Parser,
    strings,
    switch,
    unsupported,
    value,
    values,
)
from dockmagic.commands.output.result import Event, Result, notice
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.network import OPERATOR_FIELDS, Network, NetworkSpec, Pool

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network create",
        usage="[OPTIONS] NETWORK",
        summary="Create a network",
        minimum=1,
        maximum=1,
        flags=(
            switch("attachable", help="Enable manual container attachment"),
            values(
                "aux-address",
                help="Auxiliary IPv4 or IPv6 addresses used by Network driver",
                type="map",
                default_text="map[]",
            ),
            value("config-from", help="The network from which to copy the configuration"),
            switch("config-only", help="Create a configuration only network"),
            value("driver", "d", "Driver to manage the Network", default="bridge"),
            strings("gateway", help="IPv4 or IPv6 Gateway for the master subnet"),
            switch("internal", help="Restrict external access to the network"),
            strings("ip-range", help="Allocate container ip from a sub-range"),
            value("ipam-driver", help="IP Address Management Driver", default="default"),
            values(
                "ipam-opt",
                help="Set IPAM driver specific options",
                type="map",
                default_text="map[]",
            ),
            switch("ipv4", help="Enable or disable IPv4 address assignment", default=True),
            switch("ipv6", help="Enable or disable IPv6 address assignment"),
            values("label", help="Set metadata on a network", convert=check_label),
            values("opt", "o", "Set driver specific options", type="map", default_text="map[]"),
            value("scope", help="Control the network's scope"),
            strings("subnet", help="Subnet in CIDR format that represents a network segment"),
            *unsupported("it belongs to swarms, and there is none here", "ingress"),
        ),
    )


class CreatedNetwork(Result, frozen=True):
    """Docker prints the id."""

    network: Network

    def text(self) -> str:
        return self.network.id

    def stable(self) -> str:
        return self.network.name

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": self.network.name,
                "driver": self.network.driver,
                "subnet": self.network.subnet,
                "gateway": self.network.gateway,
            }
        ]


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    network = engine.networks.create(_spec(arguments))
    if warning := engine.networks.warning(network.name):
        yield notice(f"WARNING: {warning}")
    yield CreatedNetwork(network)


def _spec(arguments: Arguments) -> NetworkSpec:
    flag = arguments.flag
    if not flag("ipv4"):
        raise InvalidInput(
            "IPv4 cannot be switched off on a bridge network here", hint="leave out --ipv4=false"
        )
    if flag("ipam-driver") not in ("", "default"):
        raise InvalidInput(f"invalid ipam driver: {flag('ipam-driver')}", hint="default is known")
    if flag("config-only") and flag("scope"):
        raise InvalidInput(OPERATOR_FIELDS)
    if flag("scope") not in ("", "local"):
        raise InvalidInput(f"invalid scope: {flag('scope')}", hint="local is known")
    return NetworkSpec(
        name=arguments.words[0],
        driver=flag("driver") or "bridge",
        pools=pools(flag("subnet"), flag("ip-range"), flag("gateway"), flag("aux-address")),
        internal=flag("internal"),
        attachable=flag("attachable"),
        ipv6=flag("ipv6"),
        labels=read_labels((), flag("label")),
        options=dict(_option(text) for text in flag("opt")),
        ipam_options=dict(_option(text) for text in flag("ipam-opt")),
        config_only=flag("config-only"),
        config_from=flag("config-from"),
    )


def _option(text: str) -> tuple[str, str]:
    key, _, said = text.partition("=")
    return key, said


def pools(
    subnets: Sequence[str], ranges: Sequence[str], gateways: Sequence[str], reserved: Sequence[str]
) -> tuple[Pool, ...]:
    """Each range, gateway and reserved address goes to the subnet that it lies in.

    Raises InvalidInput in Docker's words for one that lies in none, and for two of a kind.
    """
    if max(len(ranges), len(gateways)) > len(subnets):
        raise InvalidInput("every ip-range or gateway must have a corresponding subnet")
    by_network = {_subnet(text): Pool(subnet=text) for text in subnets}
    if any(
        a.overlaps(b)
        for a in by_network
        for b in by_network
        if a is not b and a.version == b.version
    ):
        raise InvalidInput("multiple overlapping subnet configuration is not supported")
    if len(by_network) < len(subnets):
        raise InvalidInput("multiple overlapping subnet configuration is not supported")
    for text in ranges:
        _network(text)
        _put(by_network, "ip_range", text, "range")
    for text in gateways:
        _put(by_network, "gateway", text, "gateway")
    for text in reserved:
        name, address = _option(text)
        where = _containing(by_network, address, f"aux-address {address}")
        pool = by_network[where]
        by_network[where] = replace(pool, reserved=(*pool.reserved, (name, address)))
    return tuple(by_network.values())


def _put(by_network: dict[Any, Pool], field: str, text: str, what: str) -> None:
    where = _containing(by_network, text, f"{what} {text}")
    before = getattr(by_network[where], field)
    if before:
        raise InvalidInput(
            f"cannot configure multiple {what}s ({text}, {before}) on the same subnet "
            f"({by_network[where].subnet})"
        )
    by_network[where] = replace(by_network[where], **{field: text})


def _containing(by_network: dict[Any, Pool], text: str, what: str) -> Any:
    try:
        inner = _network(text)
    except InvalidInput:
        inner = None
    for network in by_network if inner else ():
        if inner.version == network.version and inner.subnet_of(network):
            return network
    raise InvalidInput(f"no matching subnet for {what}")


def _subnet(text: str) -> Any:
    if "/" not in text:
        raise InvalidInput(f"Invalid subnet {text} : invalid CIDR address: {text}")
    try:
        return _network(text)
    except InvalidInput as error:
        raise InvalidInput(f"Invalid subnet {text} : {error.message}") from None


def _network(text: str) -> Any:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidInput(f"invalid CIDR address: {text}") from None
