"""Whether the limits that are asked for make sense together, in Docker's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources

MINIMUM_MEMORY: Final = 6 * 1024 * 1024
_SECOND: Final = 1_000_000_000
_LIST: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def check(limits: Resources, *, cpus: int) -> None:
    """Raise InvalidInput for the first thing that is wrong. `cpus`: how many the host has."""
    for problem in (*_memory(limits), *_cpu(limits, cpus), *_cpuset(limits), *_block(limits)):
        raise InvalidInput(problem)


def _memory(limits: Resources) -> Iterator[str]:
    if 0 < limits.memory < MINIMUM_MEMORY:
        yield "Minimum memory limit allowed is 6MB"
    if limits.memory_swap > 0 and limits.memory <= 0:
        yield "You should always set the Memory limit when using Memoryswap limit, see usage"
    if 0 < limits.memory_swap < limits.memory:
        yield "Minimum memoryswap limit should be larger than memory limit, see usage"
    if 0 < limits.memory_reservation < MINIMUM_MEMORY:
        yield "Minimum memory reservation allowed is 6MB"
    if 0 < limits.memory < limits.memory_reservation:
        yield "Minimum memory limit can not be less than memory reservation limit, see usage"


def _cpu(limits: Resources, cpus: int) -> Iterator[str]:
    if limits.nano_cpus and limits.cpu_period:
        yield "Conflicting options: Nano CPUs and CPU Period cannot both be set."
    if limits.nano_cpus and limits.cpu_quota:
        yield "Conflicting options: Nano CPUs and CPU Quota cannot both be set."
    if limits.nano_cpus and not _SECOND // 100 <= limits.nano_cpus <= cpus * _SECOND:
        yield (f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    if limits.cpu_period and not 1000 <= limits.cpu_period <= 1_000_000:
        yield (
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < limits.cpu_quota < 1000:
        yield "CPU cfs quota can not be less than 1ms (i.e. 1000)"
    if limits.cpu_shares < 0:
        yield f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer"


def _cpuset(limits: Resources) -> Iterator[str]:
    for kind, value in (("cpus", limits.cpuset_cpus), ("mems", limits.cpuset_mems)):
        if value and not _LIST.fullmatch(value):
            yield f"Invalid value {value} for cpuset {kind}"


def _block(limits: Resources) -> Iterator[str]:
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        yield "Range of blkio weight is from 10 to 1000"
