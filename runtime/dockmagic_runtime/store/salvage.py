"""The rows that can still be read of a damaged database, from a copy of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from dockmagic_runtime.store.row_files import TABLES, Row
from dockmagic_runtime.store.scratch import scratch_directory

CACHE: Final = "build_cache"
_KEYS: Final = {table: columns[0] for table, columns in TABLES.items()} | {CACHE: "key"}
_TEXT_AS_BYTES: Final = ("config",)  # columns that are bytes


def salvage(database: Path, scratch: Path) -> dict[str, list[Row]]:
    """By table. Rows are as they are: their contents may be damaged too."""
    with scratch_directory(str(scratch), "salvage") as directory:
        copy = Path(directory) / "state.db"
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
        try:
            with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
                connection.text_factory = bytes
                return {table: list(_rows(connection, table)) for table in _KEYS}
        except (sqlite3.Error, UnicodeDecodeError):
            return {}  # it cannot even be opened


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Up to the damaged place, then from the other end down to it."""
    seen: set[Any] = set()
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error, UnicodeDecodeError):
            cursor = connection.execute(f"SELECT * FROM {table} ORDER BY {_KEYS[table]} {order}")
            names = [column[0] for column in cursor.description]
            for values in cursor:
                row = as_text(dict(zip(names, values, strict=True)))
                key = row.get(_KEYS[table])
                if isinstance(key, str) and key not in seen:
                    seen.add(key)
                    yield row


def as_text(row: Row) -> Row:
    """Values that are no text any more are left out."""
    text: Row = {}
    for name, value in row.items():
        if isinstance(value, bytes) and name not in _TEXT_AS_BYTES:
            with suppress(UnicodeDecodeError):
                text[name] = value.decode()
        else:
            text[name] = value
    return text
