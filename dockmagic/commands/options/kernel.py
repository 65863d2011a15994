"""`--ulimit` and `--sysctl`: what the kernel keeps for a process and for a namespace."""

from __future__ import annotations

import re

_ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
_SYSCTLS = r"(kernel\.(shm|msg|sem).*|fs\.mqueue\..+|net\..+)"


def parse_ulimit(text: str) -> tuple[str, tuple[int, int]]:
    """`nofile=1024:2048`, or one number for both limits; -1 is no limit."""
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        raise ValueError(f"invalid ulimit argument: {text}") from None
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {text}")
    return name, (low, high)


def parse_sysctl(text: str) -> tuple[str, str]:
    name, equals, setting = text.partition("=")
    if not equals or not re.fullmatch(_SYSCTLS, name):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, setting
