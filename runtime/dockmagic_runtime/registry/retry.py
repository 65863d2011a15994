"""When to ask again, and after how long: bounded, with back-off, obeying Retry-After."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import RemoteFailed

RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})

Pause = Callable[[float], object]


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """At most `attempts` in a row; waits double from `first` and never exceed `longest`."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0

    def delay(self, failures: int) -> float:
        return float(min(self.first * 2 ** (failures - 1), self.longest))


class Retries:
    """The failures in a row of one piece of work."""

    def __init__(self, policy: RetryPolicy, pause: Pause) -> None:
        self._policy = policy
        self._pause = pause
        self._failures = 0

    def failed(self, error: RemoteFailed, retry_after: float = 0) -> None:
        """Wait before the next attempt; raise `error` when there is none to be made."""
        self._failures += 1
        if self._failures >= self._policy.attempts or retry_after > self._policy.longest:
            raise error
        self._pause(max(retry_after, self._policy.delay(self._failures)))

    def succeeded(self) -> None:
        self._failures = 0


def retry_after(value: str | None) -> float:
    """The seconds a Retry-After header asks for; 0 if it asks for nothing readable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
