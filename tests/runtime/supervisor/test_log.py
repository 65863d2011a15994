from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.supervisor.log import PIECE, JsonLog, timestamp


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_object_a_line_with_dockers_keys(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"one\ntwo\n")
    log.write("stderr", b"bad\n")
    log.close()
    found = entries(tmp_path / "log")
    assert [(one["stream"], one["log"]) for one in found] == [
        ("stdout", "one\n"),
        ("stdout", "two\n"),
        ("stderr", "bad\n"),
    ]
    assert all(set(one) == {"log", "stream", "time"} for one in found)


def test_an_unfinished_line_waits_for_its_rest_and_is_written_at_the_end(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"hel")
    log.write("stderr", b"between\n")
    log.write("stdout", b"lo\nno newline")
    log.close()
    assert [one["log"] for one in entries(tmp_path / "log")] == [
        "between\n",
        "hello\n",
        "no newline",
    ]


def test_a_carriage_return_does_not_end_a_line(tmp_path: Path) -> None:
    log = JsonLog(str(tmp_path / "log"))
    log.write("stdout", b"10%\r20%\r\n")
    log.close()
    assert [one["log"] for one in entries(tmp_path / "log")] == ["10%\r20%\r\n"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=3 * PIECE // 2), max_size=6))
def test_nothing_is_lost_and_no_piece_is_longer_than_16_kib(
    tmp_path_factory: Any, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    log = JsonLog(str(path))
    text = [bytes(byte % 128 for byte in chunk) for chunk in chunks]
    for chunk in text:
        log.write("stdout", chunk)
    log.close()
    found = entries(path)
    assert "".join(one["log"] for one in found).encode() == b"".join(text)
    assert all(len(one["log"]) <= PIECE for one in found)


def test_times_are_rfc_3339_with_nanoseconds() -> None:
    assert timestamp(1_700_000_000_000_000_042) == "2023-11-14T22:13:20.000000042Z"
