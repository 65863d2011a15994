"""Docker's `HostConfig`: the options of a container that concern the host, with zero values.

Clients of Docker rely on all keys, so those for other systems are here too, always empty.
"""

from __future__ import annotations

from typing import Any, Final

from dockmagic_runtime.containers.inspect import mounts
from dockmagic_runtime.containers.plan.defaults import MASKED_PATHS, READ_ONLY_PATHS
from dockmagic_runtime.model.container import ContainerSpec, PortMapping, Resources

RUNTIME: Final = "dockmagic"
_UNUSED: Final[dict[str, Any]] = {
    "ContainerIDFile": "",
    "ConsoleSize": [0, 0],
    "Cgroup": "",
    "Isolation": "",
    "DeviceRequests": None,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
_THROTTLES: Final = {
    "BlkioDeviceReadBps": "read_bps",
    "BlkioDeviceWriteBps": "write_bps",
    "BlkioDeviceReadIOps": "read_iops",
    "BlkioDeviceWriteIOps": "write_iops",
}


def host_config(spec: ContainerSpec) -> dict[str, Any]:
    """All but `Links`, which need the names of other containers."""
    return {
        **_UNUSED,
        **mounts.host_config(spec),
        **_network(spec),
        **_life(spec),
        **_isolation(spec),
        **_limits(spec.resources),
        "CgroupParent": spec.cgroup_parent,
        "OomScoreAdj": spec.oom_score_adj,
        "ShmSize": spec.shm_size,
        "Ulimits": [
            {"Name": name, "Soft": soft, "Hard": hard}
            for name, (soft, hard) in sorted(spec.ulimits.items())
        ],
    }


def _network(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "NetworkMode": spec.network,
        "PortBindings": _port_bindings(spec.ports),
        "PublishAllPorts": spec.publish_all,
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search),
        "ExtraHosts": list(spec.extra_hosts) or None,
    }


def _port_bindings(ports: tuple[PortMapping, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        key = f"{port.container_port}/{port.protocol}"
        host_port = str(port.host_port) if port.host_port else ""
        host_port += f"-{port.host_port_end}" if port.host_port_end else ""
        bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": host_port})
    return bindings


def _life(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "AutoRemove": spec.auto_remove,
        "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.maximum},
        "LogConfig": {"Type": spec.log_driver, "Config": spec.log_options},
        "Init": True if spec.init else None,
        "Runtime": RUNTIME,
        **({"Annotations": spec.annotations} if spec.annotations else {}),
    }


def _isolation(spec: ContainerSpec) -> dict[str, Any]:
    is_open = spec.privileged or "systempaths=unconfined" in spec.security_opt
    return {
        "CapAdd": list(spec.cap_add) or None,
        "CapDrop": list(spec.cap_drop) or None,
        "CgroupnsMode": spec.cgroupns_mode,
        "GroupAdd": list(spec.group_add) or None,
        "IpcMode": spec.ipc_mode or "private",
        "PidMode": spec.pid_mode,
        "UTSMode": spec.uts_mode,
        "UsernsMode": spec.userns_mode,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": list(spec.security_opt) or None,
        **({"Sysctls": spec.sysctls} if spec.sysctls else {}),
        "Devices": [
            {
                "PathOnHost": device.source,
                "PathInContainer": device.target,
                "CgroupPermissions": device.permissions,
            }
            for device in spec.devices
        ],
        "DeviceCgroupRules": list(spec.device_cgroup_rules) or None,
        "MaskedPaths": None if is_open else list(MASKED_PATHS),
        "ReadonlyPaths": None if is_open else list(READ_ONLY_PATHS),
    }


def _limits(limits: Resources) -> dict[str, Any]:
    return {
        "Memory": limits.memory,
        # by default as much swap as memory
        "MemorySwap": limits.memory_swap or 2 * limits.memory,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "NanoCpus": limits.nano_cpus,
        "CpuShares": limits.cpu_shares,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": limits.cpu_rt_period,
        "CpuRealtimeRuntime": limits.cpu_rt_runtime,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "PidsLimit": limits.pids_limit or None,
        "BlkioWeight": limits.blkio_weight,
        "BlkioWeightDevice": [
            {"Path": path, "Weight": weight} for path, weight in limits.blkio_weight_devices
        ],
        **{
            key: [
                {"Path": path, "Rate": rate}
                for limited, path, rate in limits.throttles
                if limited == kind
            ]
            for key, kind in _THROTTLES.items()
        },
    }
