"""`info`: facts about the engine and this machine, as the values of `GET /info`."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from dockmagic_runtime.cgroups import Cgroups
from dockmagic_runtime.containers.plan import init
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.times import rfc3339
from dockmagic_runtime.supervisor.logs.options import DRIVERS
from dockmagic_runtime.wire import go, system

INDEX: Final = "https://index.docker.io/v1/"  # Docker's name of its hub, not an address we ask
RUNTIME: Final = "dockmagic"


def info(
    store: ContainerStore, cgroups: Cgroups, *, images: int, warnings: list[str]
) -> dict[str, Any]:
    """Docker's `GET /info`. Sizes in bytes; fields that have no meaning here are empty."""
    facts = system.EngineInfo(
        ID=store.data_root.id or platform.node(),
        Images=images,
        Plugins=system.PluginsInfo(
            Volume=["local"],
            Network=["bridge", "host", "null"],
            Log=sorted(set(DRIVERS) - {"none"}),
        ),
        SystemTime=rfc3339(time.time()),
        LoggingDriver="json-file",
        IndexServerAddress=INDEX,
        RegistryConfig=_registries(),
        Labels=[],
        Runtimes={RUNTIME: system.RuntimeWithStatus()},
        DefaultRuntime=RUNTIME,
        Swarm=system.SwarmInfo(LocalNodeState="inactive"),
        InitBinary=os.path.basename(init.find()) or RUNTIME,
        SecurityOptions=["name=seccomp,profile=builtin", "name=cgroupns"],
        FirewallBackend=system.FirewallInfo(Driver="nftables"),
        CDISpecDirs=[],
        Warnings=warnings or None,
        IsolationLevel="root",
        **_containers(store),
        **_storage(store.data_root.path),
        **_limits(cgroups),
        **_machine(),
        **_proxies(),
    )
    return go.document(facts)


def _containers(store: ContainerStore) -> dict[str, Any]:
    counts = Counter(Status(now.status) for _, now in store.all())
    total = sum(counts.values())
    return {
        "Containers": total,
        "ContainersRunning": counts[Status.RUNNING],
        "ContainersPaused": counts[Status.PAUSED],
        "ContainersStopped": total - counts[Status.RUNNING] - counts[Status.PAUSED],
    }


def _storage(directory: str) -> dict[str, Any]:
    return {
        "Driver": "overlay2",
        "DriverStatus": _driver_status(directory),
        "DockerRootDir": directory,
    }


def _limits(cgroups: Cgroups) -> dict[str, Any]:
    names = ("MemoryLimit", "SwapLimit", "CPUCfsPeriod", "CPUCfsQuota", "CPUShares", "CPUSet")
    return {
        **dict.fromkeys((*names, "PidsLimit"), bool(cgroups.version)),
        "OomKillDisable": cgroups.version == 1,
        "CgroupDriver": "cgroupfs" if cgroups.version else "none",
        "CgroupVersion": str(cgroups.version or ""),
    }


def _machine() -> dict[str, Any]:
    release = _os_release()
    return {
        "IPv4Forwarding": _forwards(),
        "KernelVersion": platform.release(),
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": platform.node(),
    }


def _proxies() -> dict[str, Any]:
    return {
        "HTTPProxy": _proxy("HTTP_PROXY"),
        "HTTPSProxy": _proxy("HTTPS_PROXY"),
        "NoProxy": _proxy("NO_PROXY"),
    }


def _driver_status(directory: str) -> list[list[str] | None]:
    return [
        ["Backing Filesystem", _file_system(directory)],
        ["Supports d_type", "true"],
        ["Using metacopy", "false"],
        ["Native Overlay Diff", "true"],
        ["userxattr", "false"],
    ]


def _file_system(directory: str) -> str:
    """The type of the mount that holds a directory; "unknown" if /proc does not say."""
    best, kind = "", "unknown"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return kind
    for line in lines:
        fields, _, rest = line.partition(" - ")
        place = fields.split()[4]
        inside = directory == place or directory.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, rest.split()[0]
    return kind


def _forwards() -> bool:
    try:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    except OSError:
        return False


def _registries() -> system.RegistrySettings:
    official = system.IndexInfo(Name="docker.io", Official=True, Secure=True, Mirrors=[])
    return system.RegistrySettings(
        InsecureRegistryCIDRs=["::1/128", "127.0.0.0/8"],
        IndexConfigs={"docker.io": official},
        Mirrors=None,
    )


def _proxy(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower(), "")


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}  # no os-release anywhere
