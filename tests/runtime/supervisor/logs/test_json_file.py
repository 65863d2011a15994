from __future__ import annotations

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.supervisor.logs.json_file import PIECE, JsonLog, timestamp
from dockmagic_runtime.supervisor.logs.settings import LogFile


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def logged(path: Path) -> list[str]:
    return [entry["log"] for entry in entries(path)]


# ------------------------------------------------------------------ what is written


def test_one_object_a_line_with_dockers_keys(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"one\ntwo\n")
    log.write("stderr", b"bad\n")
    log.close()
    logged_lines = entries(tmp_path / "log")
    assert [(entry["stream"], entry["log"]) for entry in logged_lines] == [
        ("stdout", "one\n"),
        ("stdout", "two\n"),
        ("stderr", "bad\n"),
    ]
    assert all(list(entry) == ["log", "stream", "time"] for entry in logged_lines)


def test_an_unfinished_line_waits_for_its_rest_and_is_written_at_the_end(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"hel")
    log.write("stderr", b"between\n")
    log.write("stdout", b"lo\nno newline")
    log.close()
    assert logged(tmp_path / "log") == ["between\n", "hello\n", "no newline"]


def test_a_carriage_return_does_not_end_a_line(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"10%\r20%\r\n")
    log.close()
    assert logged(tmp_path / "log") == ["10%\r20%\r\n"]


@pytest.mark.parametrize(
    "line",
    [
        b'say "hi" \\n and \\\\ \\" \\\n',
        bytes(byte for byte in range(256) if byte != 0x0A) + b"\n",
        "\x7f\u2028\u2029 größe 日本語 \U0001f40b\n".encode(),
        b"\\\n",
        b"\n",
    ],
)
def test_every_byte_is_escaped_as_json_asks(tmp_path: Path, line: bytes) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"before\n" + line + b"after\n")
    log.close()
    assert logged(tmp_path / "log") == ["before\n", line.decode("utf-8", "replace"), "after\n"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=3 * PIECE // 2),
            st.text(alphabet='ab"\\\n\r\t\x1bé漢', max_size=100).map(str.encode),
            st.integers(PIECE - 3, 2 * PIECE + 3).map(lambda size: b"x" * size),
        ),
        max_size=6,
    )
)
def test_nothing_is_lost_and_no_piece_is_longer_than_16_kib(
    tmp_path_factory: Any, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    log = JsonLog(str(path))
    text = [bytes(byte % 128 for byte in chunk) for chunk in chunks]
    for chunk in text:
        log.write("stdout", chunk)
    log.close()
    logged_lines = logged(path)
    assert "".join(logged_lines).encode() == b"".join(text)
    assert all(len(entry) <= PIECE for entry in logged_lines)
    assert all("\n" not in entry[:-1] for entry in logged_lines)


@pytest.mark.parametrize("shift", range(4))
def test_a_long_line_is_not_cut_inside_a_character(tmp_path: Path, shift: int) -> None:
    line = "x" * shift + "\U0001f40b" * PIECE + "\n"
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", line.encode())
    log.close()
    logged_lines = logged(tmp_path / "log")
    assert len(logged_lines) > 4
    assert "".join(logged_lines) == line
    assert all(len(entry.encode()) <= PIECE for entry in logged_lines)


def test_a_line_of_whole_pieces_ends_with_its_newline(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    for part in (b"x" * PIECE, b"y" * PIECE, b"\n", b"next\n"):
        log.write("stdout", part)
    log.close()
    assert "".join(logged(tmp_path / "log")) == "x" * PIECE + "y" * PIECE + "\nnext\n"


def test_a_second_start_appends(tmp_path: Path) -> None:
    for word in (b"first\n", b"second\n"):
        log = JsonLog(str(tmp_path / "log"))
        log.write("stdout", word)
        log.close()
    assert logged(tmp_path / "log") == ["first\n", "second\n"]


def test_times_are_rfc_3339_with_nanoseconds() -> None:
    assert timestamp(1_700_000_000_000_000_042) == "2023-11-14T22:13:20.000000042Z"


# ------------------------------------------------------------------ rotation


def test_files_are_kept_up_to_their_number_and_no_longer_than_their_size(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=1000, max_file=3))
    for number in range(100):
        log.write("stdout", f"line {number}\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    # the line that reaches the size is the last one, as with Docker
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())
    assert (tmp_path / "log.1").stat().st_size >= 1000
    logged_lines = [
        *logged(tmp_path / "log.2"),
        *logged(tmp_path / "log.1"),
        *logged(tmp_path / "log"),
    ]
    assert logged_lines == [f"line {number}\n" for number in range(100 - len(logged_lines), 100)]


def test_one_large_write_is_spread_over_the_files(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=100_000, max_file=4))
    log.write("stdout", b"".join(b"%05d\n" % number for number in range(10_000)))
    log.close()
    sizes = [(tmp_path / name).stat().st_size for name in ("log.1", "log.2", "log.3")]
    assert all(100_000 <= size < 100_100 for size in sizes)
    assert logged(tmp_path / "log")[-1] == "09999\n"


