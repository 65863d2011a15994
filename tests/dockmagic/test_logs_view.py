"""Logs in a notebook: what is kept, searched and sent to pages, and the saved form."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Queue
from typing import Any

import pytest

from dockmagic.magics.following import FollowedLog
from dockmagic.widgets import bundle
from dockmagic.widgets.logs_buffer import LogBuffer, Query, StampedLines
from dockmagic.widgets.logs_pages import FAST, PIECE, LogPages
from dockmagic.widgets.terminal_colors import Run, css, runs

from .test_interactive import page as page  # the fixture

LIMIT = 20.0  # seconds that a test waits at most


class Log:
    """A log that a test writes; `opened` are the tails from which it was read."""

    def __init__(self) -> None:
        self.blocks: Queue[tuple[str, bytes] | None] = Queue()
        self.opened: list[int | None] = []
        self.time = 0

    def __call__(
        self, is_cancelled: Callable[[], bool], tail: int | None
    ) -> Iterable[tuple[str, bytes]]:
        self.opened.append(tail)
        while not is_cancelled():
            try:
                block = self.blocks.get(timeout=0.01)
            except Empty:
                continue
            if block is None:
                return
            yield block

    def write(self, *lines: str, stream: str = "stdout") -> None:
        stamped = []
        for line in lines:
            self.time += 1
            stamped.append(f"t{self.time:09} {line}\n")
        self.blocks.put((stream, "".join(stamped).encode()))

    def end(self) -> None:
        self.blocks.put(None)


class Front:
    """The pages' side: answers as a page does."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.shown: list[str] = []
        self.changed = threading.Condition()
        self.saves = 0
        self.ends = 0

    def send(self, message: dict[str, Any]) -> None:
        with self.changed:
            self.messages.append(message)
            texts = ["".join(piece[0] for piece in line[3]) for line in message["lines"]]
            if message["place"] == "all":
                self.shown = texts
            elif message["place"] == "start":
                self.shown = texts + self.shown
            else:
                self.shown = ([] if message["skipped"] else self.shown) + texts
            self.changed.notify_all()

    def save(self) -> None:
        self.saves += 1

    def end(self) -> None:
        with self.changed:
            self.ends += 1
            self.changed.notify_all()

    def until(self, holds: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, LIMIT), self.shown[-5:]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def front() -> Front:
    return Front()


@pytest.fixture
def pages(log: Log, front: Front) -> Iterator[LogPages]:
    pages = LogPages(log, front.send)
    pages.start(front.save, front.end)
    yield pages
    pages.follower.stop()
    assert pages.join(LIMIT), "a thread is left"
    assert front.ends == 1


def look(pages: LogPages, **more: Any) -> None:
    pages.receive(
        {"kind": "look", "page": "p", "text": "", "stream": "", "following": True, **more}
    )


def test_new_lines_come_to_a_page_as_it_has_drawn_the_ones_before(
    log: Log, front: Front, pages: LogPages
) -> None:
    look(pages)
    front.until(lambda: front.messages)
    log.write("one", "two")
    pages.receive({"kind": "drawn", "page": "p"})
    front.until(lambda: front.shown == ["one", "two"])
    log.write("three")
    while pages.follower.buffer.total < 3:
        threading.Event().wait(0.005)
    assert len(front.messages) == 2  # not drawn yet
    pages.receive({"kind": "drawn", "page": "p"})
    front.until(lambda: front.shown == ["one", "two", "three"])


def test_a_query_looks_in_all_that_is_kept(log: Log, front: Front, pages: LogPages) -> None:
    log.write(*(f"Line {number}" for number in range(2000)))
    log.write("broken line", stream="stderr")
    while pages.follower.buffer.total < 2001:
        threading.Event().wait(0.005)
    look(pages)
    assert len(front.shown) == PIECE
    pages.receive({"kind": "older", "page": "p", "before": front.messages[-1]["lines"][0][0]})
    assert len(front.shown) == 2 * PIECE
    assert front.shown[0] == "Line 1001"
    look(pages, text="LINE 17")
    assert front.shown == [f"Line {n}" for n in range(2000) if "17" in str(n)]
    look(pages, stream="stderr")
    assert front.shown == ["broken line"]
    log.write("a third line", "Line 17 again")
    look(pages, text="again")
    pages.receive({"kind": "drawn", "page": "p"})
    front.until(lambda: front.shown == ["Line 17 again"])


def test_a_page_that_is_paused_is_sent_nothing(log: Log, front: Front, pages: LogPages) -> None:
    look(pages, following=False)
    log.write("one")
    pages.receive({"kind": "drawn", "page": "p"})
    log.end()
    front.until(lambda: front.ends)
    assert front.shown == []


def test_notebook_b5_a_log_that_grows_too_fast_is_read_at_its_end(
    log: Log, front: Front, pages: LogPages
) -> None:
    log.write(*(["y"] * (FAST + 1)))
    log.write("after")
    log.end()
    front.until(lambda: front.ends)
    assert log.opened == [None, 1000]
    texts = [line.plain for line in pages.follower.buffer.last(3)]
    assert texts[0] == "y"
    assert "left out" in texts[1]
    assert texts[2] == "after"


