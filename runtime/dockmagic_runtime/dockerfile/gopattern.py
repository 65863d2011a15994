"""Go's `filepath.Match`: COPY's wildcards, and the names of .dockerignore (`ignore_rules`).

Patterns become regular expressions in which what stands between two stars is atomic: the earliest
place where it fits is always good enough, so nothing is tried twice within a path component.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from dockmagic_runtime.errors import InvalidInput

_WILD: Final = re.compile(r"[*?\[\\]")


class BadPattern(InvalidInput):
    """A pattern Go refuses: an unclosed bracket, or a backslash at its end."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"syntax error in pattern: {pattern}")


def has_wildcards(pattern: str) -> bool:
    return bool(_WILD.search(pattern))


def match(pattern: str, name: str) -> bool:
    """filepath.Match on Unix: `*` and `?` match no slash, `[^a-z]`, backslash escapes."""
    return bool(compile_match(pattern).fullmatch(name))


@lru_cache(maxsize=256)
def compile_match(pattern: str) -> re.Pattern[str]:
    """The regular expression for one pattern, to be used with `fullmatch`."""
    parts: list[str] = []
    at, piece = 0, ""
    stars = 0
    while at < len(pattern):
        if pattern[at] == "*":
            parts.append(_star_piece(stars, piece))
            stars, piece, at = stars + 1, "", at + 1
        else:
            token, at = _token(pattern, at)
            piece += token
    parts.append(_last_piece(stars, piece))
    return re.compile("".join(parts), re.DOTALL)


def _star_piece(stars: int, piece: str) -> str:
    """What stands before a star: after an earlier star it may be anywhere, first place taken."""
    if not stars or not piece:
        return piece
    return f"(?>[^/]*?{piece})"


def _last_piece(stars: int, piece: str) -> str:
    return f"[^/]*{piece}" if stars else piece


def _token(pattern: str, at: int) -> tuple[str, int]:
    """The regular expression of one element that is no star, and where the next one begins."""
    character = pattern[at]
    if character == "?":
        return "[^/]", at + 1
    if character == "[":
        return _bracket(pattern, at)
    if character == "\\":
        at += 1
        if at == len(pattern):
            raise BadPattern(pattern)
    return re.escape(pattern[at]), at + 1


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """`[a-z]` or `[^a-z]`: one range at least, then `]`. Never a slash, which separates."""
    ranges, count = "", 0
    negated = pattern[at + 1 : at + 2] == "^"
    at += 1 + negated
    while not count or pattern[at : at + 1] != "]":
        low, at = _range_end(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _range_end(pattern, at + 1)
        count += 1
        if low <= high:  # Go accepts one that goes down; it holds nothing
            ranges += f"{re.escape(low)}-{re.escape(high)}"
    if not ranges:
        return ("[^/]" if negated else "(?!)"), at + 1
    return f"(?!/)[{'^' if negated else ''}{ranges}]", at + 1


def _range_end(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise BadPattern(pattern)
    if pattern[at] == "\\":
        at += 1
    if at + 1 >= len(pattern):  # the closing bracket must still follow
        raise BadPattern(pattern)
    return pattern[at], at + 1
