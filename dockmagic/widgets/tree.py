"""Paths as a tree that folds."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from dockmagic.widgets.html import Markup, details, join, tag

TOKENS = {"A": "run", "C": "info", "D": "warn"}  # red would say that something failed
_OPEN_BELOW = 40  # entries that may be seen at once without asking


class TreeEntry(Struct, frozen=True):
    """One path with its mark (A, C, D or nothing) and a word on its right.

    One that `is_aside` is muted: it is there because of what is in it.
    """

    path: str
    mark: str = ""
    aside: str = ""
    is_aside: bool = False


class _Node(Struct):
    entry: TreeEntry | None = None
    children: dict[str, _Node] = field(default_factory=dict)


def tree(entries: Iterable[TreeEntry], *, limit: int = 150) -> Markup:
    """The entries below their directories; those over the limit are counted."""
    current = list(entries)
    root = _Node()
    for entry in current[:limit]:
        _insert(root, entry)
    opened = len(current) <= _OPEN_BELOW
    lines = _children(root, opened=opened)
    if len(current) > limit:
        lines.append(tag("div", f"+{len(current) - limit} more", class_="dm-muted"))
    return tag("div", *lines, class_="dm-mono")


def _insert(root: _Node, entry: TreeEntry) -> None:
    node = root
    for part in entry.path.strip("/").split("/"):
        node = node.children.setdefault(part, _Node())
    node.entry = entry


def _children(node: _Node, *, opened: bool) -> list[Markup]:
    return [
        _line(name, child, opened=opened)
        for name, child in sorted(node.children.items())
    ]  # fmt: skip


def _line(name: str, node: _Node, *, opened: bool) -> Markup:
    while len(node.children) == 1 and node.entry is None:  # a/b/c with nothing beside it
        ((part, node),) = node.children.items()
        name = f"{name}/{part}"
    label = _label(name, node)
    if not node.children:
        return tag("div", label, class_="dm-in")
    inner = tag("div", *_children(node, opened=opened), class_="dm-in")
    return details(label, inner, opened=opened)


def _label(name: str, node: _Node) -> Markup:
    entry = node.entry or TreeEntry("")
    text = f"{name}/" if node.children else name
    token = "muted" if entry.is_aside else TOKENS.get(entry.mark, "")
    parts = [f"{entry.mark} " if entry.mark else "", text]
    shown = tag("span", *parts, **({"class_": f"dm-{token}"} if token else {}))
    aside = tag("span", f"  {entry.aside}", class_="dm-muted") if entry.aside else ""
    return join([shown, aside])
