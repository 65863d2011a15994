"""Streams of a process: a slow reader makes the writer wait, and no byte is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.supervisor.stdio import INPUT_LIMIT, Stdio, StdioPipes


class Bench:
    """A process's ends, held by the test instead of a process."""

    def __init__(self, *, open_stdin: bool = True) -> None:
        self.loop = EventLoop()
        self.ends = StdioPipes.open(terminal=False, open_stdin=open_stdin)
        self.stdin, self.stdout, self.stderr = self.ends.child
        self.seen: list[tuple[str, bytes]] = []
        self.stdio = Stdio(self.loop, self.take, self.ends.outputs, self.ends.input, terminal=False)

    def take(self, stream: str, data: bytes) -> None:
        self.seen.append((stream, data))

    def turn(self) -> None:
        self.loop.after(0, self.loop.stop)
        self.loop.run()

    def close(self) -> None:
        self.stdio.close()
        self.ends.close_child()
        self.loop.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    streams = Bench()
    yield streams
    streams.close()


def test_streams_stay_apart(bench: Bench) -> None:
    os.write(bench.stdout, b"out")
    os.write(bench.stderr, b"err")
    bench.turn()
    assert sorted(bench.seen) == [("stderr", b"err"), ("stdout", b"out")]


def test_paused_output_waits_and_nothing_is_lost(bench: Bench) -> None:
    bench.stdio.pause_output(True)
    os.write(bench.stdout, b"one")
    bench.turn()
    assert bench.seen == []
    bench.stdio.pause_output(False)
    bench.turn()
    assert bench.seen == [("stdout", b"one")]


def test_what_lies_in_the_pipes_at_the_end_is_drained(bench: Bench) -> None:
    bench.stdio.pause_output(True)
    os.write(bench.stdout, b"last words")
    bench.stdio.drain()
    assert bench.seen == [("stdout", b"last words")]


def test_input_that_is_not_read_says_so_and_tells_when_there_is_room(bench: Bench) -> None:
    assert bench.stdio.write(b"x" * INPUT_LIMIT)
    assert not bench.stdio.write(b"y" * INPUT_LIMIT)
    called: list[bool] = []
    bench.stdio.when_room(lambda: called.append(True))
    received = 0
    while received < 2 * INPUT_LIMIT:
        received += len(os.read(bench.stdin, 1 << 20))
        bench.turn()
    assert called == [True]


def test_closing_the_input_waits_for_what_was_written(bench: Bench) -> None:
    bench.stdio.write(b"z" * 200_000)
    bench.stdio.close_input()
    received = bytearray()
    while data := os.read(bench.stdin, 1 << 16):
        received += data
        bench.turn()
    assert received == b"z" * 200_000


def test_a_program_that_closes_its_input_is_no_error(bench: Bench) -> None:
    called: list[bool] = []
    bench.stdio.write(b"x" * (2 * INPUT_LIMIT))
    bench.stdio.when_room(lambda: called.append(True))
    os.close(bench.stdin)
    bench.ends.child = [bench.stdout, bench.stderr]
    bench.turn()
    assert called == [True]
    assert bench.stdio.write(b"more")


def test_without_standard_input_what_is_written_is_dropped() -> None:
    bench = Bench(open_stdin=False)
    assert bench.stdio.write(b"x" * (3 * INPUT_LIMIT))
    bench.close()
