"""One thread, one epoll: every descriptor of a supervisor has a callback.

`watch(fd, events, callback)`: the callback gets the event mask.
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


class Loop:
    """Runs until `stop()`. Timers are few: a list, looked through each turn."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[Timer] = []
        self._running = False

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback` when `fd` is ready or broken; replaces what was watched before on it."""
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Stop watching; before closing, since a fork may hold a copy of the descriptor.

        Harmless when it is not watched.
        """
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
            for fd, events in self._epoll.poll(self._wait()):
                callback = self._callbacks.get(fd)
                if callback is not None:  # not forgotten in this turn
                    callback(events)
            self._fire_timers()

    def _wait(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(timer.when for timer in self._timers) - time.monotonic())

    def _fire_timers(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.when <= now]:
            if timer in self._timers:  # not cancelled by one before it
                self._timers.remove(timer)
                timer.action()
