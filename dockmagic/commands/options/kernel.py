"""`--ulimit` and `--sysctl`: what the kernel keeps for a process and for a namespace."""

from __future__ import annotations

import re

from dockmagic_runtime.model.go_values import parse_int

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
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    soft, *hard = limits.split(":")
    if len(hard) > 1:
        raise ValueError(
            f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
        )
    high = parse_int((hard or [soft])[0], 10)
    low = parse_int(soft, 10)
    if high != -1 and (low == -1 or low > high):
        both = f"soft: -1 (unlimited), hard: {high}" if low == -1 else f"{low} > {high}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {both}")
    return name, (low, high)


def parse_sysctl(text: str) -> tuple[str, str]:
    name, equals, setting = text.partition("=")
    if not equals or not re.fullmatch(_SYSCTLS, name):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, setting
