"""A file beside the database for each row that nothing else could be rebuilt from.

Triggers of the connection report each row that a transaction inserts, changes or deletes; the
files are written before it commits, under its lock, so that two processes never overtake each
other. They are read by `system repair` alone. Not flushed to the disk, as the database is not.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from dockmagic_runtime.store.atomic import write_file
from dockmagic_runtime.store.sha256 import hex_digest

Row = dict[str, Any]
# Which tables have files, with their columns; the first one is the key. The rows of image_layers
# follow from the images' configs, leases from the containers' states; a build cache can be lost.
TABLES: Final[dict[str, tuple[str, ...]]] = {
    "layers": ("chain_id", "diff_id", "parent", "size", "blob", "media_type", "created"),
    "images": ("id", "config", "created", "manifest"),
    "tags": ("reference", "image_id", "changed"),
    "containers": ("id", "name", "image_id", "created", "spec"),
    "networks": (
        "id", "name", "driver", "bridge", "subnet", "gateway", "created", "first", "last",
        "subnet6", "details",
    ),
}  # fmt: skip


class RowFiles:
    """The files of one data root, in its directory `rows`."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/rows"
        self._pending: dict[tuple[str, str], Row | None] = {}

    def watch(self, connection: sqlite3.Connection) -> None:
        """From now on, each change of a row is noted."""
        connection.create_function("note_row", -1, self._note)
        for table, columns in TABLES.items():
            new = ", ".join(f"NEW.{column}" for column in columns)
            for event, values in (
                ("INSERT", new), ("UPDATE", new), ("DELETE", f"OLD.{columns[0]}"),
            ):  # fmt: skip
                connection.execute(
                    f"CREATE TEMP TRIGGER {table}_{event.lower()} AFTER {event} ON main.{table} "
                    f"BEGIN SELECT note_row('{table}', {values}); END"
                )

    def _note(self, table: str, key: str, *values: Any) -> None:
        columns = TABLES[table]
        row = dict(zip(columns, (key, *values), strict=True)) if values else None
        self._pending[table, key] = row

    def flush(self) -> None:
        """Writes what was noted. Raises OSError: then nothing may be committed."""
        pending, self._pending = self._pending, {}
        for (table, key), row in pending.items():
            path = self._path(table, key)
            if row is None:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                continue
            data = encoded(row)
            try:
                write_file(path, data)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
                write_file(path, data)

    def discard(self) -> None:
        """After a rollback."""
        self._pending.clear()

    def write_all(self, connection: sqlite3.Connection) -> None:
        """For a database of a version that had no files."""
        for table, columns in TABLES.items():
            for values in connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):
                self._note(table, *values)
        self.flush()

    def read(self, table: str) -> Iterator[Row]:
        """The rows of the files that can be read."""
        directory = f"{self._directory}/{table}"
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(directory)):
                row = _read(f"{directory}/{name}", TABLES[table])
                if row is not None and name == _name(str(row[TABLES[table][0]])):
                    yield row

    def row(self, table: str, key: str) -> Row | None:
        """The row of one key, if its file can be read."""
        row = _read(self._path(table, key), TABLES[table])
        return row if row is not None and row[TABLES[table][0]] == key else None

    def keep_only(self, table: str, keys: set[str]) -> None:
        """Removes the files of all other rows."""
        names = {_name(key) for key in keys}
        with suppress(FileNotFoundError):
            for name in set(os.listdir(f"{self._directory}/{table}")) - names:
                os.unlink(f"{self._directory}/{table}/{name}")

    def _path(self, table: str, key: str) -> str:
        return f"{self._directory}/{table}/{_name(key)}"


def encoded(row: Row) -> bytes:
    """Bytes, such as an image's config, as the text that they mostly are."""
    plain = {
        column: value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for column, value in row.items()
    }
    try:
        return msgspec.json.encode(plain)
    except UnicodeEncodeError:  # bytes that are no text
        return msgspec.json.encode(row)


def _read(path: str, columns: tuple[str, ...]) -> Row | None:
    try:
        with open(path, "rb") as file:
            row = msgspec.json.decode(file.read())
    except (OSError, msgspec.DecodeError):
        return None
    return row if isinstance(row, dict) and row.keys() == set(columns) else None


def _name(key: str) -> str:
    """A name that no key can make invalid or too long: references are neither short nor plain."""
    return f"{hex_digest(key.encode())[:40]}.json"
