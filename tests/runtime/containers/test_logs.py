from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.inspect import logs
from dockmagic_runtime.containers.inspect.logs import read
from dockmagic_runtime.model.container import LogLine
from dockmagic_runtime.supervisor.log import PIECE, JsonLog, LogOptions

_WRITER = """
import sys
from dockmagic_runtime.supervisor.log import JsonLog, LogOptions
path, count, size, files = sys.argv[1], *map(int, sys.argv[2:])
log = JsonLog(path, LogOptions(size, files))
for number in range(count):
    log.write("stdout", b"%d\\n" % number)
    if number % 500 == 0:  # the reader has taken what was written before the last line but one
        print(number, flush=True)
        sys.stdin.readline()
log.close()
"""


def write(path: Path, *parts: str, options: LogOptions | None = None) -> None:
    log = JsonLog(str(path), options)
    for part in parts:
        log.write("stdout", part.encode())
    log.close()


def texts(path: Path, tail: int | None = None) -> list[str]:
    return [line.text.decode() for line in read(str(path), tail=tail, is_over=lambda: True)]


# ------------------------------------------------------------------ joining


def test_a_container_that_has_not_written_has_no_lines(tmp_path: Path) -> None:
    assert texts(tmp_path / "log") == []
    assert texts(tmp_path / "log", tail=3) == []


def test_pieces_become_the_line_they_were_cut_from(tmp_path: Path) -> None:
    long = "é" * 3 * PIECE + "\n"
    write(tmp_path / "log", "before\n", long, "after\n")
    assert texts(tmp_path / "log") == ["before\n", long, "after\n"]


def test_each_stream_is_joined_by_itself_with_the_time_of_its_first_piece(tmp_path: Path) -> None:
    def line(stream: str, text: str, second: int) -> str:
        return f'{{"log":"{text}","stream":"{stream}","time":"2026-01-01T00:00:0{second}Z"}}\n'

    (tmp_path / "log").write_text(
        line("stdout", "a", 1)
        + line("stderr", "b", 2)
        + line("stdout", "a\\n", 3)
        + line("stderr", "b", 4)
    )
    assert list(read(str(tmp_path / "log"), tail=None, is_over=lambda: True)) == [
        LogLine("stdout", "2026-01-01T00:00:01Z", b"aa\n"),
        LogLine("stderr", "2026-01-01T00:00:02Z", b"bb"),
    ]


def test_a_line_that_never_ends_is_told_in_parts(tmp_path: Path) -> None:
    write(tmp_path / "log", "x" * (5 << 20))
    lines = texts(tmp_path / "log")
    assert "".join(lines) == "x" * (5 << 20)
    assert 4 <= len(lines) <= 5


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    write(tmp_path / "log", "one\n")
    with (tmp_path / "log").open("a") as stream:
        stream.write('{"log":"torn\n')
    write(tmp_path / "log", "two\n")
    assert texts(tmp_path / "log") == ["one\n", "two\n"]


# ------------------------------------------------------------------ tail


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 10, 11, 100])
def test_the_tail_counts_lines_from_the_end_over_all_files(tmp_path: Path, count: int) -> None:
    lines = [f"line {number}\n" for number in range(10)]
    write(tmp_path / "log", *lines, options=LogOptions(max_size=200, max_file=9))
    assert (tmp_path / "log.3").exists()
    assert texts(tmp_path / "log", tail=count) == lines[len(lines) - min(count, 10) :]


def test_a_line_without_an_end_is_the_last_of_the_tail(tmp_path: Path) -> None:
    write(tmp_path / "log", "one\n", "two\n", "prompt> ")
    assert texts(tmp_path / "log", tail=1) == ["prompt> "]
    assert texts(tmp_path / "log", tail=2) == ["two\n", "prompt> "]


def test_a_backslash_and_an_n_do_not_end_a_line(tmp_path: Path) -> None:
    # pieces that are cut right behind what looks like a newline in JSON
    long = ("x" * (PIECE - 2) + "\\n") * 4 + "\\\\\n"
    write(tmp_path / "log", "first\n", long, "last\n")
    assert texts(tmp_path / "log", tail=2) == [long, "last\n"]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.one_of(
            st.text(alphabet='\\n"é\t', max_size=8),
            st.integers(1, 3 * PIECE).map(lambda size: "\x01" * size),
        ),
        max_size=30,
    ),
    st.integers(0, 35),
)
def test_the_tail_is_the_end_of_the_whole(
    tmp_path_factory: Any, lines: list[str], count: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "log"
    write(path, *(f"{line}\n" for line in lines), options=LogOptions(max_size=50_000, max_file=99))
    assert texts(path) == [f"{line}\n" for line in lines]
    assert texts(path, tail=count) == [f"{line}\n" for line in lines[max(len(lines) - count, 0) :]]


def test_the_tail_of_a_huge_log_is_found_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "log", "last but one\n", "last\n")
    end = (tmp_path / "log").read_bytes()
    with (tmp_path / "log").open("r+b") as stream:
        stream.truncate(1 << 40)  # a terabyte of nothing, and then two lines
        stream.seek(1 << 40)
        stream.write(b"\n" + end)
    taken = []
    pread = os.pread

    def count(fd: int, size: int, offset: int) -> bytes:
        taken.append(size)
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", count)
    assert texts(tmp_path / "log", tail=1) == ["last\n"]
    assert sum(taken) < 200_000


def test_reading_takes_no_memory_for_what_was_read_before(tmp_path: Path) -> None:
    line = "x" * 999 + "\n"
    write(tmp_path / "log", *[line * 100] * 300)  # 30 MB
    tracemalloc.start()
    try:
        for _ in read(str(tmp_path / "log"), tail=None, is_over=lambda: True):
            pass
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_writing_takes_no_memory_for_what_was_written_before(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogOptions(max_size=5_000_000, max_file=2))
    data = b"y\n" * 32 * 1024
    tracemalloc.start()
    try:
        for _ in range(60):
            log.write("stdout", data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
        log.close()


# ------------------------------------------------------------------ following


@pytest.mark.parametrize("files", [1, 2, 4])
def test_following_loses_nothing_while_the_log_rotates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """The writer is another process; it waits for the reader only once in a while, so that the
    rotations between two looks are fewer than the files that are kept."""
    monkeypatch.setattr(logs, "_POLL", 0.0)
    # 500 lines take 35 kB: less than a file
    arguments = [str(tmp_path / "log"), "8000", "40000", str(files)]
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"0\n"
        taken = []
        lines = read(str(tmp_path / "log"), tail=None, is_over=lambda: writer.poll() is not None)
        for line in lines:
            number = int(line.text)
            taken.append(number)
            if number % 500 == 0:
                writer.stdin.write(b"\n")
                writer.stdin.flush()
    assert taken == list(range(8000))
    assert writer.returncode == 0


def test_following_from_the_tail_goes_on_with_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "one\n", "two\n")
    is_over = iter([False, False, True])
    lines = read(str(path), tail=1, is_over=lambda: next(is_over))
    assert next(lines).text == b"two\n"
    write(path, "three\n", options=LogOptions(max_size=10, max_file=3))
    write(path, "four", options=LogOptions(max_size=10, max_file=3))
    assert [line.text for line in lines] == [b"three\n", b"four"]


def test_a_tail_of_nothing_is_followed_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "one\n")
    seen = []

    def is_over() -> bool:
        seen.append(0)
        if len(seen) == 2:
            write(path, "two\n")
        return len(seen) == 3

    assert [line.text for line in read(str(path), tail=0, is_over=is_over)] == [b"two\n"]
