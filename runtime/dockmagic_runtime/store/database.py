"""SQLite in WAL mode: the state that several processes share. One short transaction per verb.

What is alive is *not* in here: a supervisor's lock and its state file say that (`store.locks`).
What is in here can be rebuilt from the files beside it (`engine.repair`). A disk that is full gives
up a reserve (`store.reserve`); one that is read-only, or has no reserve left, is read all the same.
"""

from __future__ import annotations

import os
import sqlite3
from _thread import RLock  # `threading` has the same, and takes a millisecond to load
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.errors import StateDamaged, Unsupported
from dockmagic_runtime.model.utf8 import printable
from dockmagic_runtime.store.reserve import Reserve, fill_holes
from dockmagic_runtime.store.row_files import Row, RowFiles
from dockmagic_runtime.store.sqlite_errors import damaged, translated, unwritable

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL,
    blob TEXT NOT NULL DEFAULT '',
    media_type TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    config BLOB NOT NULL,
    created REAL NOT NULL,
    manifest TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    chain_id TEXT NOT NULL REFERENCES layers(chain_id),
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_chain ON image_layers(chain_id);
CREATE TABLE tags (
    reference TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images(id),
    changed REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX tags_image ON tags(image_id);
CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image_id TEXT NOT NULL,
    created REAL NOT NULL,
    spec TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX containers_image ON containers(image_id);
CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    bridge TEXT NOT NULL,
    subnet TEXT NOT NULL,
    gateway TEXT NOT NULL,
    created REAL NOT NULL,
    first INTEGER NOT NULL DEFAULT -1,
    last INTEGER NOT NULL DEFAULT -1,
    subnet6 TEXT NOT NULL DEFAULT '',
    details TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE INDEX networks_subnet ON networks(first);
CREATE UNIQUE INDEX networks_bridge ON networks(bridge) WHERE bridge != '';
CREATE TABLE leases (
    network_id TEXT NOT NULL REFERENCES networks(id),
    container_id TEXT NOT NULL,
    address INTEGER NOT NULL,
    address6 TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (network_id, address),
    UNIQUE (network_id, container_id)
) WITHOUT ROWID;
CREATE INDEX leases_container ON leases(container_id);
CREATE UNIQUE INDEX leases_address6 ON leases(network_id, address6) WHERE address6 != '';
CREATE TABLE build_cache (
    key TEXT PRIMARY KEY,
    chain_id TEXT NOT NULL DEFAULT '',
    facts TEXT NOT NULL DEFAULT '{}',
    used REAL NOT NULL
) WITHOUT ROWID;
"""
# what makes the schema of a version that of the next
_UPGRADES = {
    1: """
ALTER TABLE networks ADD COLUMN first INTEGER NOT NULL DEFAULT -1;
ALTER TABLE networks ADD COLUMN last INTEGER NOT NULL DEFAULT -1;
ALTER TABLE networks ADD COLUMN subnet6 TEXT NOT NULL DEFAULT '';
ALTER TABLE networks ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
CREATE INDEX networks_subnet ON networks(first);
CREATE UNIQUE INDEX networks_bridge ON networks(bridge) WHERE bridge != '';
ALTER TABLE leases ADD COLUMN address6 TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX leases_address6 ON leases(network_id, address6) WHERE address6 != '';
""",
    2: "",  # the rows have files beside them
}


_TABLES: Final = frozenset(
    line.split()[2] for line in _SCHEMA.splitlines() if line.startswith("CREATE TABLE")
)
_WITH_FILES: Final = 3  # the version that began to write files of rows
_INDEX: Final = 32 << 10  # bytes of the wal-index of a log that is checkpointed
_WAIT: Final = 30.0  # seconds for another process's transaction


class Database:
    """One connection, shared by the threads of this process under a lock.

    Never carried over a fork: the launcher is a separate program and opens none. Raises
    StateDamaged for a file that is no database of ours, Unsupported for one of a newer version,
    OSError for a disk that is full. A database that `is_new` is created beside what is there.
    """

    def __init__(self, path: Path | str, *, is_new: bool = False) -> None:
        self._path = os.fspath(path)
        self._lock = RLock()
        self._reserve = Reserve(os.path.dirname(self._path))
        self._files = RowFiles(os.path.dirname(self._path))
        self._is_watched = False
        self._unwritable: OSError | None = None  # why it was opened for reading only
        if not is_new:
            self._require_present()
        self._open()

    def _open(self) -> None:
        self._unwritable, self._is_watched = None, False
        self._reserve.make_readable()
        with translated(self._path):
            self._connection = self._opened()
            try:
                self._migrate()
            except BaseException:
                self._connection.close()
                raise
        if self._unwritable is None:
            fill_holes(f"{self._path}-shm", _INDEX)
            self._reserve.keep()

    @property
    def is_read_only(self) -> bool:
        """Whether the disk lets nothing be written: it is read-only, or full to the last block."""
        return self._unwritable is not None

    def _require_present(self) -> None:
        """An empty database beside layers or containers is a lost one: a sweep would follow it."""
        try:
            if os.stat(self._path).st_size:
                return
        except FileNotFoundError:
            pass
        for name in ("layers", "containers", "images"):
            if is_filled(f"{os.path.dirname(self._path)}/{name}"):
                raise damaged(self._path, "it is empty, and there are images or containers")

    def _opened(self) -> sqlite3.Connection:
        """A connection for writing, else one for reading."""
        connection = self._connect(self._path)
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            self._unwritable = unwritable(error, self._path)
            if self._unwritable is None:
                raise
            return self._opened_for_reading()
        return connection

    def _opened_for_reading(self) -> sqlite3.Connection:
        """With the wal-index of a process that has it open; else, if no row can be in the log that
        the file has not got, without any."""
        from pathlib import Path

        address = Path(self._path).as_uri()
        connection = self._connect(f"{address}?mode=ro", uri=True)
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error:
            connection.close()
            log = Path(f"{self._path}-wal")
            if log.exists() and log.stat().st_size:
                raise
            connection = self._connect(f"{address}?mode=ro&immutable=1", uri=True)
        return connection

    @staticmethod
    def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
        # autocommit: transactions are begun by hand, IMMEDIATE, so that a reader never has to
        # upgrade and fail with SQLITE_BUSY in the middle of a verb
        return sqlite3.connect(
            name, isolation_level=None, check_same_thread=False, timeout=_WAIT, uri=uri
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._require_version(connection)  # first: a newer one is left untouched
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")

    def _require_version(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            connection.close()
            raise Unsupported(
                f"{self._path} was written by a newer dockmagic: it has version {version}, and "
                f"this dockmagic knows version {SCHEMA_VERSION}",
                hint="upgrade dockmagic, or use another directory by DOCKMAGIC_ROOT",
            )
        return int(version)

    def _migrate(self) -> None:
        if self._require_version(self._connection) == SCHEMA_VERSION:
            self._require_tables()
            return
        if self._unwritable is not None:
            raise self._unwritable
        with self._within("BEGIN IMMEDIATE") as connection:
            # another process may have done it while this one waited
            version = self._require_version(connection)
            script = _SCHEMA if version == 0 else ""
            script += "".join(
                _UPGRADES[number] for number in range(version or SCHEMA_VERSION, SCHEMA_VERSION)
            )
            for statement in script.split(";\n"):
                connection.execute(statement)
            if version in range(1, _WITH_FILES):
                self._files.write_all(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _require_tables(self) -> None:
        rows = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if missing := _TABLES - {name for (name,) in rows}:
            raise damaged(self._path, f"it has no table {min(missing)}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end, rolled back on any exception.

        Raises OSError when the disk is full or read-only, as other writers do, and StateDamaged.
        """
        if self._unwritable is not None:
            raise self._unwritable
        with self._lock:
            self._watch()
            try:
                with self._within("BEGIN IMMEDIATE") as connection:
                    yield connection
                    self._files.flush()
            except BaseException:
                self._files.discard()
                raise

    def _watch(self) -> None:
        """Not before the first transaction: a process that only reads need not pay for it."""
        if not self._is_watched:
            with translated(self._path):
                self._files.watch(self._connection)
            self._is_watched = True

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """For several reads of one state."""
        return self._within("BEGIN")

    @contextmanager
    def _within(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self._path):
            try:
                self._connection.execute(begin)
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    def freeing(self) -> AbstractContextManager[None]:
        """For what makes room: inside, a full disk has the reserve's."""
        return self._reserve.given_up()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a read."""
        with self._lock, translated(self._path):
            return self._connection.execute(query, _texts(values)).fetchall()

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a read, or None."""
        with self._lock, translated(self._path):
            cursor = self._connection.execute(query, _texts(values))
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row

    @contextmanager
    def while_closed(self) -> Iterator[None]:
        """Inside, this process has the file not open, and another may take its place."""
        with self._lock:
            self._connection.close()
            try:
                yield
            finally:
                self._open()

    def row_beside(self, table: str, key: str) -> Row:
        """The row as the file beside the database has it, where the database's is malformed.

        Raises StateDamaged where that cannot be read either.
        """
        row = self.find_row_beside(table, key)
        if row is None:
            raise self.damaged(table, key)
        return row

    def find_row_beside(self, table: str, key: str) -> Row | None:
        """The same; None where it cannot be read."""
        return self._files.row(table, key)

    def damaged(self, table: str, key: str) -> StateDamaged:
        """For a row that is not what was written."""
        short = key.removeprefix("sha256:")[:12]
        return damaged(self._path, f"the row {short} of {table} is malformed")

    def close(self) -> None:
        with self._lock:
            self._connection.close()
        if self._unwritable is None:
            self._reserve.keep()


def _texts(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """SQLite takes UTF-8 only, and a name that is none names nothing."""
    return tuple(printable(value) if isinstance(value, str) else value for value in values)


def is_filled(directory: str) -> bool:
    try:
        return bool(os.listdir(directory))
    except OSError:
        return False
