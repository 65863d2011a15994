"""What a container changed, as a tree that folds."""

from __future__ import annotations

from collections.abc import Mapping

from dockmagic.commands.container.diff import Changes
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.frame import frame, pill
from dockmagic.widgets.html import Markup, note
from dockmagic.widgets.sanitize import plain
from dockmagic.widgets.tree import TreeEntry, tree
from dockmagic_runtime.model.container import Change, ChangeKind

_WORDS = {
    ChangeKind.ADDED: ("added", "run"),
    ChangeKind.CHANGED: ("changed", "info"),
    ChangeKind.DELETED: ("deleted", "warn"),
}
SHOWN = 150  # entries; the rest is counted


def diff(result: Changes, *, deterministic: bool, sizes: Mapping[str, int] | None = None) -> Markup:
    """`sizes` are bytes by path, of those files that are shown."""
    if not result.changes:
        return note("no changes: the container's files are those of its image")
    counts = result.counts()
    pills = [
        pill(f"{counts[kind]} {word}", token, count=counts[kind])
        for kind, (word, token) in _WORDS.items()
    ]
    known = {} if deterministic or sizes is None else sizes
    passing = parents_only(result.changes)
    entries = (
        TreeEntry(
            plain(change.path),
            str(change.kind),
            decimal_size(known[change.path]) if change.path in known else "",
            is_aside=change.path in passing,
        )
        for change in result.changes
    )
    total = [decimal_size(sum(known.values()))] if known else []
    return frame(plain(result.container), tree(entries, limit=SHOWN), facts=[*pills, *total])


def parents_only(changes: tuple[Change, ...]) -> set[str]:
    """Directories that changed only because something in them did."""
    paths = {change.path for change in changes}
    above = {path[:at] for path in paths for at in range(1, len(path)) if path[at] == "/"}
    return {
        change.path
        for change in changes
        if change.kind is ChangeKind.CHANGED and change.path in above
    }
