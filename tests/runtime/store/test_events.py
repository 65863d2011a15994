from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.store import events

_WRITER = """
import sys
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.store import events
events.LIMIT = int(sys.argv[4])
directory, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    events.emit(directory, Event(type="container", action=str(number), id=name))
"""


def start_writer(directory: Path, name: str, count: int, limit: int) -> subprocess.Popen[bytes]:
    arguments = [str(directory), name, str(count), str(limit)]
    return subprocess.Popen([sys.executable, "-c", _WRITER, *arguments])


def event(action: str, moment: float = 0, **attributes: str) -> Event:
    when = int(moment * 1e9) or time.time_ns()
    return Event(type="container", action=action, id="c", attributes=attributes, time_ns=when)


def actions(result: Iterator[Event]) -> list[str]:
    return [item.action for item in result]


def small(monkeypatch: pytest.MonkeyPatch, limit: int = 4000) -> None:
    monkeypatch.setattr(events, "LIMIT", limit)


def test_an_area_without_a_journal_has_no_events(tmp_path: Path) -> None:
    assert list(events.read(str(tmp_path))) == []


def test_events_come_back_as_they_were_given(tmp_path: Path) -> None:
    given = [event("create", name="web\nü"), event("start", name="web")]
    for item in given:
        events.emit(str(tmp_path), item)
    assert list(events.read(str(tmp_path))) == given


def test_since_and_until_are_inclusive(tmp_path: Path) -> None:
    for second in (10, 20, 30):
        events.emit(str(tmp_path), event(str(second), second))
    assert actions(events.read(str(tmp_path), since=20)) == ["20", "30"]
    assert actions(events.read(str(tmp_path), until=20)) == ["10", "20"]
    assert actions(events.read(str(tmp_path), since=11, until=29.5)) == ["20"]


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    events.emit(str(tmp_path), event("before"))
    with (tmp_path / "events.json").open("a") as stream:
        stream.write('{"Type": "contai\n{}\n[1]\n')
    events.emit(str(tmp_path), event("after"))
    assert actions(events.read(str(tmp_path))) == ["before", "after"]


def test_no_verb_fails_for_an_event_that_cannot_be_written(tmp_path: Path) -> None:
    events.emit(str(tmp_path / "gone"), event("create"))
    assert not (tmp_path / "gone").exists()


def test_the_journal_is_nobody_elses(tmp_path: Path) -> None:
    events.emit(str(tmp_path), event("create"))
    assert (tmp_path / "events.json").stat().st_mode & 0o777 == 0o600


def test_the_journal_stays_small_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    for number in range(500):
        events.emit(str(tmp_path), event(str(number)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 4200
    result = actions(events.read(str(tmp_path)))
    assert result == [str(number) for number in range(500 - len(result), 500)]
    assert len(result) > 15


def test_concurrent_processes_lose_no_event_while_the_journal_rotates(tmp_path: Path) -> None:
    # two and a half files' worth: a reader that has the first open misses nothing, however slow
    events.emit(str(tmp_path), event("first"))
    finished = threading.Event()
    reader = events.follow(str(tmp_path), over=finished.is_set)
    result = [next(reader)]
    follower = threading.Thread(target=lambda: result.extend(reader))
    follower.start()
    names = [f"writer{number}" for number in range(4)]
    writers = [start_writer(tmp_path, name, 1000, 256 * 1024) for name in names]
    codes = [writer.wait() for writer in writers]
    finished.set()
    follower.join()
    assert codes == [0, 0, 0, 0]
    assert len(list(events.read(str(tmp_path)))) < 4000
    assert Counter(item.id for item in result) == dict.fromkeys(names, 1000) | {"c": 1}
    for name in names:
        assert [int(item.action) for item in result if item.id == name] == list(range(1000))


def test_every_line_is_whole_after_concurrent_writing(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, str(number), 300, 1 << 30) for number in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = (tmp_path / "events.json").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 900


@pytest.mark.parametrize("pending", [0, 1, 30, 70, 200])
def test_a_reader_that_stands_still_goes_on_with_the_oldest_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pending: int
) -> None:
    small(monkeypatch)
    for number in range(20):
        events.emit(str(tmp_path), event(str(number)))
    reader = events.follow(str(tmp_path), over=lambda: True)
    first = next(reader).action
    for number in range(20, 20 + pending):
        events.emit(str(tmp_path), event(str(number)))
    result = [int(first), *map(int, actions(reader))]
    assert result == sorted(set(result))
    assert result[-1] == 19 + pending


def test_following_ends_when_until_has_passed(tmp_path: Path) -> None:
    events.emit(str(tmp_path), event("now"))
    assert actions(events.follow(str(tmp_path), until=time.time() + 0.1)) == ["now"]


def test_following_begins_before_there_is_a_journal(tmp_path: Path) -> None:
    writer = threading.Timer(0.1, lambda: events.emit(str(tmp_path), event("first")))
    writer.start()
    result = events.follow(str(tmp_path))
    assert actions(islice(result, 1)) == ["first"]
    result.close()  # type: ignore[attr-defined]
    writer.join()


def test_importing_the_journal_loads_nothing_heavy() -> None:
    program = (
        "import sys, os, json, time, fcntl, errno, dataclasses\n"
        "before = set(sys.modules)\n"
        "import dockmagic_runtime.store.events\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    ours = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "sqlite3" not in ours.stdout
    assert "dockmagic_runtime.store.events" in ours.stdout
