"""From a `NetworkSpec` to a `Network`; errors have Docker's texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound, Unsupported
from dockmagic_runtime.model.network import OPERATOR_FIELDS, Network, NetworkSpec, Pool
from dockmagic_runtime.network import options
from dockmagic_runtime.network.ipam.pools import Block, gateway_of, number_of

_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
_OTHER_DRIVERS = ("overlay", "macvlan", "ipvlan")
_UNUSABLE = tuple(
    map(Block.parse, ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "ff00::/8"))
)
_RESERVED = ("bridge", "host", "none", "default")


def check(spec: NetworkSpec) -> None:
    """Check what does not depend on other networks. Raises InvalidInput, Conflict, Unsupported,
    NotFound."""
    if not spec.name.strip():
        raise InvalidInput("invalid name: name is empty")
    if spec.name in _RESERVED or spec.name.startswith("container:"):
        raise Conflict(f"operation is not permitted on predefined {spec.name} network")
    if not re.fullmatch(_NAME, spec.name):
        raise InvalidInput(
            f"invalid network name {spec.name!r}",
            hint="letters and digits; after the first also _ . -",
        )
    _check_configuration(spec)
    if not spec.config_only:
        _check_driver(spec.driver)
    options.check(spec.options)
    for pool in spec.pools:
        _check_pool(pool)
    if sum(":" in pool.subnet for pool in spec.pools) > 1 or _count4(spec) > 1:
        raise InvalidInput("bridge driver doesn't support multiple subnets")
    if not spec.ipv6 and any(":" in pool.subnet for pool in spec.pools):
        raise InvalidInput(
            "an IPv6 subnet needs IPv6 to be enabled on the network", hint="add --ipv6"
        )


def _check_configuration(spec: NetworkSpec) -> None:
    """Raises Conflict for what a configuration network, or one that takes it over, cannot have."""
    if spec.config_only:
        if spec.internal or spec.attachable:
            raise Conflict(OPERATOR_FIELDS)
        if spec.config_from:
            raise Conflict("a configuration network cannot depend on another configuration network")
    if not spec.config_from:
        return
    if spec.pools or spec.ipv6 or spec.labels or spec.ipam_options:
        raise Conflict(
            "user specified configurations are not supported if the network depends on a "
            "configuration network"
        )
    if spec.options:
        raise Conflict(
            "network driver options are not supported if the network depends on a "
            "configuration network"
        )


def configured(spec: NetworkSpec, configuration: Network) -> NetworkSpec:
    """The spec with everything that the configuration network has."""
    return replace(
        spec,
        pools=configuration.pools,
        ipv6=configuration.wants_ipv6,
        labels=configuration.labels,
        options=configuration.options,
        ipam_options=configuration.ipam_options,
        config_from="",
    )


def as_configuration(spec: NetworkSpec, *, network_id: str, created: float) -> Network:
    """The configuration network: it is noted, and nothing of it exists on the host."""
    return Network(
        id=network_id,
        name=spec.name,
        driver="null",
        bridge="",
        subnet="",
        gateway="",
        created=created,
        labels=spec.labels,
        options=spec.options,
        ipam_options=spec.ipam_options,
        config_only=True,
        pools=spec.pools,
        wants_ipv6=spec.ipv6,
    )


def _count4(spec: NetworkSpec) -> int:
    return sum("." in pool.subnet for pool in spec.pools)


def _check_driver(driver: str) -> None:
    if driver in ("host", "null"):
        raise Conflict(f'only one instance of "{driver}" network is allowed')
    if driver in _OTHER_DRIVERS:
        raise Unsupported(f"the network driver {driver} is not supported", hint="bridge is")
    if driver != "bridge":
        raise NotFound(f"could not find plugin {driver} in v1 plugin registry: plugin not found")


def _check_pool(pool: Pool) -> None:
    if not pool.subnet:
        if pool.gateway or pool.ip_range or pool.reserved:
            raise InvalidInput("every ip-range or gateway must have a corresponding subnet")
        return
    block = parse_subnet(pool.subnet)
    if block != block.network:
        raise InvalidInput(
            f"invalid network config:\ninvalid subnet {pool.subnet}: it should be {block.network}"
        )
    if any(block.overlaps(unusable) for unusable in _UNUSABLE):
        raise Conflict(
            "invalid pool request: Pool overlaps with other one on this address space",
            hint=f"{pool.subnet} holds loopback, link-local or multicast addresses",
        )
    if block.length > block.bits - 2:
        raise Conflict(
            "failed to allocate gateway (): No available addresses on this pool",
            hint=f"{pool.subnet} has no room for containers",
        )
    if pool.ip_range:
        _check_range(pool, block)
    if pool.gateway:
        _check_inside("gateway", pool.gateway, block)
        _check_free(f"gateway ({pool.gateway})", pool.gateway, block)
    for name, address in pool.reserved:
        _check_inside("aux-address", address, block)
        what = f"secondary ip address ({name}:{address})"
        _check_free(what, address, block, gateway=gateway_in(pool, block))


def _check_range(pool: Pool, block: Block) -> None:
    inner = parse_subnet(pool.ip_range).network
    if inner.length < block.length or not block.overlaps(inner):
        raise InvalidInput(f"no matching subnet for range {pool.ip_range}")


def _check_inside(what: str, address: str, block: Block) -> None:
    try:
        inside = block.contains(address)
    except OSError:
        raise InvalidInput(f"invalid {what} address: {address}") from None
    if not inside:
        raise InvalidInput(f"no matching subnet for {what} {address}")


def _check_free(what: str, address: str, block: Block, gateway: str = "") -> None:
    number = number_of(address)
    if number in (block.first, block.last) and block.bits == 32:
        taken = "is the subnet's network or broadcast address"
    elif gateway and number == number_of(gateway):
        taken = "is the gateway"
    else:
        return
    raise Conflict(f"failed to allocate {what}: Address already in use", hint=f"{address} {taken}")


def parse_subnet(text: str) -> Block:
    """Raises InvalidInput for a text that is no address with a prefix length."""
    try:
        block = Block.parse(text)
    except (OSError, ValueError):
        block = None
    if block is None or "/" not in text or not 0 <= block.length <= block.bits:
        raise InvalidInput(f"invalid CIDR address: {text}")
    return block


def pool_of(spec: NetworkSpec, bits: int) -> Pool:
    """The spec's pool of addresses with 32 or 128 bits; an empty one if it has none."""
    mark = "." if bits == 32 else ":"
    return next((pool for pool in spec.pools if mark in pool.subnet), Pool())


