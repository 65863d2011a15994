"""The stream of a terminal: packets, acknowledgements, replays, input, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Queue

import pytest

from dockmagic.terminal import KeyWatch
from dockmagic.widgets.terminal_stream import (
    BACKLOG,
    KEPT,
    PACKET,
    TYPED,
    WINDOW,
    Replay,
    TerminalStream,
)

from .fake_containers import FakeProcess

LIMIT = 20.0  # seconds that a test waits at most


class Program(FakeProcess):
    """Writes what a test gives it while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Queue[bytes | None] = Queue()
        self.taken = 0  # bytes that were read from it
        self.wrote = threading.Condition()

    def output(self) -> Iterator[tuple[str, bytes]]:
        while (data := self.given.get(timeout=LIMIT)) is not None:
            yield "stdout", data
            with self.wrote:
                self.taken += len(data)
                self.wrote.notify_all()

    def exit(self, code: int = 0) -> None:
        self.code = code
        self.given.put(None)

    def detach(self) -> None:
        super().detach()
        self.given.put(None)

    def close(self) -> None:
        self.detach()

    def write(self, data: bytes) -> None:
        with self.wrote:
            super().write(data)
            self.wrote.notify_all()


class Pages:
    """What the pages were sent."""

    def __init__(self) -> None:
        self.packets: list[tuple[int, bytes]] = []
        self.ends: list[int | None] = []
        self.changed = threading.Condition()

    def output(self, at: int, data: bytes) -> None:
        with self.changed:
            self.packets.append((at, data))
            self.changed.notify_all()

    def ended(self, code: int | None) -> None:
        with self.changed:
            self.ends.append(code)
            self.changed.notify_all()

    def until(self, holds: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, LIMIT)

    @property
    def text(self) -> bytes:
        return b"".join(data for _, data in self.packets)


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def stream(program: Program, pages: Pages) -> Iterator[TerminalStream]:
    stream = TerminalStream(program, KeyWatch(b"\x10\x11"), pages, patience=0.2)
    stream.start()
    yield stream
    stream.end()
    program.exit()
    assert stream.join(LIMIT), "a thread is left"


def test_output_is_sent_as_it_comes_and_the_end_after_it(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    assert stream.open("a") == (0, b"")
    program.given.put(b"hello ")
    pages.until(lambda: pages.text == b"hello ")
    program.given.put(b"you")
    program.exit(3)
    pages.until(lambda: pages.ends == [3])
    assert pages.text == b"hello you"
    assert [at for at, _ in pages.packets] == [0, 6]
    assert stream.code == 3
    assert stream.join(LIMIT)


def test_a_flood_is_sent_in_packets_up_to_a_window(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    stream.open("slow")
    for _ in range(40):
        program.given.put(b"y\n" * (PACKET // 2))
    pages.until(lambda: len(pages.text) >= WINDOW)
    assert max(len(data) for _, data in pages.packets) == PACKET
    with program.wrote:
        assert program.taken <= WINDOW + BACKLOG + PACKET  # the program waits
    stream.acknowledge("slow", PACKET)
    pages.until(lambda: len(pages.text) >= WINDOW + PACKET)


def test_a_page_that_answers_no_more_is_not_waited_for_and_gets_a_replay(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    stream.open("asleep")
    for _ in range(40):
        program.given.put(b"y\n" * (PACKET // 2))
    program.given.put(b"the end")
    with program.wrote:  # after the patience the program goes on
        assert program.wrote.wait_for(lambda: program.taken == 40 * PACKET + 7, LIMIT)
    assert len(pages.text) < 40 * PACKET
    assert not stream.acknowledge("asleep", PACKET)
    offset, data = stream.open("asleep")
    assert offset == 40 * PACKET + 7
    assert data.endswith(b"y\nthe end")
    assert len(data) <= KEPT


def test_without_a_page_the_output_goes_into_the_replay(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    program.given.put(b"early\n")
    with program.wrote:
        assert program.wrote.wait_for(lambda: program.taken == 6, LIMIT)
    program.exit()
    pages.until(lambda: pages.ends)
    assert pages.packets == []
    assert stream.open("late") == (6, b"early\n")


def test_a_closed_page_is_not_waited_for(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    stream.open("gone")
    stream.open("here")
    stream.close("gone")
    for number in range(20):
        program.given.put(b"z" * PACKET)
        pages.until(lambda wanted=(number + 1) * PACKET: len(pages.text) >= wanted)  # type: ignore[misc]
        stream.acknowledge("here", (number + 1) * PACKET)


def test_what_is_typed_reaches_the_program_and_the_keys_leave_it(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    assert stream.type("grüße\r".encode())
    assert stream.type(b"\x10\x11rest")
    pages.until(lambda: pages.ends == [None])
    assert bytes(program.stdin) == "grüße\r".encode()
    assert program.detached
    assert stream.join(LIMIT)


def test_a_paste_that_is_not_read_is_bounded(program: Program, pages: Pages) -> None:
    reads = threading.Event()

    class Deaf(Program):
        def write(self, data: bytes) -> None:
            assert reads.wait(LIMIT)

    deaf = Deaf()
    stream = TerminalStream(deaf, KeyWatch(b""), pages)
    stream.start()
    accepted = [stream.type(b"x" * PACKET) for _ in range(40)]
    assert accepted.count(True) * PACKET <= TYPED + 2 * PACKET
    assert not accepted[-1]
    reads.set()
    deaf.exit()
    assert stream.join(LIMIT)


def test_a_terminal_that_is_closed_hangs_up_and_then_kills(
    program: Program, pages: Pages, stream: TerminalStream
) -> None:
    stream.hang_up(0.01)
    while "KILL" not in program.signals:
        threading.Event().wait(0.005)
    assert program.signals == ["HUP", "KILL"]


def test_the_notebook_leaves_what_was_joined_and_ends_what_is_its_own(pages: Pages) -> None:
    for owned, signals in ((True, ["HUP"]), (False, [])):
        program = Program()
        stream = TerminalStream(program, KeyWatch(b""), pages, owned=owned)
        stream.start()
        stream.end()
        stream.end()
        assert stream.join(LIMIT)
        assert (program.signals, program.detached) == (signals, True)


def test_the_size_changes_once_more_for_a_redraw(program: Program, stream: TerminalStream) -> None:
    stream.resize(20, 80)
    stream.resize(30, 90, redraw=True)
    assert program.sizes == [(20, 80), (31, 90), (30, 90)]


def test_a_replay_begins_with_a_line_and_the_modes_that_were_set() -> None:
    replay = Replay(kept=20)
    replay.add(b"\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1;2004h")
    replay.add(b"0123456789\n0123456789abcdef")
    assert replay.until(replay.total) == (
        b"\x1b[?1049h\x1b[?25h\x1b[?1h\x1b[?2004h0123456789abcdef"
    )
    assert replay.since(replay.total - 4, 2) == b"cd"
