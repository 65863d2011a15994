"""Limits and the restart policy, for `create` and `update`."""

from __future__ import annotations

from os import cpu_count
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources, RestartPolicy
from dockmagic_runtime.sandbox import limits
from dockmagic_runtime.wire.container import ResourceSettings, RestartSettings

_POLICIES: Final = ("no", "always", "unless-stopped", "on-failure")
_THROTTLES: Final = {
    "BlkioDeviceReadBps": "read_bps",
    "BlkioDeviceWriteBps": "write_bps",
    "BlkioDeviceReadIOps": "read_iops",
    "BlkioDeviceWriteIOps": "write_iops",
}


def resources(source: ResourceSettings) -> Resources:
    """Raises InvalidInput for what this host cannot give."""
    swappiness = source.MemorySwappiness
    asked = Resources(
        memory=source.Memory,
        memory_swap=source.MemorySwap,
        memory_reservation=source.MemoryReservation,
        nano_cpus=source.NanoCPUs,
        cpu_shares=source.CPUShares,
        cpu_period=source.CPUPeriod,
        cpu_quota=source.CPUQuota,
        cpuset_cpus=source.CpusetCpus,
        cpuset_mems=source.CpusetMems,
        pids_limit=source.PidsLimit or 0,
        blkio_weight=source.BlkioWeight,
        memory_swappiness=None if swappiness == -1 else swappiness,
        oom_kill_disable=bool(source.OomKillDisable),
        cpu_rt_period=source.CPURealtimePeriod,
        cpu_rt_runtime=source.CPURealtimeRuntime,
        blkio_weight_devices=tuple(
            (device.Path, device.Weight) for device in source.BlkioWeightDevice or () if device
        ),
        throttles=tuple(
            (kind, device.Path, device.Rate)
            for name, kind in _THROTTLES.items()
            for device in getattr(source, name) or ()
        ),
    )
    limits.check(asked, cpus=cpu_count() or 1)
    return asked


def ulimits(source: ResourceSettings) -> dict[str, tuple[int, int]]:
    return {limit.Name: (limit.Soft, limit.Hard) for limit in source.Ulimits or () if limit}


def restart_policy(source: RestartSettings) -> RestartPolicy:
    """Raises InvalidInput in moby's words."""
    name, maximum = source.Name or "no", source.MaximumRetryCount
    if name not in _POLICIES:
        raise InvalidInput(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if maximum and name != "on-failure":
        raise InvalidInput(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if maximum < 0:
        raise InvalidInput("invalid restart policy: maximum retry count cannot be negative")
    return RestartPolicy(name=name, maximum=maximum)
