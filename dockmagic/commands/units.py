"""Sizes, numbers and times: read as Docker's flags are, written as Docker's tables are."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from dockmagic_runtime.model.go_values import parse_duration

if TYPE_CHECKING:
    from datetime import datetime

_SIZE = r"([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtTpP])?[iI]?[bB]?"
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(text: str) -> int:
    """`512m`, `1.5g`, `64MiB` in bytes: units are powers of 1024, whatever they are called."""
    match = re.fullmatch(_SIZE, text)
    if match is None:
        unit = re.fullmatch(r"[0-9]+(?:\.[0-9]+)? ?([^0-9. ]+)", text)
        raise ValueError(f"invalid suffix: '{unit[1]}'" if unit else f"invalid size: '{text}'")
    from decimal import Decimal  # 2 ms, and only flags need it

    return int(Decimal(match[1]) * 1024 ** _POWER[(match[2] or "").lower()])


def parse_swap(text: str) -> int:
    """As a size, or -1 for no limit."""
    return -1 if text == "-1" else parse_size(text)


def parse_cpus(text: str) -> int:
    """`1.5` CPUs as nanoseconds of CPU per second."""
    if not re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", text):
        raise ValueError(f"failed to parse {text} as a rational number")
    from decimal import Decimal

    nanos = Decimal(text) * 10**9
    if nanos != int(nanos):
        raise ValueError("value is too precise")
    return int(nanos)


def parse_seconds(text: str) -> float:
    """Go's durations in seconds: `1m30s`, `300ms`, `-5s`; for others Go's words."""
    return parse_duration(text) / 1e9


def decimal_size(size: float, digits: int = 3) -> str:
    """As `docker images` writes it: `170MB`, powers of 1000, three digits."""
    return _scaled(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB", "EB"), digits)


def binary_size(size: float) -> str:
    """As `docker stats` writes it: `1.523GiB`, powers of 1024, four digits."""
    return _scaled(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"), 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    power = 0
    while size >= base and power < len(units) - 1:
        size, power = size / base, power + 1
    text = f"{size:.{digits}g}"
    # %g turns 1023 into 1.02e+03 when it may keep three digits only.
    return f"{float(text):.0f}{units[power]}" if "e" in text else text + units[power]


def timestamp(moment: float, *, fraction: bool = False) -> str:
    """As Go prints a time: `2026-01-31 12:00:00 +0000 UTC`, with `fraction` `12:00:00.25`."""
    digits = f"{moment % 1:.6f}"[1:].rstrip("0").rstrip(".") if fraction else ""
    return time.strftime(f"%Y-%m-%d %H:%M:%S{digits} +0000 UTC", time.gmtime(moment))


def rfc3339(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def moment(seconds: float) -> datetime | None:
    """For rows: what pandas sorts and subtracts. None for what never happened."""
    from datetime import UTC, datetime  # costs 2 ms, and only a notebook asks for it

    return datetime.fromtimestamp(seconds, UTC) if seconds else None
