"""Points in time as Docker's flags and filters write them: `10m`, `2026-01-31T12:00`, `1700000000`.

A duration counts back from now; without a zone, a date is this machine's. Source: Docker's
documentation of `docker logs --since`.
"""

from __future__ import annotations

import re
import time
from typing import Final

from dockmagic_runtime.model.go_values import parse_duration

_UNIX: Final = r"[0-9]+(?:\.[0-9]{1,9})?"
_NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time
_FRACTION: Final = r"(\.[0-9]{6})[0-9]+"


def duration(text: str) -> float | None:
    """Seconds of one of Go's durations (`1h30m`, `-5s`); None for anything else."""
    try:
        return parse_duration(text) / 1e9
    except ValueError:
        return None


def parse_moment(text: str, now: float | None = None) -> float:
    """Seconds since the epoch; `0` is that moment, no duration. Raises ValueError, with Docker's
    words."""
    ago = duration(text)
    if ago is not None and text != "0":  # the epoch, not "no time ago"
        return (time.time() if now is None else now) - ago
    if re.fullmatch(_UNIX, text):
        return float(text)
    from datetime import datetime  # two milliseconds that `ps` need not wait for

    try:
        # Go prints nine digits of a second, and Python reads six
        return datetime.fromisoformat(re.sub(_FRACTION, r"\1", text)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None


def rfc3339(seconds: float) -> str:
    """A time in UTC as Docker writes it, with nine digits; Go's zero time for 0."""
    if not seconds:
        return _NEVER
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e9):09d}Z"
