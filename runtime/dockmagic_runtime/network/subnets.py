"""Which subnet a network gets: one that no network of the area, no route and no name server of
the host uses.

A subnet is chosen under the lock of the host and inside the transaction that stores the network's
row, so that two data roots never choose the same.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux.netlink import Netlink
from dockmagic_runtime.model.network import Network, NetworkSpec
from dockmagic_runtime.network import definition, rows, rtnl
from dockmagic_runtime.network.etc import host_files
from dockmagic_runtime.network.etc.resolv_conf import ResolvConf
from dockmagic_runtime.network.ipam import pools
from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.store.sha256 import digest

if TYPE_CHECKING:
    from pathlib import Path

_SHORTEST_PREFIX = 8


def used_on_host(netlink: Netlink, own: str = "") -> Iterator[Block]:
    """The destinations of the host's routes, except through the bridge `own`, and its name
    servers.

    A route to half of all addresses is a VPN's default route: it does not show that those
    addresses are in use.
    """
    link = rtnl.find_link(netlink, own) if own else None
    for first, length, index in rtnl.routes(netlink):
        if length >= _SHORTEST_PREFIX and (link is None or index != link.index):
            yield Block(first, length)
    for server in ResolvConf.parse(host_files.read(host_files.RESOLV_CONF)).servers:
        if ":" not in server:
            yield from rows.blocks_in(server)


def of_others(connection: sqlite3.Connection, name: str) -> list[Block]:
    """The subnets of the area's networks except `name`: their bridges may not exist now."""
    subnets = connection.execute(
        "SELECT subnet FROM networks WHERE name != ? AND subnet != ''", (name,)
    )
    return [block for (subnet,) in subnets for block in rows.blocks_in(subnet)]


def is_taken(network: Network, used: list[Block]) -> bool:
    block = Block.parse(network.subnet)
    return any(block.overlaps(other) for other in used)


def choose4(connection: sqlite3.Connection, netlink: Netlink, spec: NetworkSpec) -> Block:
    """Raises Conflict if the subnet that was asked for is in use."""
    asked = definition.pool_of(spec, 32).subnet
    if not asked:
        used = [*used_on_host(netlink), *rows.blocks(connection)]
        return pools.choose(used)
    block = Block.parse(asked)
    _refuse_overlap(connection, block)
    for other in used_on_host(netlink):
        if other.length < 32 and block.overlaps(other):
            raise _overlap(f"this host has a route to {other}")
    return block


def choose6(connection: sqlite3.Connection, spec: NetworkSpec, data_root: Path) -> Block:
    """A local one by default, which depends on the data root: two data roots rarely choose the
    same. Raises Conflict if the subnet that was asked for is in use."""
    asked = definition.pool_of(spec, 128).subnet
    if asked:
        block = Block.parse(asked)
        _refuse_overlap(connection, block)
        return block
    seed = digest(os.fsencode(data_root))
    return pools.choose(rows.blocks(connection), pools.local_pools(seed))


def require_free_subnet(network: Network) -> None:
    """Raises Conflict when the network's bridge does not exist, as after a reboot, and the host has
    a route to its subnet by now: creating the bridge would cut the host off from there."""
    with Netlink() as netlink:
        if rtnl.find_link(netlink, network.bridge) is None:
            block = Block.parse(network.subnet)
            for other in used_on_host(netlink):
                if other.length < 32 and block.overlaps(other):
                    raise Conflict(
                        f"network {network.name} ({network.subnet}) cannot be made again: "
                        f"this host has a route to {other} by now",
                        hint="remove that network, and create it with another subnet",
                    )


def _refuse_overlap(connection: sqlite3.Connection, block: Block) -> None:
    if other := rows.overlapping(connection, block):
        raise _overlap(f"network {other} has it")


def _overlap(reason: str) -> Conflict:
    return Conflict(
        "invalid pool request: Pool overlaps with other one on this address space", hint=reason
    )
