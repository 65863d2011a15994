"""Volumes in Docker's Engine API 1.50. Fields and types are those of moby's api/types/volume."""

from __future__ import annotations

from typing import Any, ClassVar

from dockmagic_runtime.wire.go import GoStruct

StringMap = dict[str, str] | None


class VolumeUsage(GoStruct, frozen=True, kw_only=True):
    """-1 where it is not known."""

    go_type: ClassVar[str] = "volume.UsageData"

    RefCount: int = 0
    Size: int = 0


class Volume(GoStruct, frozen=True, kw_only=True):
    """`GET /volumes/{name}`, and an element of `GET /volumes`."""

    go_type: ClassVar[str] = "volume.Volume"
    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"ClusterVolume", "CreatedAt", "Status", "UsageData"}
    )

    ClusterVolume: Any = None
    CreatedAt: str = ""
    Driver: str = ""
    Labels: StringMap = None
    Mountpoint: str = ""
    Name: str = ""
    Options: StringMap = None
    Scope: str = ""
    Status: dict[str, Any] | None = None
    UsageData: VolumeUsage | None = None
