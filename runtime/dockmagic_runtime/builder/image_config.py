"""The OCI config document of what was built: config, history, root file system. Its id follows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dockmagic_runtime.builder.plan.config import StageConfig
from dockmagic_runtime.builder.plan.stages import host_platform

_INHERITED: Final = ("architecture", "os", "os.version", "os.features", "variant")
Json = dict[str, Any]


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, as Go writes it into configs."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def image_document(
    base: Json | None,
    config: StageConfig,
    history: Sequence[Json],
    diff_ids: Sequence[str],
    created: str,
    more: Mapping[str, str] | None = None,
) -> bytes:
    """The document, in one spelling only: the same build gives the same bytes."""
    system, architecture = host_platform().split("/")
    document: Json = {"architecture": architecture, "os": system}
    document.update({key: base[key] for key in _INHERITED if base and base.get(key)})
    if config.author:
        document["author"] = config.author
    document |= {
        "config": {key: value for key, value in config.json.items() if value is not None},
        "created": created,
        "history": list(history),
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        **(more or {}),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
