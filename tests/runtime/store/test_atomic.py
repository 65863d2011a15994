"""Files are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from dockmagic_runtime.store.atomic import replacing, write_file


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"old", b"another", b""):
        write_file(str(path), data)
        assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_of_255_bytes_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("\u20ac" * 85)
    write_file(str(path), b"data")
    assert path.read_bytes() == b"data"


def test_a_path_without_a_directory_is_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_file("file", b"data", sync=True)
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_full_disk_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_file(str(tmp_path / "file"), b"old")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_file(str(tmp_path / "file"), b"another")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    write_file(str(tmp_path / "file"), b"ten bytes!")
    assert (tmp_path / "file").read_bytes() == b"ten bytes!"


def test_a_directory_that_was_removed_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_file(str(tmp_path / "gone" / "file"), b"data")


def test_the_data_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    rename, fsync = os.rename, os.fsync

    def renamed(old: str, new: str) -> None:
        calls.append("rename")
        rename(old, new)

    def synced(fd: int) -> None:
        calls.append("directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
        fsync(fd)

    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    write_file(str(tmp_path / "file"), b"data", sync=True)
    assert calls == ["file", "rename", "directory"]


def test_writers_of_one_path_do_not_mix(tmp_path: Path) -> None:
    path, texts = tmp_path / "file", [letter * 50_000 for letter in (b"a", b"b", b"c")]

    def write(text: bytes) -> None:
        for _ in range(20):
            write_file(str(path), text)
            assert path.read_bytes() in texts

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_bytes() in texts


def test_a_stream_becomes_the_file_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(str(path), mode=0o644) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o644)


def test_a_stream_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(str(path)) as stream:
            stream.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"
