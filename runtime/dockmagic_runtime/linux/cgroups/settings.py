"""Docker's limits as values of control files: pure tables for v1 and for v2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockmagic_runtime.model.container import Resources

_DEFAULT_PERIOD: Final = 100_000  # microseconds
_SECOND: Final = 1_000_000_000
_NO_SWAP: Final = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
    "Memory limited without swap."
)
_NO_WEIGHT: Final = (
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """`value` for the control file `file`. Where the kernel has no such file, `instead` is tried;
    if there is none either, the setting is left out with the warning `optional`, and without one
    that is an error."""

    controller: str
    file: str
    value: str
    optional: str = ""
    instead: Setting | None = None

    def __str__(self) -> str:
        return f"{self.file}={self.value}"


def _set(controller: str, file: str, value: object, *, optional: str = "") -> Setting:
    return Setting(controller=controller, file=file, value=str(value), optional=optional)


def settings_v1(limits: Resources) -> tuple[Setting, ...]:
    """For the v1 trees. A memory limit and its limit with swap stand in the order for lowering:
    the kernel wants the second never to be smaller than the first."""
    return (
        *_memory_v1(limits),
        *_cpu_v1(limits),
        *_cpuset(limits),
        *_pids(limits),
        *_block_v1(limits),
    )


def settings_v2(limits: Resources) -> tuple[Setting, ...]:
    return (
        *_memory_v2(limits),
        *_cpu_v2(limits),
        *_cpuset(limits),
        *_pids(limits),
        *_block_v2(limits),
    )


def swap_total(limits: Resources) -> int:
    """Memory and swap together, as Docker understands --memory-swap: unset is twice the memory,
    -1 is no limit."""
    return limits.memory_swap or 2 * limits.memory


def _memory_v1(limits: Resources) -> Iterator[Setting]:
    if limits.memory:
        yield _set("memory", "memory.limit_in_bytes", max(limits.memory, -1))
        total = max(swap_total(limits), -1)
        yield _set("memory", "memory.memsw.limit_in_bytes", total, optional=_NO_SWAP)
    if limits.memory_reservation:
        yield _set("memory", "memory.soft_limit_in_bytes", limits.memory_reservation)


def _memory_v2(limits: Resources) -> Iterator[Setting]:
    if limits.memory:
        yield _set("memory", "memory.max", _or_max(limits.memory))
        total = swap_total(limits)
        swap = "max" if total < 0 else total - limits.memory
        yield _set("memory", "memory.swap.max", swap, optional=_NO_SWAP)
    if limits.memory_reservation:
        yield _set("memory", "memory.low", limits.memory_reservation)


def _or_max(value: int) -> str:
    return str(value) if value > 0 else "max"


def _bandwidth(limits: Resources) -> tuple[int, int]:
    """(quota, period) in microseconds, 0 where not asked for; a negative quota is none."""
    if limits.nano_cpus:
        return limits.nano_cpus * _DEFAULT_PERIOD // _SECOND, _DEFAULT_PERIOD
    return limits.cpu_quota, limits.cpu_period


def _cpu_v1(limits: Resources) -> Iterator[Setting]:
    if limits.cpu_shares:
        yield _set("cpu", "cpu.shares", limits.cpu_shares)
    quota, period = _bandwidth(limits)
    if period:
        yield _set("cpu", "cpu.cfs_period_us", period)
    if quota:
        yield _set("cpu", "cpu.cfs_quota_us", max(quota, -1))


def _cpu_v2(limits: Resources) -> Iterator[Setting]:
    if limits.cpu_shares:
        yield _set("cpu", "cpu.weight", cpu_weight(limits.cpu_shares))
    quota, period = _bandwidth(limits)
    if quota or period:
        yield _set("cpu", "cpu.max", f"{_or_max(quota)} {period or _DEFAULT_PERIOD}")


def cpu_weight(shares: int) -> int:
    """v1's 2..262144 shares as v2's 1..10000 weight, such that both defaults (1024 and 100) meet.

    A straight line through the ends would make a container without any wish weigh 39: runc, and
    with it Docker, uses this curve through all three points.
    """
    exponent = math.log2(min(max(shares, 2), 262_144))
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def _cpuset(limits: Resources) -> Iterator[Setting]:
    if limits.cpuset_cpus:
        yield _set("cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems:
        yield _set("cpuset", "cpuset.mems", limits.cpuset_mems)


def _pids(limits: Resources) -> Iterator[Setting]:
    if limits.pids_limit:
        yield _set("pids", "pids.max", _or_max(limits.pids_limit))


def _block_v1(limits: Resources) -> Iterator[Setting]:
    if limits.blkio_weight:
        yield Setting(
            controller="blkio",
            file="blkio.bfq.weight",
            value=str(limits.blkio_weight),
            optional=_NO_WEIGHT,
            instead=_set("blkio", "blkio.weight", limits.blkio_weight, optional=_NO_WEIGHT),
        )


def _block_v2(limits: Resources) -> Iterator[Setting]:
    """The weight of the BFQ scheduler is 1..1000 as Docker's, io.weight is 1..10000."""
    if limits.blkio_weight:
        scaled = 1 + (limits.blkio_weight - 10) * 9999 // 990
        yield Setting(
            controller="io",
            file="io.bfq.weight",
            value=str(limits.blkio_weight),
            optional=_NO_WEIGHT,
            instead=_set("io", "io.weight", scaled, optional=_NO_WEIGHT),
        )
