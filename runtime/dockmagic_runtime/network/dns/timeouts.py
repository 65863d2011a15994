"""Actions after a delay that is the same for all: they come due in the order they were added."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


class Timeouts:
    def __init__(self, delay: float, clock: Clock = time.monotonic) -> None:
        self._delay = delay
        self._clock = clock
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}

    def add(self, key: object, action: Callable[[], None]) -> None:
        """Call `action` after the delay, from now on if it was added before."""
        self._due.pop(key, None)
        self._due[key] = (self._clock() + self._delay, action)

    def cancel(self, key: object) -> None:
        """Harmless when it has happened or was never added."""
        self._due.pop(key, None)

    @property
    def next(self) -> float | None:
        """Seconds until the first; None when there is none."""
        for when, _ in self._due.values():
            return max(0.0, when - self._clock())
        return None

    def fire(self) -> None:
        """Do what is due."""
        now = self._clock()
        while self._due:
            key = next(iter(self._due))
            when, action = self._due[key]
            if when > now:
                return
            del self._due[key]
            action()

    def __len__(self) -> int:
        return len(self._due)
