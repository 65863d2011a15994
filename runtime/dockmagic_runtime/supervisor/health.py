"""A container's health: a command is run in it periodically, and its exit codes say how it is.

Checks never overlap: the next one is due an interval after the last one has ended. Numbers and
words are Docker's (moby daemon/health.go): the last five results are kept with 4096 bytes of
output each, and a container is unhealthy after so many failures in a row as `retries` says;
failures in the start period do not count as long as there was no success.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final, Protocol

from msgspec import Struct, convert, to_builtins

from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.linux.event_loop import EventLoop, Timer
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE, write_file
from dockmagic_runtime.supervisor.exec_session import ExecSession
from dockmagic_runtime.supervisor.program import Program
from dockmagic_runtime.supervisor.state import HEALTHY, STARTING, UNHEALTHY

RESULTS: Final = 5
OUTPUT: Final = 4096
_FILE: Final = "health.json"


class Check(Struct, frozen=True, kw_only=True):
    """What is checked and how often, with all defaults filled in; seconds."""

    process: dict[str, Any]
    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int


class Result(Struct, frozen=True):
    start: float
    end: float
    exit_code: int
    output: str


class _Kept(Struct, frozen=True):
    """The contents of the file."""

    status: str
    streak: int
    results: list[Result]


class HealthCallbacks(Protocol):
    """Called at the start and the end of each check, and when the status has changed."""

    def exec_started(self, session: ExecSession) -> None: ...
    def exec_ended(self, session: ExecSession, exit_code: int) -> None: ...
    def health_changed(self, status: str) -> None: ...


class Health:
    """The checks of one run of the program: `stop` ends them, `suspend` and `resume` are for a
    pause.

    `age`: the program was taken over so many seconds after its start; the checks continue from what
    the killed supervisor has recorded.
    """

    def __init__(
        self,
        loop: EventLoop,
        program: Program,
        check: Check,
        callbacks: HealthCallbacks,
        directory: str,
        *,
        age: float | None = None,
    ) -> None:
        self._loop = loop
        self._program = program
        self._check = check
        self._callbacks = callbacks
        self._directory = directory
        self._began = time.monotonic() - (age or 0.0)
        self._timer: Timer | None = None
        self._running: ExecSession | None = None
        self._is_over = False
        self._has_given_up = False
        self.status = STARTING
        self.streak = 0
        self.results: list[Result] = []
        if age is not None:
            self.status, self.streak, self.results = read(directory)
        else:
            self._write()
        self._schedule()

    # ------------------------------------------------------------------ when

    def _schedule(self) -> None:
        self._timer = self._loop.after(self._interval(), self._begin)

    def _interval(self) -> float:
        is_young = time.monotonic() - self._began < self._check.start_period
        if is_young and self.status == STARTING:
            return self._check.start_interval
        return self._check.interval

    def suspend(self) -> None:
        """A frozen container answers no check: that is no failure."""
        if self._timer is not None:
            self._timer.cancel()

    def resume(self) -> None:
        if self._running is None:
            self._schedule()
        else:
            self._timer = self._loop.after(self._check.timeout, self._give_up)

    def stop(self) -> None:
        """The program has ended. Docker calls that unhealthy."""
        self.suspend()
        self._is_over = True
        self.status = UNHEALTHY
        self._write()

    # ------------------------------------------------------------------ one check

    def _begin(self) -> None:
        output, start = bytearray(), time.time()

        def sink(_stream: str, data: bytes) -> None:
            output.extend(data[: OUTPUT + 1 - len(output)])

        def on_end(code: int) -> None:
            self._finish(code, start, bytes(output))

        try:
            self._running = self._program.execute(
                self._check.process, exec_id=os.urandom(32).hex(), sink=sink, on_end=on_end
            )
        except (DockmagicError, OSError) as error:
            self._take(Result(start, time.time(), -1, str(error)))
            self._schedule()
            return
        self._has_given_up = False
        self._timer = self._loop.after(self._check.timeout, self._give_up)
        self._callbacks.exec_started(self._running)

    def _give_up(self) -> None:
        assert self._running is not None
        self._has_given_up = True
        self._running.kill(signal.SIGKILL)

    def _finish(self, code: int, start: float, output: bytes) -> None:
        session, self._running = self._running, None
        if session is None or self._is_over:
            return
        self.suspend()
        self._callbacks.exec_ended(session, code)
        text = _text(output)
        if self._has_given_up:
            message = f"Health check exceeded timeout ({seconds(self._check.timeout)})"
            code, text = -1, f"{message}: {text}" if text else message
        self._take(Result(start, time.time(), code, text))
        self._schedule()

    def _take(self, result: Result) -> None:
        before = self.status
        self.results = [*self.results, result][-RESULTS:]
        if result.exit_code == 0:
            self.streak, self.status = 0, HEALTHY
        elif not self._is_excused():
            self.streak += 1
            if self.streak >= self._check.retries:
                self.status = UNHEALTHY
        self._write()
        if self.status != before:
            self._callbacks.health_changed(self.status)

    def _is_excused(self) -> bool:
        age = time.monotonic() - self._began
        return self.status == STARTING and age < self._check.start_period

    def _write(self) -> None:
        values = {
            "status": self.status,
            "streak": self.streak,
            "results": [to_builtins(result) for result in self.results],
        }
        try:
            write_file(f"{self._directory}/{_FILE}", lenient_json.encode(values))
        except OSError as error:
            if error.errno not in DISK_UNWRITABLE:
                raise


def read(directory: str) -> tuple[str, int, list[Result]]:
    """(status, failures in a row, the last results) of a container that is checked.

    Those of a container without a result for a file that is missing or damaged.
    """
    try:
        with open(f"{directory}/{_FILE}", "rb") as stream:
            kept = convert(lenient_json.decode(stream.read()), _Kept)
    except (FileNotFoundError, ValueError):  # msgspec's errors are ValueErrors too
        return STARTING, 0, []
    return kept.status, kept.streak, kept.results


def _text(output: bytes) -> str:
    text = output[:OUTPUT].decode("utf-8", "replace")
    return f"{text}..." if len(output) > OUTPUT else text


def seconds(value: float) -> str:
    """A duration as Go writes it: 30s, 1m30s, 1.5s, 500ms."""
    if value < 1:
        return f"{value * 1000:g}ms"
    minutes, rest = divmod(value, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours}h{minutes}m{rest:g}s"
    return f"{minutes}m{rest:g}s" if minutes else f"{rest:g}s"
