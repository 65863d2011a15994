from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.logs import entries, files
from dockmagic_runtime.containers.logs import read as logs
from dockmagic_runtime.containers.logs.read import LogReader, Selection
from dockmagic_runtime.model.container import LogLine
from dockmagic_runtime.supervisor.logs.json_file import PIECE, JsonLog
from dockmagic_runtime.supervisor.logs.settings import LogFile

_WRITER = """
import sys
from dockmagic_runtime.supervisor.logs.json_file import JsonLog, LogFile
path, count, size, files = sys.argv[1], *map(int, sys.argv[2:])
log = JsonLog(path, LogFile(max_size=size, max_file=files))
for number in range(count):
    log.write("stdout", b"%d\\n" % number)
    if number % 500 == 0:  # the reader has taken what was written before the last line but one
        print(number, flush=True)
        sys.stdin.readline()
log.close()
"""


def write(path: Path, *parts: str, options: LogFile | None = None) -> None:
    log = JsonLog(str(path), options)
    for part in parts:
        log.write("stdout", part.encode())
    log.close()


def reader(path: Path, is_over: Callable[[], bool] = lambda: True, **chosen: Any) -> LogReader:
    return LogReader(str(path), Selection(**chosen), is_over)


def texts(path: Path, tail: int | None = None) -> list[str]:
    lines = [line.text.decode() for line in reader(path, tail=tail).lines()]
    assert b"".join(data for _, data in reader(path, tail=tail)).decode() == "".join(lines)
    return lines


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
    assert list(reader(tmp_path / "log").lines()) == [
        LogLine("stdout", "2026-01-01T00:00:01Z", b"aa\n"),
        LogLine("stderr", "2026-01-01T00:00:02Z", b"bb"),
    ]


def test_a_line_of_many_megabytes_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "log", "x" * (5 << 20))
    assert texts(tmp_path / "log") == ["x" * (5 << 20)]


def test_a_line_that_never_ends_comes_in_parts_while_it_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "log", "x" * (5 << 20))
    lines = [line.text for line in reader(tmp_path / "log", follow=True).lines()]
    assert b"".join(lines) == b"x" * (5 << 20)
    assert 4 <= len(lines) <= 5


def test_a_line_beyond_the_limit_comes_in_parts(tmp_path: Path) -> None:
    piece = entries.Entry("x" * 1000, "stdout", "2026-01-01T00:00:01Z")
    joiner = entries.Joiner(2500)
    lines = [*joiner.lines([piece] * 7), *joiner.rest()]
    assert [len(line.text) for line in lines] == [3000, 3000, 1000]


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_line_that_never_ends_takes_no_memory_as_bytes(tmp_path: Path, timestamps: bool) -> None:
    write(tmp_path / "log", *["x" * (5 << 20)] * 6)  # one line
    stream = LogReader(str(tmp_path / "log"), Selection(), lambda: True, timestamps=timestamps)
    tracemalloc.start()
    try:
        assert sum(len(data) for _, data in stream) >= 30 << 20
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


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
    write(tmp_path / "log", *lines, options=LogFile(max_size=200, max_file=9))
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
    write(path, *(f"{line}\n" for line in lines), options=LogFile(max_size=50_000, max_file=99))
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
    assert sum(taken) < 500_000


