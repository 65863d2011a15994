"""`system repair`: rebuilds the rows of a damaged database from the files beside it.

Sources, the better first: the files of the rows (`store.row_files`), the rows that can still be
read, the directories themselves. A database that SQLite can still work with is mended in one
transaction, under the feet of other processes; any other is set aside and replaced. Nothing that
runs is touched: a container is its supervisor, its lock and its directory.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import DockmagicError, StateDamaged
from dockmagic_runtime.images import rebuild
from dockmagic_runtime.model.repair import Repair
from dockmagic_runtime.network import rows as network_rows
from dockmagic_runtime.network.ipam.leases import number_of
from dockmagic_runtime.store import container_process, locks
from dockmagic_runtime.store.atomic import sync_directory
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.row_files import TABLES, Row, RowFiles
from dockmagic_runtime.store.salvage import CACHE, as_text, salvage
from dockmagic_runtime.supervisor import state

_LEASES: Final = "leases"
_IMAGE_LAYERS: Final = "image_layers"
# in an order in which each row finds what it refers to
_ORDER: Final = (
    "layers",
    "images",
    _IMAGE_LAYERS,
    "tags",
    "containers",
    "networks",
    _LEASES,
    CACHE,
)
_LOST: Final = "lost"  # the directory for what nothing describes any more

Rows = dict[str, list[Row]]


def repair(data_root: DataRoot) -> Repair:
    """Rebuilds the database of a data root. No engine of this process may have it open.

    Raises Unsupported for a database of a newer version, OSError for a disk that is full.
    """
    with locks.held(f"{data_root.root}/repair.lock"):
        database = _opened(data_root)
        if database is not None:
            try:
                return _mended(data_root, database)
            except StateDamaged:
                pass  # what no check has found
            finally:
                database.close()
        return _replaced(data_root)


def _opened(data_root: DataRoot) -> Database | None:
    """The database, if SQLite finds no fault in it."""
    try:
        database = Database(data_root.database)
    except StateDamaged:
        return None
    try:
        faults = database.rows("PRAGMA integrity_check(1)")
        if faults == [("ok",)] and not database.rows("PRAGMA foreign_key_check"):
            return database
    except StateDamaged:
        pass
    database.close()
    return None


# ---------------------------------------------------------------------- the two ways


def _mended(data_root: DataRoot, database: Database) -> Repair:
    """In one transaction, which other processes' rows come before or after."""
    with database.transaction() as connection:
        before = {table: _all(connection, table) for table in _ORDER}
        rows, lost = _gathered(data_root, before, in_place=True)
        changed = any(_sorted(rows[table]) != _sorted(before[table]) for table in _ORDER)
        if changed:
            _write(connection, rows)
    return _report(data_root, rows, lost, changed=changed)


def _replaced(data_root: DataRoot) -> Repair:
    rows, lost = _gathered(data_root, salvage(data_root.database, data_root.scratch))
    new = data_root.root / "state.db.new"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    database = Database(new, is_new=True)
    try:
        with database.transaction() as connection:
            _write(connection, rows)
    finally:
        database.close()
    kept = f"{data_root.database}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
    for suffix in ("-shm", "-wal", ""):
        with suppress(FileNotFoundError):
            Path(f"{data_root.database}{suffix}").rename(f"{kept}{suffix}")
    new.rename(data_root.database)
    sync_directory(str(data_root.root))
    _forget_files(data_root, rows)
    return _report(data_root, rows, lost, changed=True, kept=kept if Path(kept).exists() else "")


def _all(connection: sqlite3.Connection, table: str) -> list[Row]:
    connection.text_factory = bytes  # of a text that is none any more, the row's rest is read
    try:
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        return [as_text(dict(zip(names, values, strict=True))) for values in cursor]
    finally:
        connection.text_factory = str


def _sorted(rows: Iterable[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def _write(connection: sqlite3.Connection, rows: Rows) -> None:
    for table in reversed(_ORDER):
        connection.execute(f"DELETE FROM {table}")
    for table in _ORDER:
        for row in rows[table]:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values())
            )


def _report(
    data_root: DataRoot, rows: Rows, lost: list[str], *, changed: bool, kept: str = ""
) -> Repair:
    return Repair(
        database=str(data_root.database),
        changed=changed,
        kept_aside=kept,
        images=len(rows["images"]),
        containers=len(rows["containers"]),
        networks=len(rows["networks"]),
        volumes=sum(path.is_dir() for path in data_root.volumes.iterdir()),
        lost=tuple(lost),
    )


# ---------------------------------------------------------------------- the rows


def _forget_files(data_root: DataRoot, rows: Rows) -> None:
    """Those of rows that have turned out to be of nothing."""
    files = RowFiles(str(data_root.root))
    for table, columns in TABLES.items():
        files.keep_only(table, {row[columns[0]] for row in rows[table]})


