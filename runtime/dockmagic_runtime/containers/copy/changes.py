"""`diff`: the changes of a container's writable layer to its image."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic_runtime.images.changes import differences
from dockmagic_runtime.model.container import Change, ChangeKind


def changes(upper: str, lowers: Sequence[str]) -> tuple[Change, ...]:
    """The changes, by path. `lowers` topmost first; the init layer in them hides mount points."""
    kinds = {kind.value: kind for kind in ChangeKind}
    return tuple(Change(path, kinds[kind]) for path, kind, _ in differences(upper, lowers))
