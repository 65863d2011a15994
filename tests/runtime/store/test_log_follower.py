from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.store import log_follower
from dockmagic_runtime.store.log_follower import RotatedReader


class Files:
    """A writer of numbered lines that keeps `keep` files."""

    def __init__(self, path: Path, keep: int = 3) -> None:
        self.path, self.keep, self.count = path, keep, 0

    def write(self, lines: int = 1) -> None:
        with self.path.open("a") as stream:
            for _ in range(lines):
                stream.write(f"{self.count}\n")
                self.count += 1

    def moves(self) -> list[tuple[str, str]]:
        names = [log_follower.name_of(str(self.path), number) for number in range(self.keep)]
        return list(pairwise(names))[::-1]

    def rotate(self, before_move: Callable[[], None] = lambda: None) -> None:
        for old, new in self.moves():
            before_move()
            if os.path.exists(old):
                os.rename(old, new)
        before_move()
        empty = self.path.with_name("empty")
        empty.touch()
        empty.rename(self.path)


def numbers(reader: RotatedReader) -> list[int]:
    result: list[int] = []
    while lines := reader.take():
        result += map(int, lines)
    return result


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "log")


def test_files_are_read_from_the_oldest_to_the_newest(files: Files) -> None:
    for _ in range(3):
        files.write(2)
        files.rotate()
    files.write()
    reader = RotatedReader(str(files.path))
    assert numbers(reader) == [2, 3, 4, 5, 6]
    reader.close()


def test_an_unfinished_line_waits_for_its_rest(files: Files) -> None:
    files.path.write_bytes(b"1\n2")
    reader = RotatedReader(str(files.path))
    assert numbers(reader) == [1]
    with files.path.open("ab") as stream:
        stream.write(b"3\n")
    assert numbers(reader) == [23]
    reader.close()


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    files = Files(tmp_path / "log", keep=1)
    files.write(2)
    reader = RotatedReader(str(files.path))
    assert reader.take() == [b"0", b"1"]
    files.write(2)
    files.rotate()
    files.write(2)
    assert numbers(reader) == [2, 3, 4, 5]
    reader.close()


@pytest.mark.parametrize("moment", range(4))
def test_a_reader_that_looks_while_files_are_moved_up_skips_none(files: Files, moment: int) -> None:
    files.keep = 4
    files.write(2)
    reader = RotatedReader(str(files.path))
    assert numbers(reader) == [0, 1]
    for _ in range(2):
        files.rotate()
        files.write(2)
    looks: list[int] = []
    result: list[int] = []

    def look() -> None:
        looks.append(0)
        if len(looks) == moment + 1:
            result.extend(numbers(reader))

    files.rotate(before_move=look)
    files.write()
    result += numbers(reader)
    assert result == [2, 3, 4, 5, 6]
    reader.close()


def test_a_writer_that_died_while_moving_files_up_does_not_stop_the_reader(files: Files) -> None:
    files.keep = 4
    files.write()
    reader = RotatedReader(str(files.path))
    assert numbers(reader) == [0]
    for _ in range(2):
        files.rotate()
        files.write()
    (old, new), (second, third), _ = files.moves()
    os.rename(old, new)
    os.rename(second, third)  # and never the last one
    assert numbers(reader) == [1, 2]
    files.write()
    assert numbers(reader) == [3]
    reader.close()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["write", "rotate", "read"]), max_size=40), st.integers(1, 4))
def test_whoever_reads_before_files_are_removed_reads_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], keep: int
) -> None:
    files = Files(tmp_path_factory.mktemp("rotated") / "log", keep)
    files.write()
    reader = RotatedReader(str(files.path))
    result = numbers(reader)
    unread = 0  # files begun since the last look
    for step in steps:
        if step == "write":
            files.write()
        elif step == "read":
            result += numbers(reader)
            unread = 0
        elif unread < keep:
            unread += 1
            files.rotate()
    result += numbers(reader)
    reader.close()
    assert result == list(range(files.count))
