"""One thread, one epoll: every descriptor of a supervisor has a callback.

`selector.register(fd, events, callback)`: the callback gets the event mask. Rooms below (the
port proxy) register theirs with the same convention.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from typing import Any, Final

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE
Callback = Callable[[int], None]


class Loop:
    """Runs until `stop()`. Timers are few: a list, looked through each turn."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._running = True
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: Any, events: int, callback: Callback) -> None:
        """Call `callback` when `fd` is ready; replaces what was watched before on it."""
        try:
            self.selector.modify(fd, events, callback)
        except KeyError:
            self.selector.register(fd, events, callback)

    def forget(self, fd: Any) -> None:
        """Stop watching. Harmless when it is not watched."""
        try:
            self.selector.unregister(fd)
        except (KeyError, ValueError):
            pass  # closed or never watched: both mean the same to the caller

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, action))

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        while self._running:
            for key, events in self.selector.select(self._wait()):
                if self.selector.get_map().get(key.fd) is key:  # not forgotten in this turn
                    key.data(events)
            self._fire_timers()

    def _wait(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(when for when, _ in self._timers) - time.monotonic())

    def _fire_timers(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, action in due:
            action()
