"""The event loop: what is called, when, and when no longer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dockmagic_runtime.linux.event_loop import READ, WRITE, EventLoop, is_readable, is_writable


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    event_loop = EventLoop()
    yield event_loop
    event_loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


Pair = tuple[socket.socket, socket.socket]


def test_what_is_ready_is_called_back(loop: EventLoop, pair: Pair) -> None:
    seen: list[int] = []

    def ready(events: int) -> None:
        seen.append(events)
        loop.stop()

    loop.watch(pair[0].fileno(), READ, ready)
    pair[1].send(b"x")
    loop.run()
    assert seen == [READ]


def test_a_callback_replaces_the_one_before(loop: EventLoop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), READ, lambda _events: pytest.fail("the old one was called"))
    loop.watch(pair[0].fileno(), WRITE, lambda _events: loop.stop())
    loop.run()


def test_what_was_forgotten_in_the_same_turn_is_not_called(loop: EventLoop, pair: Pair) -> None:
    called: list[int] = []

    def forget_both(events: int) -> None:
        called.append(events)
        loop.forget(pair[0].fileno())
        loop.forget(pair[1].fileno())
        loop.stop()

    for end in pair:
        loop.watch(end.fileno(), WRITE, forget_both)
    loop.run()
    assert len(called) == 1


def test_forgetting_twice_is_harmless(loop: EventLoop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), READ, lambda _events: None)
    loop.forget(pair[0].fileno())
    loop.forget(pair[0].fileno())


def test_an_end_is_noticed_without_asking_for_any_event(loop: EventLoop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), 0, lambda _events: loop.stop())
    pair[1].close()
    loop.run()


def test_timers_fire_in_time_and_not_when_cancelled(loop: EventLoop) -> None:
    fired: list[str] = []
    loop.after(0.001, lambda: fired.append("first"))
    cancelled = loop.after(0.002, lambda: fired.append("cancelled"))
    loop.after(0.01, loop.stop)
    cancelled.cancel()
    cancelled.cancel()
    loop.run()
    assert fired == ["first"]


def test_a_timer_may_cancel_another_that_is_due_too(loop: EventLoop) -> None:
    fired: list[str] = []

    def cancel_the_other() -> None:
        fired.append("first")
        second.cancel()
        loop.stop()

    loop.after(0, cancel_the_other)
    second = loop.after(0, lambda: fired.append("second"))
    loop.run()
    assert fired == ["first"]


def test_a_descriptor_that_was_reused_in_the_same_turn_is_not_called_with_old_events(
    loop: EventLoop, pair: Pair
) -> None:
    low, high = sorted(end.fileno() for end in pair)

    def reuse_high(_events: int) -> None:
        loop.forget(low)
        loop.forget(high)
        loop.watch(high, READ, lambda _events: pytest.fail("called with the events of another"))
        loop.stop()

    loop.watch(low, WRITE, reuse_high)
    loop.watch(high, WRITE, reuse_high)
    loop.run()


def test_a_turn_waits_no_longer_than_it_is_allowed(loop: EventLoop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), READ, lambda _events: pytest.fail("nothing was sent"))
    loop.after(3600, lambda: pytest.fail("fired an hour early"))
    loop.turn(0)


def test_an_end_is_readable_and_writable(loop: EventLoop, pair: Pair) -> None:
    seen: list[int] = []
    loop.watch(pair[0].fileno(), 0, seen.append)
    pair[1].close()
    loop.turn(5)
    assert [(is_readable(events), is_writable(events)) for events in seen] == [(True, True)]
    assert not is_readable(WRITE)
    assert not is_writable(READ)
