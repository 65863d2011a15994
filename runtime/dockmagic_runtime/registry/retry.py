"""When to ask again, and after how long: bounded, with back-off, obeying Retry-After."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.registry.errors import Stalled

RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})

Pause = Callable[[float], object]


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """At most `attempts` in a row; waits double from `first` and never exceed `longest`.

    A stall has taken its time already: `stalls` of them in a row are the end.
    """

    attempts: int = 5
    stalls: int = 2
    first: float = 0.5
    longest: float = 20.0

    def delay(self, failures: int) -> float:
        return float(min(self.first * 2 ** (failures - 1), self.longest))


class Retries:
    """The failures in a row of one piece of work."""

    def __init__(self, policy: RetryPolicy, pause: Pause, on_retry: Pause | None = None) -> None:
        """`on_retry` is called before each pause, with its seconds."""
        self._policy = policy
        self._pause = pause
        self._on_retry = on_retry
        self._failures = 0
        self._stalls = 0

    def failed(self, error: RemoteFailed, retry_after: float = 0) -> None:
        """Wait before the next attempt; raise `error` when there is none to be made."""
        self._failures += 1
        self._stalls += isinstance(error, Stalled)
        is_over = (
            self._failures >= self._policy.attempts
            or self._stalls >= self._policy.stalls
            or retry_after > self._policy.longest
        )
        if is_over:
            raise error
        seconds = max(retry_after, self._policy.delay(self._failures))
        if self._on_retry is not None:
            self._on_retry(seconds)
        self._pause(seconds)

    def succeeded(self) -> None:
        self._failures = self._stalls = 0


def retrying_in(seconds: float) -> str:
    """Docker's status for a pause."""
    whole = max(math.ceil(seconds), 1)
    return f"Retrying in {whole} second{'' if whole == 1 else 's'}"


def retry_after(value: str | None) -> float:
    """The seconds a Retry-After header asks for; 0 if it asks for nothing readable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
