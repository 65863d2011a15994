"""Health checks against a clock that stands still and a program that answers on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.supervisor import health
from dockmagic_runtime.supervisor.exec_session import ExecSession
from dockmagic_runtime.supervisor.health import Check, Health, seconds
from dockmagic_runtime.supervisor.program import Program


@dataclass
class FakeTimer:
    seconds: float
    action: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class FakeLoop:
    timers: list[FakeTimer] = field(default_factory=list)

    def after(self, seconds: float, action: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(seconds, action))
        return self.timers[-1]

    @property
    def due(self) -> list[FakeTimer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def fire(self) -> float:
        """The only timer that is due; what it waited for."""
        (timer,) = self.due
        self.timers.clear()
        timer.action()
        return timer.seconds


@dataclass
class FakeSession:
    sink: Callable[[str, bytes], None]
    on_end: Callable[[int], None]
    signals: list[int] = field(default_factory=list)

    def kill(self, number: int) -> None:
        self.signals.append(number)


@dataclass
class FakeProgram:
    failure: Exception | None = None
    sessions: list[FakeSession] = field(default_factory=list)

    def execute(self, process: Any, *, exec_id: str, sink: Any, on_end: Any) -> FakeSession:
        if self.failure:
            raise self.failure
        self.sessions.append(FakeSession(sink, on_end))
        return self.sessions[-1]


@dataclass
class Bench:
    """A `Health` with everything around it made up; it is its host too."""

    directory: Path
    check: Check
    loop: FakeLoop = field(default_factory=FakeLoop)
    program: FakeProgram = field(default_factory=FakeProgram)
    changes: list[str] = field(default_factory=list)
    age: float | None = None

    def __post_init__(self) -> None:
        self.health = Health(
            cast(EventLoop, self.loop),
            cast(Program, self.program),
            self.check,
            self,
            str(self.directory),
            age=self.age,
        )

    def exec_started(self, session: ExecSession) -> None: ...

    def exec_ended(self, session: ExecSession, exit_code: int) -> None: ...

    def health_changed(self, status: str) -> None:
        self.changes.append(status)

    def run_check(self, code: int, output: bytes = b"") -> None:
        self.loop.fire()
        session = self.program.sessions[-1]
        if output:
            session.sink("stdout", output)
        session.on_end(code)


def bench(tmp_path: Path, **changes: Any) -> Bench:
    values: dict[str, Any] = {
        "process": {},
        "interval": 30.0,
        "timeout": 7.0,
        "start_period": 0.0,
        "start_interval": 5.0,
        "retries": 3,
    }
    return Bench(tmp_path, Check(**{**values, **changes}))


def test_the_first_check_is_due_after_an_interval(tmp_path: Path) -> None:
    checked = bench(tmp_path)
    assert [timer.seconds for timer in checked.loop.due] == [30.0]
    assert health.read(str(tmp_path)) == ("starting", 0, [])


def test_checks_never_overlap(tmp_path: Path) -> None:
    checked = bench(tmp_path)
    checked.loop.fire()
    assert [timer.seconds for timer in checked.loop.due] == [7.0]  # its timeout, and no next check
    checked.program.sessions[-1].on_end(0)
    assert [timer.seconds for timer in checked.loop.due] == [30.0]


def test_as_many_failures_in_a_row_as_there_are_retries_make_unhealthy(tmp_path: Path) -> None:
    checked = bench(tmp_path)
    checked.run_check(0)
    for code in (1, 1, 0, 1, 1):
        checked.run_check(code)
    assert checked.changes == ["healthy"]
    checked.run_check(2)
    assert checked.changes == ["healthy", "unhealthy"]
    checked.run_check(0)
    assert checked.changes == ["healthy", "unhealthy", "healthy"]


def test_failures_of_the_start_do_not_count_until_there_was_a_success(tmp_path: Path) -> None:
    checked = bench(tmp_path, start_period=600.0, retries=1)
    assert [timer.seconds for timer in checked.loop.due] == [5.0]
    for _ in range(4):
        checked.run_check(1)
    assert (checked.changes, checked.health.streak) == ([], 0)
    checked.run_check(0)
    assert [timer.seconds for timer in checked.loop.due] == [30.0]  # it has started
    checked.run_check(1)
    assert checked.changes == ["healthy", "unhealthy"]


def test_the_start_period_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = bench(tmp_path, start_period=600.0, retries=1)
    later = time.monotonic() + 601
    monkeypatch.setattr(time, "monotonic", lambda: later)
    checked.run_check(1)
    assert checked.changes == ["unhealthy"]


def test_a_check_that_takes_too_long_is_killed_and_fails(tmp_path: Path) -> None:
    checked = bench(tmp_path, retries=1)
    checked.loop.fire()
    checked.program.sessions[-1].sink("stderr", b"slow")
    assert checked.loop.fire() == 7.0
    assert checked.program.sessions[-1].signals == [9]
    checked.program.sessions[-1].on_end(137)
    (result,) = health.read(str(tmp_path))[2]
    assert (result.exit_code, result.output) == (-1, "Health check exceeded timeout (7s): slow")
    assert checked.changes == ["unhealthy"]


def test_a_check_that_cannot_begin_fails_with_the_reason(tmp_path: Path) -> None:
    checked = bench(tmp_path, retries=1)
    checked.program.failure = StartFailed("no such program")
    checked.loop.fire()
    (result,) = health.read(str(tmp_path))[2]
    assert (result.exit_code, result.output) == (-1, "no such program")
    assert [timer.seconds for timer in checked.loop.due] == [30.0]


def test_five_results_with_4096_bytes_are_kept(tmp_path: Path) -> None:
    checked = bench(tmp_path)
    for number in range(7):
        checked.run_check(0, b"%d" % number + b"x" * 5000)
    results = health.read(str(tmp_path))[2]
    assert [result.output[0] for result in results] == ["2", "3", "4", "5", "6"]
    assert {len(result.output) for result in results} == {4096 + 3}
    assert all(result.output.endswith("...") for result in results)


def test_a_pause_suspends_the_next_check_and_the_timeout_of_this_one(tmp_path: Path) -> None:
    checked = bench(tmp_path)
    checked.health.suspend()
    assert checked.loop.due == []
    checked.health.resume()
    assert checked.loop.fire() == 30.0
    checked.health.suspend()
    assert checked.loop.due == []
    checked.health.resume()
    assert [timer.seconds for timer in checked.loop.due] == [7.0]


def test_after_the_end_a_late_result_counts_no_more(tmp_path: Path) -> None:
    checked = bench(tmp_path)
    checked.run_check(0)
    checked.loop.fire()
    checked.health.stop()
    checked.program.sessions[-1].on_end(0)
    assert checked.loop.due == []
    assert health.read(str(tmp_path))[0] == "unhealthy"


@pytest.mark.parametrize(
    ("value", "text"),
    [(30, "30s"), (90, "1m30s"), (1.5, "1.5s"), (0.5, "500ms"), (3600, "1h0m0s"), (120, "2m0s")],
)
def test_durations_are_written_as_go_does(value: float, text: str) -> None:
    assert seconds(value) == text


@given(st.lists(st.booleans(), max_size=30))
def test_the_streak_is_the_failures_since_the_last_success(outcomes: list[bool]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        checked = bench(Path(directory))
        for is_good in outcomes:
            checked.run_check(0 if is_good else 1)
        failures = 0
        for is_good in outcomes:
            failures = 0 if is_good else failures + 1
        assert checked.health.streak == failures
        assert len(checked.health.results) == min(len(outcomes), 5)


def test_the_next_supervisor_goes_on_in_the_same_start_period(tmp_path: Path) -> None:
    first = bench(tmp_path, start_period=100.0, start_interval=1.0, interval=7.0, retries=1)
    first.run_check(1, b"not yet")
    assert first.health.status == "starting"
    for age, interval, status in (10.0, 1.0, "starting"), (200.0, 7.0, "unhealthy"):
        after = Bench(tmp_path, first.check, age=age)
        assert [checked.output for checked in after.health.results] == ["not yet"]
        assert after.loop.due[0].seconds == interval
        after.run_check(1)
        assert after.health.status == status
        first.health._write()
