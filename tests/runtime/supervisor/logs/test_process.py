"""A log that is written by a process of its own: slow, hanging and killed ones."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.supervisor.logs import process
from dockmagic_runtime.supervisor.logs.process import LogProcess
from dockmagic_runtime.supervisor.logs.settings import LogFile, LogSettings


class Bench:
    def __init__(self, directory: Path, undo: ExitStack) -> None:
        self.path = directory / "log"
        self.caught_up = 0
        self.loop = EventLoop()
        self._undo = undo

    def open(self, **settings: object) -> LogProcess:
        wanted = LogSettings(**{"file": LogFile(), **settings})  # type: ignore[arg-type]
        log = LogProcess(self.loop, str(self.path), wanted, self._note)
        self._undo.callback(log.close)
        return log

    def _note(self) -> None:
        self.caught_up += 1

    @property
    def logged(self) -> str:
        return "".join(json.loads(line)["log"] for line in self.path.read_text().splitlines())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as undo:
        yield Bench(tmp_path, undo)


def test_what_is_flushed_is_in_the_file(bench: Bench) -> None:
    log = bench.open(buffer_size=1 << 20)
    log.write("stdout", b"one\ntwo")
    log.flush()
    assert bench.logged == "one\ntwo"
    log.write("stderr", b"three\n")
    log.close()
    assert bench.logged == "one\ntwothree\n"


def test_a_program_waits_for_a_slow_destination(bench: Bench) -> None:
    log = bench.open()
    os.kill(log._pid, signal.SIGSTOP)
    written = 0
    for _ in range(100):
        log.write("stdout", b"x" * 65535 + b"\n")
        written += 65536
    was_behind = log.is_behind
    os.kill(log._pid, signal.SIGCONT)
    while not bench.caught_up:
        bench.loop.turn(10)
    assert (was_behind, log.is_behind) == (True, False)
    log.flush()
    assert len(bench.logged) == written


def test_command_line_8_without_blocking_the_oldest_output_is_dropped(bench: Bench) -> None:
    log = bench.open(buffer_size=100_000)
    os.kill(log._pid, signal.SIGSTOP)
    for number in range(100_000):
        log.write("stdout", f"{number:099d}\n".encode())
        assert not log.is_behind
    assert log._size < 110_000
    os.kill(log._pid, signal.SIGCONT)
    log.flush()
    numbers = [int(line) for line in bench.logged.split()]
    assert numbers[0] == 0  # it was sent before the buffer was full
    assert numbers[-1] == 99_999
    assert numbers == sorted(numbers)
    assert len(numbers) < 100_000


def test_one_that_was_killed_is_replaced(bench: Bench) -> None:
    log = bench.open()
    log.write("stdout", b"before\n")
    log.flush()
    victim = log._pid
    os.kill(victim, signal.SIGKILL)
    os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
    log.write("stdout", b"lost, or not\n")
    log.flush()
    log.write("stdout", b"after\n")
    log.flush()
    assert log._pid != victim
    assert bench.logged.startswith("before\n")
    assert bench.logged.endswith("after\n")


def test_one_that_hangs_at_the_end_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PATIENCE", 0.05)
    log = bench.open()
    os.kill(log._pid, signal.SIGSTOP)
    log.write("stdout", b"lost\n")
    log.flush()
    log.write("stdout", b"after\n")
    monkeypatch.undo()
    log.flush()
    assert bench.logged == "after\n"


def test_syslog_and_the_file_that_logs_reads_get_the_same(bench: Bench, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "dev-log"))
        receiver.settimeout(10)
        options = {"syslog-address": f"unixgram://{tmp_path}/dev-log"}
        log = bench.open(driver="syslog", options=options, tag="n1")
        log.write("stdout", b"hello\n")
        log.flush()
        assert receiver.recv(4096).endswith(b": hello\n")
    assert bench.logged == "hello\n"
