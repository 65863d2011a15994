"""Whether the limits that are asked for make sense together, in Docker's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources

MINIMUM_MEMORY: Final = 6 * 1024 * 1024
_SECOND: Final = 1_000_000_000
_CPUS: Final = 8192  # Linux's usual limit, and Docker's for the numbers in a list
_NODE: Final = "/sys/devices/system"


class Processors(Struct, frozen=True):
    """The host's CPUs and memory nodes, as the kernel lists them: `0-3,8`."""

    cpus: str
    mems: str

    @classmethod
    def online(cls) -> Processors:
        """Those of this host. Memory is one node where the kernel has no NUMA."""
        return cls(_text(f"{_NODE}/cpu/online") or "0", _text(f"{_NODE}/node/online") or "0")


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except FileNotFoundError:
        return ""


def check(limits: Resources, *, cpus: int, host: Processors | None = None) -> None:
    """Raises InvalidInput for the first limit that is wrong.

    `cpus` is the number of the host's processors; `host` by default those that are online.
    """
    for problem in (
        *_memory(limits), *_cpu(limits, cpus), *_cpuset(limits, host), *_block(limits),
    ):  # fmt: skip
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


def _cpuset(limits: Resources, host: Processors | None) -> Iterator[str]:
    if not (limits.cpuset_cpus or limits.cpuset_mems):
        return
    host = host or Processors.online()
    for kind, name, value, available in (
        ("cpus", "CPUs", limits.cpuset_cpus, host.cpus),
        ("mems", "memory nodes", limits.cpuset_mems, host.mems),
    ):
        try:
            wanted = parse_list(value)
        except ValueError as error:
            yield f"Invalid value {value} for cpuset {kind}: {error}"
        else:
            if not wanted <= parse_list(available):
                yield (
                    f"Requested {name} are not available - requested {value}, "
                    f"available: {available}"
                )


def parse_list(text: str) -> set[int]:
    """The numbers of a list such as `0-2,7`. Raises ValueError with Docker's words."""
    numbers: set[int] = set()
    for part in text.split(",") if text else ():
        match = re.fullmatch(r"\+?([0-9]+)(?:-([0-9]+))?", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise ValueError(f"invalid format: {text}")
        if high > _CPUS:
            raise ValueError(f"value of out range, maximum is {_CPUS}")
        numbers.update(range(low, high + 1))
    return numbers


def _block(limits: Resources) -> Iterator[str]:
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        yield "Range of blkio weight is from 10 to 1000"
