"""Go's durations, as HEALTHCHECK takes them: `1m30s`, `1.5h`, `300ms`."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"([0-9]{0,19})(?:\.([0-9]{0,19}))?(ns|us|µs|μs|ms|s|m|h)")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")
_MAXIMUM: Final = 2**63 - 1


def parse_duration(text: str) -> int | None:
    """Nanoseconds; None if it is no duration that Go would read. Never negative."""
    body = text.removeprefix("+")
    if body == "0":
        return 0
    if len(body) > 64 or not _WHOLE.fullmatch(body):
        return None
    total = 0
    for whole, fraction, unit in _PART.findall(body):
        if not whole and not fraction:
            return None
        total += int(whole or 0) * _UNITS[unit]
        total += int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
    return total if total <= _MAXIMUM else None


def format_duration(nanoseconds: int) -> str:
    """A text that `parse_duration` reads back to the same number."""
    for unit in ("h", "m", "s", "ms", "us"):
        if nanoseconds % _UNITS[unit] == 0:
            return f"{nanoseconds // _UNITS[unit]}{unit}"
    return f"{nanoseconds}ns"
