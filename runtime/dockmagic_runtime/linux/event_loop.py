"""One thread, one epoll: every descriptor has a callback, which gets the event mask.

Supervisors, port proxies and DNS servers all run on this loop. A callback must not block. The
kernel reports EPOLLHUP and EPOLLERR unasked: `is_readable` and `is_writable` count them, because
the next call on the descriptor says what has happened.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
URGENT: Final = select.EPOLLPRI
Callback = Callable[[int], None]


def is_readable(events: int) -> bool:
    """Whether to read: there is data, or the end, or an error to collect."""
    return bool(events & ~WRITE)


def is_writable(events: int) -> bool:
    """Whether to write: there is room, or an error to collect."""
    return bool(events & ~READ)


class Timer:
    """One action at one time; `cancel` is idempotent and harmless afterwards."""

    __slots__ = ("_timers", "action", "when")

    def __init__(self, timers: list[Timer], when: float, action: Callable[[], None]) -> None:
        self._timers = timers
        self.when = when
        self.action = action

    def cancel(self) -> None:
        if self in self._timers:
            self._timers.remove(self)


class EventLoop:
    """Runs until `stop()`. Timers are few: a list, searched each turn."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[Timer] = []
        self._running = False

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback` when `fd` is ready or broken; replaces its former callback and events."""
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Stop watching. To be called before closing, since a fork may hold a copy of the
        descriptor. Harmless when it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(self._timers, time.monotonic() + seconds, action)
        self._timers.append(timer)
        return timer

    def close(self) -> None:
        """Of a loop that will not run again."""
        self._epoll.close()

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        self._running = True
        while self._running:
            self.turn()

    def turn(self, longest: float | None = None) -> None:
        """Wait for events and timers, at most `longest` seconds (None: no limit); handle them."""
        for callback, fd, events in self._ready(longest):
            if self._callbacks.get(fd) is callback:  # not forgotten or reused in this turn
                callback(events)
        self._fire_timers()

    def _ready(self, longest: float | None) -> list[tuple[Callback, int, int]]:
        ready = self._epoll.poll(self._wait(longest))
        return [(self._callbacks[fd], fd, events) for fd, events in ready]

    def _wait(self, longest: float | None) -> float | None:
        if not self._timers:
            return longest
        next_timer = max(0.0, min(timer.when for timer in self._timers) - time.monotonic())
        return next_timer if longest is None else min(longest, next_timer)

    def _fire_timers(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.when <= now]:
            if timer in self._timers:  # not cancelled by an earlier action
                self._timers.remove(timer)
                timer.action()
