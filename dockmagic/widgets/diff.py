"""What a container changed, as a tree that folds."""

from __future__ import annotations

from dockmagic.commands.container.diff import Changes
from dockmagic.widgets.html import GREEN, ORANGE, RED, Markup, badge, join, note, tag
from dockmagic.widgets.sanitize import plain
from dockmagic.widgets.tree import TreeEntry, tree
from dockmagic_runtime.model.container import ChangeKind

_WORDS = {
    ChangeKind.ADDED: ("added", GREEN),
    ChangeKind.CHANGED: ("changed", ORANGE),
    ChangeKind.DELETED: ("deleted", RED),
}


def diff(result: Changes, *, deterministic: bool) -> Markup:
    if not result.changes:
        return note("no changes: the container's files are those of its image")
    counts = result.counts()
    badges = [
        [badge(f"{counts[kind]} {word}", color), " "] for kind, (word, color) in _WORDS.items()
    ]
    entries = (TreeEntry(plain(change.path), str(change.kind)) for change in result.changes)
    return join([tag("div", *badges, style="margin:.2em 0"), tree(entries)])
