"""Room that is kept for a full disk, tried on file systems of a few MiB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.reserve import Reserve

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def test_a_disk_with_room_keeps_its_reserve(disk: Path) -> None:
    reserve = Reserve(str(disk))
    reserve.keep()
    kept = free(disk)
    assert kept <= 8 * MIB - (1 << 20) - (256 << 10)
    reserve.make_readable()
    with reserve.given_up():
        assert free(disk) == kept


def test_a_full_disk_has_a_little_room_for_reading_and_more_for_removing(disk: Path) -> None:
    reserve = Reserve(str(disk))
    reserve.keep()
    fill(disk)
    assert free(disk) == 0
    with reserve.given_up():
        assert free(disk) >= MIB
    assert free(disk) == 0
    reserve.make_readable()
    assert 128 << 10 <= free(disk) < MIB


def test_a_reserve_that_was_used_is_taken_back_as_far_as_there_is_room(disk: Path) -> None:
    reserve = Reserve(str(disk))
    reserve.keep()
    fill(disk)
    with reserve.given_up():
        (disk / "more").write_bytes(bytes(200_000))
    assert free(disk) < 16 << 10
    with reserve.given_up():
        assert free(disk) >= MIB // 2
    (disk / "filler").unlink()
    reserve.keep()
    fill(disk)
    with reserve.given_up():
        assert free(disk) >= MIB + (256 << 10)


def test_without_a_reserve_nothing_is_raised(disk: Path) -> None:
    fill(disk)
    reserve = Reserve(str(disk))
    reserve.keep()
    reserve.make_readable()
    with reserve.given_up():
        pass


def test_a_database_without_a_reserve_is_read_on_a_full_disk(disk: Path) -> None:
    database = Database(disk / "state.db")
    with database.transaction() as connection:
        connection.execute("INSERT INTO containers VALUES ('a', 'a', '', 0, '')")
    database.close()
    subprocess.run(["rm", "-r", disk / "reserve"], check=True)
    fill(disk)
    database = Database(disk / "state.db")
    assert database.is_read_only
    assert database.row("SELECT count(*) FROM containers") == (1,)
    with pytest.raises(OSError, match="No space left"), database.transaction():
        pass
    database.close()
