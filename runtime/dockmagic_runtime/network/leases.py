"""Addresses of one network, each leased to one container while it runs.

Two tables: `networks` (subnet and gateway as text) and `leases` (address as a number). All of it
happens in the caller's transaction.
"""

from __future__ import annotations

import socket
import sqlite3
import struct
from dataclasses import dataclass
from typing import Any

from dockmagic_runtime.errors import Conflict


def number_of(address: str) -> int:
    return int(struct.unpack(">I", socket.inet_aton(address))[0])


def address_of(number: int) -> str:
    return socket.inet_ntoa(struct.pack(">I", number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One row of `networks`."""

    id: str
    name: str
    driver: str
    bridge: str
    subnet: str
    gateway: str
    created: float

    @property
    def prefix_length(self) -> int:
        return int(self.subnet.partition("/")[2])

    @property
    def first(self) -> int:
        """The subnet's own address, as a number."""
        return number_of(self.subnet.partition("/")[0])

    @property
    def last(self) -> int:
        """The broadcast address, as a number."""
        return self.first + (1 << 32 - self.prefix_length) - 1


COLUMNS = ("id", "name", "driver", "bridge", "subnet", "gateway", "created")
FIND_NETWORK = f"SELECT {', '.join(COLUMNS)} FROM networks WHERE name = ?"


def as_network(row: tuple[Any, ...] | None) -> Network | None:
    """The network of a row that `FIND_NETWORK` found."""
    return Network(**dict(zip(COLUMNS, row, strict=True))) if row else None


def store_network(connection: sqlite3.Connection, network: Network) -> None:
    """Insert, or give an existing one another subnet."""
    connection.execute(
        "INSERT INTO networks (id, name, driver, bridge, subnet, gateway, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET subnet = excluded.subnet, gateway = excluded.gateway",
        (
            network.id,
            network.name,
            network.driver,
            network.bridge,
            network.subnet,
            network.gateway,
            network.created,
        ),
    )


_HERE = "FROM leases WHERE network_id = ? AND address BETWEEN ? AND ?"


def allocate(connection: sqlite3.Connection, network: Network, container_id: str) -> str:
    """The lowest free address, or the one the container has. Raises Conflict when all are taken."""
    held = lease_of(connection, network.id, container_id)
    if held and network.first < number_of(held) < network.last:
        return held
    release(connection, container_id)  # of a subnet that the network had before
    number = _lowest_free(connection, network)
    if number >= network.last:
        raise Conflict(
            f"no available IPv4 addresses on network {network.name} ({network.subnet})",
            hint="stop containers that are no longer needed",
        )
    connection.execute(
        "INSERT INTO leases (network_id, container_id, address) VALUES (?, ?, ?)",
        (network.id, container_id, number),
    )
    return address_of(number)


def _lowest_free(connection: sqlite3.Connection, network: Network) -> int:
    """The number behind the first run of taken ones, by the primary key's order.

    The gateway is the first address, and the run begins with it.
    """
    start = number_of(network.gateway) + 1
    here = (network.id, start, network.last)
    (count, highest) = connection.execute(f"SELECT count(*), max(address) {_HERE}", here).fetchone()
    if count == 0 or highest - start + 1 == count:  # no gap below the highest
        return start + int(count)
    if not _is_taken(connection, network.id, start):
        return start
    (number,) = connection.execute(
        f"SELECT address + 1 {_HERE} AND NOT EXISTS (SELECT 1 FROM leases AS next"
        " WHERE next.network_id = leases.network_id AND next.address = leases.address + 1)"
        " ORDER BY address LIMIT 1",
        here,
    ).fetchone()
    return int(number)


def _is_taken(connection: sqlite3.Connection, network_id: str, number: int) -> bool:
    found = connection.execute(
        "SELECT 1 FROM leases WHERE network_id = ? AND address = ?", (network_id, number)
    ).fetchone()
    return found is not None


def lease_of(connection: sqlite3.Connection, network_id: str, container_id: str) -> str:
    """The container's address; empty when it has none."""
    row = connection.execute(
        "SELECT address FROM leases WHERE network_id = ? AND container_id = ?",
        (network_id, container_id),
    ).fetchone()
    return address_of(row[0]) if row else ""


def release(connection: sqlite3.Connection, container_id: str) -> None:
    """Give back what the container has, in all networks. Idempotent."""
    connection.execute("DELETE FROM leases WHERE container_id = ?", (container_id,))
