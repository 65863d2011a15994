"""`info`: facts about the engine and this machine, in Docker's fields."""

from __future__ import annotations

import os
import platform
from collections import Counter
from typing import Any

from dockmagic_runtime.cgroups import Cgroups
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import Status


def info(
    store: ContainerStore, cgroups: Cgroups, *, images: int, warnings: list[str]
) -> dict[str, Any]:
    """Docker's `GET /info`, without the fields of a swarm."""
    counts = Counter(Status(now.status) for _, now in store.all())
    return {
        "Containers": sum(counts.values()),
        "ContainersRunning": counts[Status.RUNNING],
        "ContainersPaused": counts[Status.PAUSED],
        "ContainersStopped": sum(counts.values()) - counts[Status.RUNNING] - counts[Status.PAUSED],
        "Images": images,
        "Driver": "overlay2",
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(cgroups.version or "none"),
        "KernelVersion": platform.release(),
        "OperatingSystem": _distribution(),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": platform.node(),
        "DockerRootDir": str(store.data_root.root),
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "IsolationLevel": "root",
        "Warnings": warnings,
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"  # no os-release anywhere
