"""Docker's limits as values of control files: pure tables for v1 and for v2.

Block devices must stand in the limits by their numbers, "8:0", as the kernel wants them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

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
_NO_DEVICE_WEIGHT: Final = (
    "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
    "Weight-device discarded."
)
_NO_SWAPPINESS: Final = (
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
    "Memory swappiness discarded."
)
_NO_OOM_CONTROL: Final = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
# kind of rate: its name in io.max, and what Docker calls it in its warning, in two ways
_RATES: Final = {
    "read_bps": ("rbps", "BPS Block I/O read", "Block I/O BPS read"),
    "write_bps": ("wbps", "BPS Block I/O write", "Block I/O BPS write"),
    "read_iops": ("riops", "IOPS Block read", "Block I/O IOPS read"),
    "write_iops": ("wiops", "IOPS Block write", "Block I/O IOPS write"),
}
_Line = tuple[str, object]  # a control file and what is written to it


class Setting(Struct, frozen=True, kw_only=True):
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
    yield from _memory_v1_alone(limits)


def _memory_v1_alone(limits: Resources) -> Iterator[Setting]:
    """What v2 has not got: there the files are missing, and Docker warns."""
    if limits.memory_swappiness is not None:
        swappiness = limits.memory_swappiness
        yield _set("memory", "memory.swappiness", swappiness, optional=_NO_SWAPPINESS)
    if limits.oom_kill_disable:
        yield _set("memory", "memory.oom_control", 1, optional=_NO_OOM_CONTROL)


def _memory_v2(limits: Resources) -> Iterator[Setting]:
    if limits.memory:
        yield _set("memory", "memory.max", _or_max(limits.memory))
        total = swap_total(limits)
        swap = "max" if total < 0 else total - limits.memory
        yield _set("memory", "memory.swap.max", swap, optional=_NO_SWAP)
    if limits.memory_reservation:
        yield _set("memory", "memory.low", limits.memory_reservation)
    yield from _memory_v1_alone(limits)


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
    yield from _realtime(limits)


def _realtime(limits: Resources) -> Iterator[Setting]:
    """Only v1 has these, and not every kernel: no warning would do for a promise of time."""
    if limits.cpu_rt_period:
        yield _set("cpu", "cpu.rt_period_us", limits.cpu_rt_period)
    if limits.cpu_rt_runtime:
        yield _set("cpu", "cpu.rt_runtime_us", limits.cpu_rt_runtime)


def _cpu_v2(limits: Resources) -> Iterator[Setting]:
    if limits.cpu_shares:
        yield _set("cpu", "cpu.weight", cpu_weight(limits.cpu_shares))
    quota, period = _bandwidth(limits)
    if quota or period:
        yield _set("cpu", "cpu.max", f"{_or_max(quota)} {period or _DEFAULT_PERIOD}")
    yield from _realtime(limits)


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


def _either(controller: str, first: _Line, second: _Line, optional: str) -> Setting:
    """The BFQ scheduler's file where it is there, else the one for all schedulers."""
    instead = _set(controller, *second, optional=optional)
    file, value = first
    return Setting(
        controller=controller, file=file, value=str(value), optional=optional, instead=instead
    )


def _block_v1(limits: Resources) -> Iterator[Setting]:
    if weight := limits.blkio_weight:
        first, second = ("blkio.bfq.weight", weight), ("blkio.weight", weight)
        yield _either("blkio", first, second, _NO_WEIGHT)
    for device, weight in limits.blkio_weight_devices:
        line = f"{device} {weight}"
        yield _either(
            "blkio",
            ("blkio.bfq.weight_device", line),
            ("blkio.weight_device", line),
            _NO_DEVICE_WEIGHT,
        )
    for kind, device, rate in limits.throttles:
        file = f"blkio.throttle.{kind}_device"
        yield _set("blkio", file, f"{device} {rate}", optional=_no_rate(kind))


def _block_v2(limits: Resources) -> Iterator[Setting]:
    """The weight of the BFQ scheduler is 1..1000 as Docker's, io.weight is 1..10000."""
    if weight := limits.blkio_weight:
        first, second = ("io.bfq.weight", weight), ("io.weight", _scaled(weight))
        yield _either("io", first, second, _NO_WEIGHT)
    for device, weight in limits.blkio_weight_devices:
        line, other = f"{device} {weight}", f"{device} {_scaled(weight)}"
        yield _either("io", ("io.bfq.weight", line), ("io.weight", other), _NO_DEVICE_WEIGHT)
    for kind, device, rate in limits.throttles:
        yield _set("io", "io.max", f"{device} {_RATES[kind][0]}={rate}", optional=_no_rate(kind))


def _scaled(weight: int) -> int:
    return 1 + (weight - 10) * 9999 // 990


def _no_rate(kind: str) -> str:
    _, missing, discarded = _RATES[kind]
    return (
        f"Your kernel does not support {missing} limit or the cgroup is not mounted. "
        f"{discarded} limit discarded."
    )
