from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dockmagic_runtime.store.database import Database


def insert(database: Database, name: str) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO containers (id, name, image_id, created, spec) VALUES (?, ?, '', 0, '')",
            (name, name),
        )


def insert_twice(database: Database) -> None:
    with database.transaction() as connection:
        for _ in range(2):
            connection.execute("INSERT INTO containers VALUES ('a', 'a', '', 0, '')")


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    with pytest.raises(sqlite3.IntegrityError):
        insert_twice(database)
    assert database.rows("SELECT * FROM containers") == []
    database.close()


def test_threads_share_a_connection(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    threads = [
        threading.Thread(target=insert, args=(database, f"c{number}")) for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.row("SELECT count(*) FROM containers") == (20,)
    database.close()


def test_processes_that_write_at_the_same_time_all_succeed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from dockmagic_runtime.store.database import Database\n"
        "database = Database(Path(sys.argv[1]))\n"
        "for number in range(30):\n"
        "    with database.transaction() as c:\n"
        "        c.execute(\"INSERT INTO containers VALUES (?, ?, '', 0, '')\","
        " (f'{sys.argv[2]}{number}',) * 2)"
    )
    path = tmp_path / "state.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), letter]) for letter in "abc"
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    database = Database(path)
    assert database.row("SELECT count(*) FROM containers") == (90,)
    database.close()


def test_a_name_is_unique(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    insert(database, "web")
    with pytest.raises(sqlite3.IntegrityError):
        insert(database, "web")
    database.close()