def _gathered(
    data_root: DataRoot, readable: Mapping[str, list[Row]], *, in_place: bool = False
) -> tuple[Rows, list[str]]:
    """The rows that are valid, and what cannot be saved.

    In place, other processes may be making containers: directories and leases without a row yet.
    """
    files = RowFiles(str(data_root.root))
    candidates = {
        table: list(itertools.chain(files.read(table), readable.get(table, ()))) for table in TABLES
    }
    images = rebuild.rebuild(
        data_root, candidates["layers"], candidates["images"], candidates["tags"]
    )
    lost = images.lost
    containers = _containers(data_root, candidates["containers"], lost)
    if not in_place:
        _set_aside(data_root, {row["id"] for row in containers}, lost)
    networks = _networks(candidates["networks"], lost)
    layers = images.layers
    rows: Rows = {
        "layers": list(layers.values()),
        "images": list(images.images.values()),
        _IMAGE_LAYERS: list(images.image_layers()),
        "tags": list(images.tags.values()),
        "containers": containers,
        "networks": networks,
        _LEASES: list(readable[_LEASES])
        if in_place
        else list(_leases(data_root, containers, {row["id"] for row in networks})),
        CACHE: [row for row in readable.get(CACHE, ()) if _is_cached(row, layers)],
    }
    return rows, lost


def _containers(data_root: DataRoot, candidates: Iterable[Row], lost: list[str]) -> list[Row]:
    directories = _directories(data_root)
    rows: dict[str, Row] = {}
    names: set[str] = set()
    for row in candidates:
        record = _record(row)
        if record is None or record.id not in directories or record.id in rows:
            continue
        if record.name in names:
            lost.append(f"container {record.id[:12]}: another one is called {record.name}")
            continue
        names.add(record.name)
        rows[record.id] = {
            "id": record.id,
            "name": record.name,
            "image_id": record.image_id,
            "created": record.created,
            "spec": record.encode(),
        }
    return list(rows.values())


def _record(row: Row) -> Record | None:
    try:
        record = Record.decode(str(row.get("spec")))
    except ValueError:  # msgspec's errors are
        return None
    return record if record.id == row.get("id") else None


def _set_aside(data_root: DataRoot, known: set[str], lost: list[str]) -> None:
    """Directories of containers that nothing describes: out of the way of the sweep, which removes
    those without a row."""
    for container_id in sorted(_directories(data_root) - known):
        place = data_root.root / _LOST / container_id
        place.parent.mkdir(mode=0o700, exist_ok=True)
        (data_root.containers / container_id).rename(place)
        lost.append(
            f"container {container_id[:12]}: nothing describes it; its files are in {place}"
        )


def _directories(data_root: DataRoot) -> set[str]:
    return {path.name for path in data_root.containers.iterdir() if len(path.name) == 64}


def _networks(candidates: Iterable[Row], lost: list[str]) -> list[Row]:
    rows: dict[str, Row] = {}
    taken: set[str] = set()  # names and bridges
    for row in candidates:
        try:
            network = network_rows.from_columns(row)
        except (KeyError, TypeError, ValueError, DockmagicError):
            continue
        unique = {f"name {network.name}", *([network.bridge] if network.bridge else [])}
        if network.id in rows:
            continue
        if unique & taken:
            lost.append(f"network {network.id[:12]}: another one is called {network.name}")
            continue
        taken |= unique
        rows[network.id] = {column: row[column] for column in TABLES["networks"]}
    return list(rows.values())


def _leases(data_root: DataRoot, containers: Iterable[Row], networks: set[str]) -> Iterator[Row]:
    """The addresses of containers that run, as their state files have them."""
    taken: set[tuple[str, int]] = set()
    for container in containers:
        container_id = container["id"]
        if not container_process.is_alive(str(data_root.container_run(container_id))):
            continue
        recorded = state.load(str(data_root.container(container_id))).networks
        for network_id, fields in recorded.items():
            if network_id not in networks or not fields.get("ip_address"):
                continue
            number = number_of(fields["ip_address"])
            if (network_id, number) not in taken:
                taken.add((network_id, number))
                yield {
                    "network_id": network_id,
                    "container_id": container_id,
                    "address": number,
                    "address6": fields.get("ip6_address", ""),
                }


def _is_cached(row: Row, layers: Mapping[str, Row]) -> bool:
    """A cached result is as good as its layer; a damaged one costs only the step again."""
    chain_id, facts = row.get("chain_id"), row.get("facts")
    if row.keys() != {"key", "chain_id", "facts", "used"} or not isinstance(facts, str):
        return False
    is_number = isinstance(row["used"], (int, float))
    return is_number and (not chain_id or chain_id in layers) and _is_json(facts)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
