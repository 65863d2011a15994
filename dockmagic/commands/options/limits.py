"""The flags that limit a container, for `run`, `create` and `update`, and what they ask for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from os import cpu_count
from typing import Any

from dockmagic.commands.options.flags import (
    Arguments,
    Flag,
    as_uint16,
    integer,
    switch,
    value,
    values,
)
from dockmagic.commands.units import parse_cpus, parse_size, parse_swap
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.sandbox import limits

Throttle = tuple[str, int]


def _size(name: str, short: str = "", help: str = "", convert: Any = parse_size) -> Flag:
    return value(name, short, help, type="bytes", default=0, convert=convert)


def _device_rate(text: str, parse: Callable[[str], int], wrong: str) -> Throttle:
    """`DEVICE-PATH:NUMBER`; Docker uses the same error texts for all of them."""
    path, colon, number = text.partition(":")
    if not colon:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    try:
        return posixpath.normpath(path), parse(number)
    except ValueError:
        raise ValueError(f"{wrong}: {text}{_FORMATS.get(parse, '')}") from None


def _weight(text: str) -> int:
    weight = as_uint16(text)
    if weight and not 10 <= weight <= 1000:
        raise ValueError(text)
    return weight


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(text)
    return int(text)


_FORMATS: dict[Callable[[str], int], str] = {
    parse_size: ". The correct format is <device-path>:<number>[<unit>]. "
    "Number must be a positive integer. Unit is optional and can be kb, mb, or gb",
    _count: ". The correct format is <device-path>:<number>. Number must be a positive integer",
}


def parse_weight_device(text: str) -> Throttle:
    return _device_rate(text, _weight, "invalid weight for device")


def parse_bps(text: str) -> Throttle:
    return _device_rate(text, parse_size, "invalid rate for device")


def parse_iops(text: str) -> Throttle:
    return _device_rate(text, _count, "invalid rate for device")


UPDATABLE: tuple[Flag, ...] = (
    _size("memory", "m", "Memory limit"),
    _size(
        "memory-swap",
        "",
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
        parse_swap,
    ),
    _size("memory-reservation", "", "Memory soft limit"),
    value("cpus", help="Number of CPUs", type="decimal", default=0, convert=parse_cpus),
    integer("cpu-shares", "c", "CPU shares (relative weight)"),
    integer("cpu-period", help="Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("cpu-quota", help="Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("cpu-rt-period", help="Limit CPU real-time period in microseconds"),
    integer("cpu-rt-runtime", help="Limit CPU real-time runtime in microseconds"),
    value("cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)"),
    value("cpuset-mems", help="MEMs in which to allow execution (0-3, 0,1)"),
    integer("pids-limit", help="Tune container pids limit (set -1 for unlimited)"),
    value(
        "blkio-weight",
        help="Block IO (relative weight), between 10 and 1000, or 0 to disable",
        type="uint16",
        default=0,
        default_text="0",
        convert=as_uint16,
    ),
)
_THROTTLES = {
    "device-read-bps": ("read_bps", "Limit read rate (bytes per second) from a device", parse_bps),
    "device-write-bps": ("write_bps", "Limit write rate (bytes per second) to a device", parse_bps),
    "device-read-iops": ("read_iops", "Limit read rate (IO per second) from a device", parse_iops),
    "device-write-iops": ("write_iops", "Limit write rate (IO per second) to a device", parse_iops),
}
LIMIT_FLAGS: tuple[Flag, ...] = (
    *UPDATABLE,
    integer("memory-swappiness", help="Tune container memory swappiness (0 to 100)", default=-1),
    switch("oom-kill-disable", help="Disable OOM Killer"),
    values(
        "blkio-weight-device",
        help="Block IO weight (relative device weight)",
        convert=parse_weight_device,
        default_text="[]",
    ),
    *(
        values(name, help=help, convert=convert, default_text="[]")
        for name, (_, help, convert) in _THROTTLES.items()
    ),
)


def limits_of(arguments: Arguments) -> Resources:
    """What `run` and `create` ask for. Raises InvalidInput in Docker's words."""
    flag = arguments.flag
    swappiness = flag("memory-swappiness")
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise InvalidInput(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    return _checked(
        Resources(
            **_updatable(arguments),
            memory_swappiness=None if swappiness == -1 else swappiness,
            oom_kill_disable=flag("oom-kill-disable"),
            blkio_weight_devices=flag("blkio-weight-device"),
            throttles=tuple(
                (kind, path, rate)
                for name, (kind, *_) in _THROTTLES.items()
                for path, rate in flag(name)
            ),
        )
    )


def updated_limits(arguments: Arguments) -> Resources:
    """What `update` asks for; what is not given is left as it is."""
    return Resources(**_updatable(arguments))


def _updatable(arguments: Arguments) -> dict[str, Any]:
    """The flags are named as the fields are, all but one."""
    fields = {flag.name.replace("-", "_"): arguments.flag(flag.name) for flag in UPDATABLE}
    fields["nano_cpus"] = fields.pop("cpus")
    return fields


def _checked(resources: Resources) -> Resources:
    """Checks before anything is pulled. The engine repeats it for requests that need no parser."""
    limits.check(resources, cpus=cpu_count() or 1)
    return resources