def test_with_one_file_only_the_newest_is_there(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=300, max_file=1))
    with (tmp_path / "log").open() as reader:
        for number in range(10):
            log.write("stdout", f"{number}\n".encode())
        log.close()
        assert next(json.loads(line)["log"] for line in reader) == "0\n"  # an open file stays
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert logged(tmp_path / "log")[-1] == "9\n"
    assert len(logged(tmp_path / "log")) < 6


def test_a_second_start_rotates_what_is_full_already(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"log":"old\\n","stream":"stdout","time":"x"}\n' * 50)
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=1000, max_file=2))
    log.write("stdout", b"new\n")
    log.close()
    assert logged(tmp_path / "log") == ["new\n"]
    assert logged(tmp_path / "log.1") == ["old\n"] * 50


def test_a_full_disk_costs_lines_and_not_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"before\n")
    write = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) <= 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:20])

    monkeypatch.setattr(os, "write", lambda fd, data: half(fd, data[:40]))
    log.write("stdout", b"lost\n")
    monkeypatch.undo()
    log.write("stdout", b"after\n")
    log.close()
    first, torn, last = (tmp_path / "log").read_text().split("\n")[:-1]
    assert json.loads(first)["log"] == "before\n"
    assert json.loads(last)["log"] == "after\n"
    assert torn.startswith('{"log":"lost')


def test_a_rotation_that_cannot_be_goes_on_in_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=10, max_file=2))
    log.write("stdout", b"one\n")

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", refuse)
    log.write("stdout", b"two\n")
    monkeypatch.undo()
    log.write("stdout", b"three\n")
    log.close()
    assert logged(tmp_path / "log.1") == ["one\n", "two\n"]
    assert logged(tmp_path / "log") == ["three\n"]


# ------------------------------------------------------------------ options


# ------------------------------------------------------------------ options


def test_command_line_8_entries_have_the_attributes_before_the_time(tmp_path: Path) -> None:
    """The line is that of dockerd 20.10."""
    log = JsonLog(str(tmp_path / "log"), LogFile(attributes={"FOO": "1", "a": 'b"é'}))
    log.write("stdout", b"hi\nyou\npart")
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    beginnings = [line.partition('"time"')[0] for line in lines]
    end = ',"stream":"stdout","attrs":{"FOO":"1","a":"b\\"é"},'
    assert beginnings == [f'{{"log":{text}{end}' for text in ('"hi\\n"', '"you\\n"', '"part"')]


def test_command_line_8_rotated_files_are_compressed(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"), LogFile(max_size=300, max_file=3, compress=True))
    for number in range(20):
        log.write("stdout", f"{number}\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz"]
    older = []
    for name in ("log.2.gz", "log.1.gz"):
        with gzip.open(tmp_path / name, "rt") as stream:
            older += [json.loads(line)["log"] for line in stream]
    texts = [*older, *logged(tmp_path / "log")]
    assert texts == [f"{number}\n" for number in range(20 - len(texts), 20)]
