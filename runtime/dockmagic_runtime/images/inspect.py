"""The JSON of `docker image inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.reference import ImageReference

_NEVER: Final = "0001-01-01T00:00:00Z"


def inspect(
    image: Image,
    config: dict[str, Any],
    names: Sequence[ImageReference],
    *,
    changed: float,
    directories: Sequence[str],
) -> dict[str, Any]:
    """One element of it. `config` is the OCI document; `directories` the layers, topmost first."""
    last = config.get("history") or [{}]
    return {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": [replace(name, tag="").familiar for name in names if name.digest],
        "Parent": "",
        "Comment": last[-1].get("comment", ""),
        "Created": config.get("created") or _NEVER,
        "DockerVersion": config.get("docker_version", ""),
        "Author": config.get("author", ""),
        "Config": config.get("config") or {},
        "Architecture": image.architecture,
        **({"Variant": config["variant"]} if config.get("variant") else {}),
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": {"Data": _directories(directories), "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": _time(changed)},
    }


def _directories(directories: Sequence[str]) -> dict[str, str]:
    if not directories:
        return {}
    upper, *lowers = directories
    return {"UpperDir": upper, **({"LowerDir": ":".join(lowers)} if lowers else {})}


def _time(seconds: float) -> str:
    if not seconds:
        return _NEVER
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
