from __future__ import annotations

import errno
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dockmagic_runtime.errors import StateDamaged
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


def test_a_database_of_an_earlier_version_gets_the_files_of_its_rows(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    insert(database, "web")
    database.close()
    shutil.rmtree(tmp_path / "rows")
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    database = Database(tmp_path / "state.db")
    row = database.find_row_beside("containers", "web")
    assert row == {"id": "web", "name": "web", "image_id": "", "created": 0, "spec": ""}
    database.close()


def test_a_transaction_that_fails_writes_no_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    with pytest.raises(sqlite3.IntegrityError):
        insert_twice(database)
    assert database.find_row_beside("containers", "a") is None
    insert(database, "b")
    assert database.find_row_beside("containers", "a") is None
    database.close()


def test_the_file_of_a_row_follows_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    insert(database, "web")
    with database.transaction() as connection:
        connection.execute("UPDATE containers SET name = 'other', spec = '{}'")
    row = database.find_row_beside("containers", "web")
    assert row is not None
    assert (row["name"], row["spec"]) == ("other", "{}")
    with database.transaction() as connection:
        connection.execute("DELETE FROM containers")
    assert database.find_row_beside("containers", "web") is None
    with pytest.raises(StateDamaged):
        database.row_beside("containers", "web")
    database.close()


def test_a_full_disk_commits_no_row_without_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    database = Database(tmp_path / "state.db")
    monkeypatch.setattr("dockmagic_runtime.store.row_files.write_file", full)
    with pytest.raises(OSError, match="No space"):
        insert(database, "web")
    assert database.rows("SELECT * FROM containers") == []
    database.close()


@pytest.mark.parametrize("contents", [b"no database", b"", b"SQLite format 3\0" + bytes(5000)])
def test_security_5_what_is_no_database_is_named(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "layers" / "a").mkdir(parents=True)
    (tmp_path / "state.db").write_bytes(contents)
    with pytest.raises(StateDamaged, match=r"state\.db is damaged"):
        Database(tmp_path / "state.db")
    assert (tmp_path / "state.db").read_bytes() == contents


def test_security_5_garbage_in_a_page_is_named_when_it_is_read(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    for number in range(200):
        insert(database, f"{number:0200}")
    database.close()
    data = bytearray((tmp_path / "state.db").read_bytes())
    data[-60_000:] = bytes(60_000)
    (tmp_path / "state.db").write_bytes(data)
    database = Database(tmp_path / "state.db")
    with pytest.raises(StateDamaged, match="malformed"):
        database.rows("SELECT * FROM containers")
    database.close()


def test_a_read_only_file_system_can_be_read(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    insert(database, "web")
    database.close()
    subprocess.run(["mount", "--bind", tmp_path, tmp_path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path], check=True)
        database = Database(tmp_path / "state.db")
        assert database.is_read_only
        assert database.row("SELECT name FROM containers") == ("web",)
        with pytest.raises(OSError, match="Read-only"):
            insert(database, "other")
        database.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
