"""Points in time as Docker's flags and filters write them: `10m`, `2026-01-31T12:00`, `1700000000`.

A duration counts back from now; without a zone, a date is this machine's. Source: Docker's
documentation of `docker logs --since`.
"""

from __future__ import annotations

import re
import time
from typing import Final

_SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNIX: Final = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?")
_FRACTION: Final = re.compile(r"(\.[0-9]{6})[0-9]+")


def duration(text: str) -> float | None:
    """Seconds of one of Go's durations (`1h30m`, `-5s`); None for anything else."""
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    parts = _PART.findall(body)
    if not parts or "".join(map("".join, parts)) != body:
        return None
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -total if text.startswith("-") else total


def parse_moment(text: str, now: float | None = None) -> float:
    """Seconds since the epoch. Raises ValueError, with Docker's words."""
    ago = duration(text)
    if ago is not None:
        return (time.time() if now is None else now) - ago
    if _UNIX.fullmatch(text):
        return float(text)
    from datetime import datetime  # two milliseconds that `ps` need not wait for

    try:
        # Go prints nine digits of a second, and Python reads six
        return datetime.fromisoformat(_FRACTION.sub(r"\1", text)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None
