"""Addresses of one network, each leased to one container while it runs.

In the database an IPv4 address is a number, so that the lowest free one is found by the primary
key's order; an IPv6 address is a text beside it. All of it happens in the caller's transaction.
"""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.network import Network
from dockmagic_runtime.network.ipam.pools import Block, address_of, number_of

__all__ = ["Lease", "Network", "address_of", "allocate", "lease_of", "number_of", "release"]


class Lease(Struct, frozen=True):
    """`address6` is empty on a network without IPv6."""

    address: str
    address6: str = ""


def allocate(
    connection: sqlite3.Connection,
    network: Network,
    container_id: str,
    *,
    address: str = "",
    address6: str = "",
) -> Lease:
    """Lease the addresses that were asked for; else those the container has, else the lowest free.

    Raises Conflict when one is taken, or when all are.
    """
    held = lease_of(connection, network.id, container_id)
    if held and _is_good(held, network, address, address6):
        return held
    release(connection, container_id, network.id)  # of a subnet that the network had before
    number = _choose(connection, network, address)
    chosen = Lease(address_of(number), _choose6(connection, network, number, address6))
    connection.execute(
        "INSERT INTO leases (network_id, container_id, address, address6) VALUES (?, ?, ?, ?)",
        (network.id, container_id, number, chosen.address6),
    )
    return chosen


def _is_good(held: Lease, network: Network, address: str, address6: str) -> bool:
    block = Block.parse(network.subnet)
    return (
        block.first < number_of(held.address) < block.last
        and address in ("", held.address)
        and address6 in ("", held.address6)
        and bool(network.subnet6) == bool(held.address6)
    )


def _choose(connection: sqlite3.Connection, network: Network, address: str) -> int:
    block = Block.parse(network.subnet)
    spared = {number_of(text) for text in _spared(network) if ":" not in text}
    if address:
        number = number_of(address)
        spared |= {block.first, block.last}  # the network's own address and broadcast
        if number in spared or _is_taken(connection, network.id, number):
            raise Conflict("Address already in use", hint=f"{address} on network {network.name}")
        return number
    free = Block.parse(network.ip_range) if network.ip_range else block
    number = max(free.first, block.first + 1)
    last = min(free.last, block.last - 1)
    while (number := _lowest_free(connection, network.id, number, last)) in spared:
        number += 1
    if number > last:
        raise _exhausted(network, "IPv4")
    return number


def _spared(network: Network) -> tuple[str, ...]:
    """The addresses that no container gets."""
    gateways = tuple(filter(None, (network.gateway, network.gateway6)))
    return (*gateways, *(address for _, address in network.reserved))


def _exhausted(network: Network, family: str) -> Conflict:
    return Conflict(
        f"no available {family} addresses on this network's address pools: "
        f"{network.name} ({network.id})",
        hint="stop containers that are no longer needed",
    )


def _lowest_free(connection: sqlite3.Connection, network_id: str, start: int, last: int) -> int:
    """The first number from `start` on that is not leased; it may be greater than `last`.

    It follows the first run of leased numbers, in the order of the primary key.
    """
    here = (network_id, start, last)
    (count, highest) = connection.execute(f"SELECT count(*), max(address) {_HERE}", here).fetchone()
    if count == 0 or highest - start + 1 == count:  # no gap below the highest
        return start + int(count)
    if not _is_taken(connection, network_id, start):
        return start
    (number,) = connection.execute(
        f"SELECT address + 1 {_HERE} AND NOT EXISTS (SELECT 1 FROM leases AS next"
        " WHERE next.network_id = leases.network_id AND next.address = leases.address + 1)"
        " ORDER BY address LIMIT 1",
        here,
    ).fetchone()
    return int(number)


_HERE = "FROM leases WHERE network_id = ? AND address BETWEEN ? AND ?"


def _is_taken(connection: sqlite3.Connection, network_id: str, number: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM leases WHERE network_id = ? AND address = ?", (network_id, number)
    ).fetchone()
    return row is not None


def _choose6(connection: sqlite3.Connection, network: Network, number: int, address6: str) -> str:
    """Beside the IPv4 address, at the same distance from the beginning, if that is free."""
    if not network.subnet6:
        return ""
    spared = {number_of(text) for text in _spared(network) if ":" in text}
    block = Block.parse(network.subnet6)
    if address6:
        asked = address_of(number_of(address6), 128)
        spared |= {block.first}
        if number_of(asked) in spared or _is_taken6(connection, network.id, asked):
            raise Conflict("Address already in use", hint=f"{asked} on network {network.name}")
        return asked
    free = Block.parse(network.ip_range6 or network.subnet6)
    wanted = free.first + number - Block.parse(network.subnet).first
    for candidate in (*range(wanted, min(wanted + 1024, free.last + 1)), *_from(free, block)):
        text = address_of(candidate, 128)
        if candidate not in spared and not _is_taken6(connection, network.id, text):
            return text
    raise _exhausted(network, "IPv6")


def _from(free: Block, block: Block) -> range:
    start = max(free.first, block.first + 1)
    return range(start, min(start + (1 << 16), free.last + 1))


def _is_taken6(connection: sqlite3.Connection, network_id: str, address6: str) -> bool:
    row = connection.execute(
        "SELECT 1 FROM leases WHERE network_id = ? AND address6 = ?", (network_id, address6)
    ).fetchone()
    return row is not None


def lease_of(connection: sqlite3.Connection, network_id: str, container_id: str) -> Lease | None:
    row = connection.execute(
        "SELECT address, address6 FROM leases WHERE network_id = ? AND container_id = ?",
        (network_id, container_id),
    ).fetchone()
    return Lease(address_of(row[0]), row[1]) if row else None


def release(connection: sqlite3.Connection, container_id: str, network_id: str = "") -> None:
    """Give the container's leases back, of all networks or of that one. Idempotent."""
    if network_id:
        connection.execute(
            "DELETE FROM leases WHERE container_id = ? AND network_id = ?",
            (container_id, network_id),
        )
    else:
        connection.execute("DELETE FROM leases WHERE container_id = ?", (container_id,))
