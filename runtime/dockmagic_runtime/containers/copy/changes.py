"""`diff`: what a container's writable layer changes of its image."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic_runtime.images.changes import differences
from dockmagic_runtime.model.container import Change, ChangeKind


def changes(upper: str, lowers: Sequence[str]) -> tuple[Change, ...]:
    """By path. `lowers` topmost first; with the init layer, mount points are not reported."""
    kinds = {kind.value: kind for kind in ChangeKind}
    return tuple(Change(path, kinds[kind]) for path, kind, _ in differences(upper, lowers))
