"""The table `networks` of the database. Writes happen in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.network import PREDEFINED, Attachment, Network
from dockmagic_runtime.model.suggest import did_you_mean
from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.store.database import Database

_PLAIN = ("id", "name", "driver", "bridge", "subnet", "gateway", "created", "subnet6")
_DETAILS = (
    "gateway6",
    "ip_range",
    "ip_range6",
    "reserved",
    "internal",
    "attachable",
    "has_own_subnet",
    "labels",
    "options",
    "ipam_options",
    "config_only",
    "config_from",
    "pools",
    "wants_ipv6",
)
_SELECT = f"SELECT {', '.join(_PLAIN)}, details FROM networks"


def _as_network(row: tuple[Any, ...]) -> Network:
    """The network; with a text in `damage` when parts of the row cannot be read."""
    plain = dict(zip(_PLAIN, row, strict=False))
    try:
        network = msgspec.convert(plain | msgspec.json.decode(row[-1]), Network)
        for subnet in filter(None, (network.subnet, network.subnet6)):
            Block.parse(subnet)
    except (OSError, ValueError, TypeError, msgspec.MsgspecError):
        return _damaged(plain)
    return network


def _damaged(plain: dict[str, Any]) -> Network:
    network_id, name, bridge = (str(plain[key]) for key in ("id", "name", "bridge"))
    return Network(
        id=network_id,
        name=name,
        driver=str(plain["driver"]),
        bridge=bridge,
        subnet="",
        gateway="",
        created=plain["created"] if isinstance(plain["created"], float) else 0.0,
        damage="its row is damaged: its addresses, labels and options are lost",
    )


def from_columns(row: dict[str, Any]) -> Network:
    """The network of a row from elsewhere. Raises KeyError, ValueError, InvalidInput."""
    network = _as_network((*(row[column] for column in _PLAIN), row["details"]))
    if network.damage:
        raise ValueError(network.damage)
    return network


def by_name(database: Database, name: str) -> Network | None:
    row = database.row(f"{_SELECT} WHERE name = ?", name)
    return _as_network(row) if row else None


def by_id(connection: sqlite3.Connection, network_id: str) -> Network | None:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (network_id,)).fetchone()
    return _as_network(row) if row else None


def attached(connection: sqlite3.Connection, attachment: Attachment) -> Network | None:
    """The network of an attachment: by id, or by name where it has no id."""
    column = "id" if attachment.network_id else "name"
    wanted = attachment.network_id or attachment.network
    row = connection.execute(f"{_SELECT} WHERE {column} = ?", (wanted,)).fetchone()
    return _as_network(row) if row else None


def find(database: Database, wanted: str) -> Network:
    """By full id, name or unique prefix of an id, in this order. Raises NotFound."""
    row = database.row(f"{_SELECT} WHERE id = ? OR name = ? ORDER BY id = ? DESC LIMIT 1",
                       wanted, wanted, wanted)  # fmt: skip
    if row is None and wanted and all(digit in "0123456789abcdef" for digit in wanted):
        rows = database.rows(f"{_SELECT} WHERE id >= ? AND id < ? LIMIT 2", wanted, f"{wanted}g")
        if len(rows) > 1:
            raise InvalidInput(
                f"network {wanted} is ambiguous (2 matches found based on ID prefix)"
            )
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(f"network {wanted} not found", hint=_near(database, wanted))
    return _as_network(row)


def _near(database: Database, wanted: str) -> str:
    names = {*PREDEFINED, *(name for (name,) in database.rows("SELECT name FROM networks"))}
    return did_you_mean(wanted, names, 3, otherwise="'docker network ls' lists them all")


def everything(database: Database) -> list[Network]:
    """By name."""
    return [_as_network(row) for row in database.rows(f"{_SELECT} ORDER BY name")]


def ids(database: Database) -> set[str]:
    return {network_id for (network_id,) in database.rows("SELECT id FROM networks")}


def store(connection: sqlite3.Connection, network: Network) -> None:
    """Insert the network, or update an existing one.

    Raises Conflict for a name or a bridge in use.
    """
    span = Block.parse(network.subnet) if network.subnet else None
    details = msgspec.json.encode({name: getattr(network, name) for name in _DETAILS}).decode()
    plain = tuple(getattr(network, name) for name in _PLAIN)
    try:
        connection.execute(
            f"INSERT INTO networks ({', '.join(_PLAIN)}, first, last, details)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET subnet = excluded.subnet, gateway = excluded.gateway, first = excluded.first,"
            " last = excluded.last, bridge = excluded.bridge, subnet6 = excluded.subnet6,"
            " created = excluded.created, details = excluded.details",
            (*plain, span.first if span else -1, span.last if span else -1, details),
        )
    except sqlite3.IntegrityError as error:
        raise _refusal(error, network) from error


def _refusal(error: sqlite3.IntegrityError, network: Network) -> Conflict:
    if "networks.bridge" in str(error):
        return Conflict(f"bridge name {network.bridge} is already in use by another network")
    return Conflict(f"network with name {network.name} already exists")


def with_bridge(connection: sqlite3.Connection, bridge: str) -> str:
    """The id of the network with that bridge; empty when there is none."""
    row = connection.execute("SELECT id FROM networks WHERE bridge = ?", (bridge,)).fetchone()
    return str(row[0]) if row else ""


def delete(connection: sqlite3.Connection, network_id: str) -> None:
    connection.execute("DELETE FROM networks WHERE id = ?", (network_id,))


def overlapping(connection: sqlite3.Connection, block: Block) -> str:
    """The name of a network with an overlapping subnet; empty when there is none."""
    if block.bits == 32:  # areas of earlier versions have no first address in their rows
        rows = connection.execute(
            "SELECT name, subnet FROM networks"
            " WHERE subnet != '' AND (first <= ? AND last >= ? OR first < 0)",
            (block.last, block.first),
        )
    else:
        rows = connection.execute("SELECT name, subnet6 FROM networks WHERE subnet6 != ''")
    overlap = (name for name, text in rows for other in blocks_in(text) if other.overlaps(block))
    return next(overlap, "")


def blocks_in(text: str) -> tuple[Block, ...]:
    """The subnet of a row; nothing for an empty or a damaged text."""
    try:
        return (Block.parse(text),) if text else ()
    except (OSError, ValueError):
        return ()


def blocks(connection: sqlite3.Connection) -> Iterator[Block]:
    """The subnets of all networks, of both families."""
    for subnet, subnet6 in connection.execute("SELECT subnet, subnet6 FROM networks"):
        yield from (*blocks_in(subnet), *blocks_in(subnet6))


def members(connection: sqlite3.Connection, network_id: str) -> list[str]:
    """The ids of the containers with an address on the network, by address."""
    rows = connection.execute(
        "SELECT container_id FROM leases WHERE network_id = ? ORDER BY address", (network_id,)
    )
    return [container_id for (container_id,) in rows]
