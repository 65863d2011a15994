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


def human_duration(seconds: float) -> str:
    """As Docker says it: `Less than a second`, `About an hour`, `3 weeks`."""
    whole = int(seconds)
    hours = (whole + 1800) // 3600
    if whole < 60:
        return "Less than a second" if whole < 1 else _count(whole, "second")
    if whole < 3600:
        return "About a minute" if whole < 120 else _count(whole // 60, "minute")
    if hours < 48:
        return "About an hour" if hours == 1 else _count(hours, "hour")
    for limit, length, unit in ((14, 1, "day"), (60, 7, "week"), (730, 30, "month")):
        if hours < limit * 24:
            return _count(hours // 24 // length, unit)
    return _count(whole // 86400 // 365, "year")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def ago(moment: float, now: float | None = None) -> str:
    """How long ago, or `N/A` for what never happened."""
    if not moment:
        return "N/A"
    return f"{human_duration((time.time() if now is None else now) - moment)} ago"
