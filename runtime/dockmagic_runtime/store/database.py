"""SQLite in WAL mode: the state that several processes share. One short transaction per verb.

What is alive is *not* in here: a supervisor's lock and its state file say that (`store.locks`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2
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
"""
}


class Database:
    """One connection, shared by the threads of this process under a lock.

    Never carried over a fork: the launcher is a separate program and opens none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        # autocommit: transactions are begun by hand, IMMEDIATE, so that a reader never has to
        # upgrade and fail with SQLITE_BUSY in the middle of a verb
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=30
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._migrate()

    def _migrate(self) -> None:
        if self._version() == SCHEMA_VERSION:
            return
        with self.transaction() as connection:
            version = self._version()  # another process may have done it while this one waited
            script = _SCHEMA if version == 0 else ""
            script += "".join(
                _UPGRADES[number] for number in range(version or SCHEMA_VERSION, SCHEMA_VERSION)
            )
            for statement in script.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end, rolled back on any exception.

        Raises OSError with ENOSPC when the disk is full, as other writers do.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
                    reason = os.strerror(errno.ENOSPC)
                    raise OSError(errno.ENOSPC, reason, str(self._path)) from error
                raise

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a read."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a read, or None."""
        with self._lock:
            row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
            return row

    def close(self) -> None:
        with self._lock:
            self._connection.close()