def test_lines_that_were_read_before_a_jump_are_not_shown_twice(
    log: Log, front: Front, pages: LogPages
) -> None:
    log.write(*(["y"] * (FAST + 1)))
    log.blocks.put(("stdout", b"t000000007 old\nt999999999 new\n"))
    log.end()
    front.until(lambda: front.ends)
    assert [line.plain for line in pages.follower.buffer.last(10)].count("old") == 0


def test_an_error_ends_it_and_is_kept(front: Front) -> None:
    def broken(_: Callable[[], bool], __: int | None) -> Iterable[tuple[str, bytes]]:
        raise OSError("no log")

    pages = LogPages(broken, front.send)
    pages.start(front.save, front.end)
    assert pages.join(LIMIT)
    assert str(pages.follower.error) == "no log"
    assert front.ends == 1


def test_what_is_kept_is_bounded_in_lines_and_in_characters() -> None:
    buffer = LogBuffer(lines=100, characters=1000)
    for number in range(200):
        buffer.add("stdout", "", b"%03d" % number)
    assert (buffer.total, buffer.first, len(buffer.since(0))) == (200, 100, 100)
    buffer.add("stdout", "", b"x" * 5000)
    assert [len(line.text) for line in buffer.since(0)] == [4097]


def test_lines_are_split_by_stream_wherever_the_blocks_are_cut() -> None:
    lines = StampedLines()
    read = [*lines.feed("stdout", b"t1 on"), *lines.feed("stderr", b"t2 err\n")]
    read += [*lines.feed("stdout", b"e\nt3 tw"), *lines.rest()]
    assert read == [("stderr", "t2", b"err"), ("stdout", "t1", b"one"), ("stdout", "t3", b"tw")]


def test_colours_are_kept_from_line_to_line_and_nothing_else_is() -> None:
    buffer = LogBuffer()
    buffer.add("stdout", "", b"\x1b[31mred \x1b[38;5;208;1mfar\x1b]8;;http://evil/\x07link\x07")
    buffer.add("stderr", "", b"plain")
    buffer.add("stdout", "", b"still\x1b[0m not\x1b[2J")
    first, error, last = buffer.since(0)
    assert first.runs() == [Run("red ", fg="red"), Run("farlink", fg="ff8700", bold=True)]
    assert error.runs() == [Run("plain")]
    assert last.runs() == [Run("still", fg="ff8700", bold=True), Run(" not")]
    assert first.message()[3] == [
        ["red ", "color:var(--dm-ansi1)"], ["farlink", "color:#ff8700;font-weight:bold"],
    ]  # fmt: skip


def test_a_progress_line_shows_what_it_ended_with() -> None:
    buffer = LogBuffer()
    buffer.add("stdout", "", b" 10 %\r 50 %\r100 %\r\n")
    assert buffer.since(0)[0].plain == "100 %"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("1;4;7;3", "background:var(--dm-fore);font-weight:bold"),
        ("48;2;1;2;3", "background:#010203"),
        ("38;5;300", "color:#eeeeee"),
        ("38;5;9", "color:var(--dm-ansi9)"),
        ("97;101", "color:var(--dm-ansi15);background:var(--dm-ansi9)"),
        ("31;39", ""),
        ("38", "color:var(--dm-ansi0)"),
    ],
)
def test_sgr_becomes_declarations_of_ours(codes: str, expected: str) -> None:
    (run,), _ = runs(f"\x1b[{codes}mx")
    declarations = css(run).split(";")
    assert all(part in declarations for part in expected.split(";") if part)
    assert bool(css(run)) == bool(expected)


def test_a_query_wants_all_words() -> None:
    buffer = LogBuffer()
    buffer.add("stderr", "", b"GET /index.html 200")
    (line,) = buffer.since(0)
    assert Query("get 200").matches(line)
    assert not Query("get 404").matches(line)
    assert not Query("", "stdout").matches(line)


def test_security_a_log_is_text_in_the_saved_form(run: Any) -> None:
    run("%docker run -d --name web httpd")
    document = bundle(run("%logs web").value)
    assert "&lt;script&gt;" in document["text/html"]
    assert "<script" not in document["text/html"]
    assert 'title="stderr"' in document["text/html"]
    assert "eA==" not in document["text/html"]


def test_in_a_page_the_cell_returns_and_the_log_is_followed(
    run: Any, page: list[dict[str, Any]]
) -> None:
    run("%docker run -d --name web httpd")
    cell = run("%logs -f web")
    assert isinstance(cell.value, FollowedLog)
    assert "data-dm-view" in page[0]["text/html"]
    cell.value.wait(LIMIT)
    assert not cell.value.is_open
    assert page[-1]["text/plain"] == cell.value.text
    assert "data-dm-view" not in page[-1]["text/html"]
    assert not [t for t in threading.enumerate() if t.name.startswith("dockmagic-logs")]
    assert run("%logs -f nosuch").error.message.startswith("No such container")
