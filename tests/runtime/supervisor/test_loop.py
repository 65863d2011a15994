from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dockmagic_runtime.supervisor.loop import READ, WRITE, Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


Pair = tuple[socket.socket, socket.socket]


def test_what_is_ready_is_called_back(loop: Loop, pair: Pair) -> None:
    seen: list[int] = []

    def ready(events: int) -> None:
        seen.append(events)
        loop.stop()

    loop.watch(pair[0].fileno(), READ, ready)
    pair[1].send(b"x")
    loop.run()
    assert seen == [READ]


def test_a_callback_replaces_the_one_before(loop: Loop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), READ, lambda _events: pytest.fail("the old one was called"))
    loop.watch(pair[0].fileno(), WRITE, lambda _events: loop.stop())
    loop.run()


def test_what_was_forgotten_in_the_same_turn_is_not_called(loop: Loop, pair: Pair) -> None:
    called: list[int] = []

    def forget_both(events: int) -> None:
        called.append(events)
        loop.forget(pair[0].fileno())
        loop.forget(pair[1].fileno())
        loop.stop()

    for one in pair:
        loop.watch(one.fileno(), WRITE, forget_both)
    loop.run()
    assert len(called) == 1


def test_forgetting_twice_is_harmless(loop: Loop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), READ, lambda _events: None)
    loop.forget(pair[0].fileno())
    loop.forget(pair[0].fileno())


def test_an_end_is_noticed_without_asking_for_any_event(loop: Loop, pair: Pair) -> None:
    loop.watch(pair[0].fileno(), 0, lambda _events: loop.stop())
    pair[1].close()
    loop.run()


def test_timers_fire_in_time_and_not_when_cancelled(loop: Loop) -> None:
    fired: list[str] = []
    loop.after(0.001, lambda: fired.append("first"))
    cancelled = loop.after(0.002, lambda: fired.append("cancelled"))
    loop.after(0.01, loop.stop)
    cancelled.cancel()
    cancelled.cancel()
    loop.run()
    assert fired == ["first"]


def test_a_timer_may_cancel_another_that_is_due_too(loop: Loop) -> None:
    fired: list[str] = []

    def cancel_the_other() -> None:
        fired.append("one")
        second.cancel()
        loop.stop()

    loop.after(0, cancel_the_other)
    second = loop.after(0, lambda: fired.append("two"))
    loop.run()
    assert fired == ["one"]
