"""Resource limits: Docker's names for them, and the numbers that setrlimit(2) takes."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import did_you_mean

UNLIMITED: Final = resource.RLIM_INFINITY

RESOURCES: Final = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,  # RLIMIT_LOCKS: accepted and without effect since Linux 2.4.25, as in Docker
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}


def resolve(ulimits: Mapping[str, tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    """(resource, soft, hard) for each of Docker's `--ulimit NAME=SOFT:HARD`; -1 is unlimited."""
    return tuple((_number(name), *_pair(name, *pair)) for name, pair in sorted(ulimits.items()))


def _number(name: str) -> int:
    try:
        return RESOURCES[name]
    except KeyError:
        hint = did_you_mean(name, RESOURCES, otherwise=f"one of {', '.join(RESOURCES)}")
        raise InvalidInput(f"invalid ulimit type: {name}", hint=hint) from None


def _pair(name: str, soft: int, hard: int) -> tuple[int, int]:
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise InvalidInput(
            f"ulimit {name}: soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    return soft, hard
