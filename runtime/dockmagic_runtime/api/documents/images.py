"""An element of `GET /images/json`, and of an image's history."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.model.image import History, Image


def summary(image: Image, digests: list[str] | None = None) -> dict[str, Any]:
    """`Containers` and `SharedSize` are -1 where they were not counted."""
    return {
        "Containers": -1,
        "Created": int(image.created),
        "Id": image.id,
        "Labels": image.config.labels or None,
        "ParentId": "",
        "RepoDigests": digests or [],
        "RepoTags": list(image.tags),
        "SharedSize": -1,
        "Size": image.size,
    }


def history(image: Image, rows: tuple[History, ...]) -> list[dict[str, Any]]:
    """Newest first; only the newest has the image's id and names, the others are "<missing>"."""
    return [
        {
            "Comment": row.comment,
            "Created": int(row.created),
            "CreatedBy": row.created_by,
            "Id": "<missing>" if number else image.id,
            "Size": row.size,
            "Tags": None if number else list(image.tags) or None,
        }
        for number, row in enumerate(rows)
    ]