def as_network(
    spec: NetworkSpec,
    *,
    network_id: str,
    bridge: str,
    created: float,
    blocks: Iterable[Block],
    config_from: str = "",
) -> Network:
    """The network with these subnets. The gateway is the first address, unless it was given."""
    network = Network(
        id=network_id,
        name=spec.name,
        driver=spec.driver,
        bridge=spec.options.get(options.NAME, bridge),
        subnet="",
        gateway="",
        created=created,
        internal=spec.internal,
        attachable=spec.attachable,
        has_own_subnet=any(pool.subnet for pool in spec.pools),
        reserved=tuple(pair for pool in spec.pools for pair in pool.reserved),
        labels=spec.labels,
        options=spec.options,
        ipam_options=spec.ipam_options,
        config_from=config_from,
    )
    for block in blocks:
        pool = pool_of(spec, block.bits)
        gateway = gateway_in(pool, block)
        if block.bits == 32:
            network = replace(network, subnet=str(block), gateway=gateway, ip_range=pool.ip_range)
        else:
            network = replace(
                network, subnet6=str(block), gateway6=gateway, ip_range6=pool.ip_range
            )
    return network


def gateway_in(pool: Pool, block: Block) -> str:
    return pool.gateway or gateway_of(_first_part(pool, block))


def _first_part(pool: Pool, block: Block) -> Block:
    """Docker takes the gateway from the range, if there is one."""
    if not pool.ip_range:
        return block
    inner = Block.parse(pool.ip_range).network
    return block if inner.first == block.first else Block(inner.first - 1, 32, block.bits)
