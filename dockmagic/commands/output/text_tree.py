"""Paths as a tree of lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable


def lines(paths: Iterable[tuple[str, str, str]]) -> list[str]:
    """`paths` are (path, mark, aside), by path. Names are indented below their directory.

    Directories that are not among the paths themselves get a line without a mark.
    """
    lines: list[str] = []
    above: list[str] = []
    for path, mark, aside in sorted(paths):
        *parents, name = path.strip("/").split("/")
        common = _common(above, parents)
        for depth in range(common, len(parents)):
            lines.append(_line(" ", depth, f"{printable(parents[depth])}/", ""))
        lines.append(_line(mark, len(parents), printable(name), aside))
        above = [*parents, name]
    return lines


def _common(left: list[str], right: list[str]) -> int:
    for depth, (first, second) in enumerate(zip(left, right, strict=False)):
        if first != second:
            return depth
    return min(len(left), len(right))


def _line(mark: str, depth: int, name: str, aside: str) -> str:
    return f"{mark} {'  ' * depth}{name}" + (f"  ({aside})" if aside else "")


def printable(text: str) -> str:
    """Text of an image as it may be printed: control characters and broken bytes spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)
