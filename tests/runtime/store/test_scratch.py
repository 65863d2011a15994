"""Security 15: temporary entries go with their process, however it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime.store import scratch
from dockmagic_runtime.store.scratch import (
    move_to_trash,
    scratch_directory,
    scratch_file,
    sweep,
    trash_path,
)

PROGRAM = """
import sys
from dockmagic_runtime.store.scratch import scratch_directory, scratch_file
fd, _ = scratch_file(sys.argv[1], "blob")
with scratch_directory(sys.argv[1], "build") as path:
    open(f"{path}/file", "w").close()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _at_any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_YOUNG", -1.0)


def test_a_directory_is_removed_at_the_end_unless_it_was_renamed(tmp_path: Path) -> None:
    with scratch_directory(str(tmp_path), "layer") as path:
        os.rename(path, tmp_path / "kept")
    with scratch_directory(str(tmp_path), "layer") as path:
        (Path(path) / "file").touch()
    assert os.listdir(tmp_path) == ["kept"]


def test_security_15_what_a_killed_process_left_is_swept_and_a_living_ones_is_not(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        sweep(str(tmp_path))
        assert len(os.listdir(tmp_path)) == 2
        process.kill()
    sweep(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_what_is_young_or_of_another_kind_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_YOUNG", 10.0)
    fd, path = scratch_file(str(tmp_path), "blob")
    os.close(fd)
    (tmp_path / "pin-1").touch()
    sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [os.path.basename(path), "pin-1"]


def test_security_15_a_directory_in_the_trash_is_its_removers(tmp_path: Path) -> None:
    parent = tmp_path / "tmp"
    for path in (parent, tmp_path / "abc"):
        path.mkdir()
    lock = move_to_trash(str(tmp_path / "abc"), str(parent))
    assert lock is not None
    sweep(str(parent))
    assert os.path.isdir(trash_path(str(parent), "abc"))
    assert move_to_trash(str(tmp_path / "abc"), str(parent)) is None
    os.close(lock)
    sweep(str(parent))
    assert os.listdir(parent) == []


def test_security_15_of_two_that_remove_a_directory_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "abc").mkdir()
    other: list[int | None] = []
    rename = os.rename

    def meanwhile(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", rename)
        other.append(move_to_trash(str(tmp_path / "abc"), str(tmp_path)))
        rename(source, target)

    monkeypatch.setattr(os, "rename", meanwhile)
    lock = move_to_trash(str(tmp_path / "abc"), str(tmp_path))
    assert lock is not None
    os.close(lock)
    assert other == [None]
