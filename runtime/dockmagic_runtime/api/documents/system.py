"""`GET /version`, `/info` and `/system/df`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dockmagic_runtime.api.documents.images import summary as image_summary
from dockmagic_runtime.model.times import rfc3339
from dockmagic_runtime.model.usage import DiskUsage
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.system import ComponentVersion, EngineInfo, PlatformInfo, Version

NEWEST, OLDEST = "1.50", "1.24"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version(release: str) -> Version:
    """GoVersion is empty: this is Python."""
    kernel = os.uname()
    machine = _ARCHITECTURES.get(kernel.machine, kernel.machine)
    system = kernel.sysname.lower()
    engine = ComponentVersion(
        Name="Engine",
        Version=release,
        Details={
            "ApiVersion": NEWEST,
            "Arch": machine,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": "",
            "KernelVersion": kernel.release,
            "MinAPIVersion": OLDEST,
            "Os": system,
        },
    )
    return Version(
        Platform=PlatformInfo(Name="dockmagic"),
        Components=[engine],
        Version=release,
        APIVersion=NEWEST,
        MinAPIVersion=OLDEST,
        Os=system,
        Arch=machine,
        KernelVersion=kernel.release,
    )


def info(facts: Mapping[str, Any], release: str) -> dict[str, Any]:
    """`facts` are the engine's; clients also read its version there."""
    return go.document(go.decode(EngineInfo, {**facts, "ServerVersion": release}))


def disk_usage(usage: DiskUsage, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """`summaries` are those of all containers."""
    sizes = {used.container.id: used.size for used in usage.containers}
    return {
        "LayersSize": usage.layers,
        "Images": [
            {
                **image_summary(used.image),
                "SharedSize": used.shared,
                "Containers": used.containers,
            }
            for used in usage.images
        ],
        "Containers": [{**summary, "SizeRw": sizes.get(summary["Id"], 0)} for summary in summaries],
        "Volumes": [
            {
                "CreatedAt": rfc3339(used.volume.created),
                "Driver": used.volume.driver,
                "Labels": used.volume.labels or None,
                "Mountpoint": used.volume.mountpoint,
                "Name": used.volume.name,
                "Options": used.volume.options or None,
                "Scope": used.volume.scope,
                "UsageData": {"RefCount": used.links, "Size": used.size},
            }
            for used in usage.volumes
        ],
        "BuildCache": [
            {
                "ID": used.id,
                "Type": "regular",
                "Description": "",
                "InUse": used.in_use,
                "Shared": used.in_use,
                "Size": used.size,
                "CreatedAt": used.created,
                "LastUsedAt": rfc3339(used.used),
                "UsageCount": 1,
            }
            for used in usage.build_cache
        ],
    }