def test_reading_takes_no_memory_for_what_was_read_before(tmp_path: Path) -> None:
    line = "x" * 999 + "\n"
    write(tmp_path / "log", *[line * 100] * 300)  # 30 MB
    tracemalloc.start()
    try:
        for _ in reader(tmp_path / "log").lines():
            pass
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_writing_takes_no_memory_for_what_was_written_before(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=5_000_000, max_file=2))
    data = b"y\n" * 32 * 1024
    tracemalloc.start()
    try:
        for _ in range(60):
            log.write("stdout", data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
        log.close()


# ------------------------------------------------------------------ times


def entry(second: int, text: str = "") -> str:
    """An entry of the log with a time in seconds after an hour."""
    at = f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000000000Z"
    return f'{{"log":"{text or second}\\n","stream":"stdout","time":"{at}"}}\n'


def moment(second: int) -> float:
    return 1767225600.0 + second


def numbers(path: Path, **chosen: Any) -> list[int]:
    """The lines as numbers; both ways to read agree."""
    lines = [int(line.text) for line in logs._between(
        reader(path, **chosen).lines(), Selection(**chosen).first, Selection(**chosen).last
    )]  # fmt: skip
    assert [int(n) for _, data in reader(path, **chosen) for n in data.split()] == lines
    return lines


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 3), max_size=3000),
    st.integers(-1, 2000),
    st.integers(1, 4),
    st.booleans(),
)
def test_since_leaves_exactly_the_entries_from_then_on(
    tmp_path_factory: Any, steps: list[int], since: int, files: int, is_set_back: bool
) -> None:
    path = tmp_path_factory.mktemp("logs") / "log"
    seconds = [sum(steps[: number + 1]) for number in range(len(steps))]
    if is_set_back:  # the clock, in the middle
        seconds += [second // 2 for second in seconds]
    size = len(seconds) // files + 1
    for number in range(files):
        part = seconds[number * size : (number + 1) * size]
        place = path if number == files - 1 else Path(f"{path}.{files - 1 - number}")
        place.write_text("".join(map(entry, part)))
    assert numbers(path, since=moment(since)) == [n for n in seconds if n >= since or since < 0]
    assert numbers(path, until=moment(since)) == [n for n in seconds if n <= since]


def test_command_line_21_since_near_the_end_reads_little_of_a_large_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_text("".join(entry(number // 100, str(number)) for number in range(400_000)))
    taken = []
    pread = os.pread

    def count(fd: int, size: int, offset: int) -> bytes:
        taken.append(len(data := pread(fd, size, offset)))
        return data

    monkeypatch.setattr(os, "pread", count)
    lines = list(reader(path, since=moment(3999)))
    assert sum(data.count(b"\n") for _, data in lines) == 100
    assert sum(taken) < 600_000 < path.stat().st_size // 40


@pytest.mark.parametrize(
    ("chosen", "lines", "decompressed"),
    [
        ({"tail": 2}, [19, 20], []),
        ({"tail": 10}, list(range(11, 21)), [".1.gz"]),
        ({"since": moment(3600 + 15)}, list(range(15, 21)), [".1.gz"]),
        ({"since": moment(3600 + 17)}, [17, 18, 19, 20], []),
        ({}, list(range(1, 21)), [".2.gz", ".1.gz"]),
    ],
)
def test_command_line_8_a_compressed_file_is_read_only_where_lines_of_it_are_wanted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, Any],
    lines: list[int],
    decompressed: list[str],
) -> None:
    path = tmp_path / "log"
    for suffix, first, last in ((".2.gz", 1, 8), (".1.gz", 9, 16), ("", 17, 20)):
        text = "".join(entry(3600 + number, str(number)) for number in range(first, last + 1))
        file = Path(f"{path}{suffix}")
        file.write_bytes(gzip.compress(text.encode()) if suffix else text.encode())
        written = moment(3600 + last) - 0.5
        os.utime(file, (written, written))  # files have the time of the kernel's last tick
    seen: list[str] = []
    decompress = files._decompressed

    def noted(fd: int, directory: str) -> int:
        seen.append(os.readlink(f"/proc/self/fd/{fd}").removeprefix(str(path)))
        return decompress(fd, directory)

    monkeypatch.setattr(files, "_decompressed", noted)
    assert numbers(path, **chosen) == lines
    assert seen == decompressed * 2  # `numbers` reads it both ways
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1.gz", "log.2.gz"]


def test_command_line_21_bytes_come_in_blocks_and_by_stream(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile())
    log.write("stdout", b"out\n" * 1000)
    log.write("stderr", b"err\n")
    log.write("stdout", b"more\n")
    log.close()
    assert list(reader(tmp_path / "log")) == [
        ("stdout", b"out\n" * 1000), ("stderr", b"err\n"), ("stdout", b"more\n"),
    ]  # fmt: skip


# ------------------------------------------------------------------ the end of the log


@pytest.mark.parametrize("tail", [None, 5])
def test_security_14_the_end_is_where_the_log_ended_when_it_was_asked(
    tmp_path: Path, tail: int | None
) -> None:
    path = tmp_path / "log"
    options = LogFile(max_size=2000, max_file=3)
    write(path, *(f"{number}\n" for number in range(40)), options=options)
    before = texts(path, tail)
    reading = reader(path, tail=tail)
    write(path, *(f"{number}\n" for number in range(5000)), options=options)  # all are replaced
    assert [line.text.decode() for line in reading.lines()] == before


def test_a_file_that_is_just_being_moved_up_hides_no_older_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(
        path, *(f"{number}\n" for number in range(60)), options=LogFile(max_size=2000, max_file=4)
    )
    kept = texts(path)
    (tmp_path / "log.1").rename(tmp_path / "log.moving")
    assert texts(path)[0] == kept[0]


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize(
    "garbage", [b"\xff\x00 garbage\n", bytes(range(256)) * 9000 + b"\n", b"x" * (3 << 20) + b"\n"]
)
def test_security_5_garbage_in_a_log_costs_its_own_lines_only(
    tmp_path: Path, garbage: bytes
) -> None:
    path = tmp_path / "log"
    write(path, "one\n")
    with path.open("ab") as stream:
        stream.write(garbage)
    write(path, "two\n")
    reading = reader(path)
    assert b"".join(data for _, data in reading) == b"one\ntwo\n"
    assert reading.damaged
    assert texts(path, tail=1) == ["two\n"]
    follower = reader(path, iter([False, True]).__next__)
    assert [line.text for line in follower.lines()] == [b"one\n", b"two\n"]


def test_security_5_a_log_that_is_only_garbage_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(os.urandom(3 << 20))
    assert texts(tmp_path / "log") == []
    assert texts(tmp_path / "log", tail=2) == []
    assert numbers(tmp_path / "log", since=moment(0)) == []


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
        follower = reader(tmp_path / "log", lambda: writer.poll() is not None)
        for line in follower.lines():
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
    lines = reader(path, lambda: next(is_over), tail=1).lines()
    assert next(lines).text == b"two\n"
    write(path, "three\n", options=LogFile(max_size=10, max_file=3))
    write(path, "four", options=LogFile(max_size=10, max_file=3))
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

    assert [line.text for line in reader(path, is_over, tail=0).lines()] == [b"two\n"]
