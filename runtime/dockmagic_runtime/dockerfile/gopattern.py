"""Go's `filepath.Match` (COPY's wildcards) and the patterns of .dockerignore.

Both become regular expressions in which what stands between two stars is atomic: the earliest
place where it fits is always good enough, so nothing is tried twice within a path component.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from dockmagic_runtime.dockerfile.words import SPACES
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


class _Rule(Struct, frozen=True):
    regex: re.Pattern[str]
    negated: bool


class IgnoreRules:
    """A .dockerignore: the last rule that matches a path, or a directory above it, decides."""

    def __init__(self, rules: tuple[_Rule, ...]) -> None:
        self._rules = rules
        self._has_exceptions = any(rule.negated for rule in rules)

    @classmethod
    def parse(cls, text: str) -> IgnoreRules:
        rows = text.removeprefix("\ufeff").split("\n")
        return cls.of([row for row in rows if not row.startswith("#")])

    @classmethod
    def of(cls, patterns: list[str]) -> IgnoreRules:
        """From pattern lines: of `--exclude`, or of a file without its comments."""
        rules = (_rule(pattern) for pattern in patterns)
        return cls(tuple(rule for rule in rules if rule is not None))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def excludes(self, path: str) -> bool:
        """Whether `path` (relative, no leading slash) is left out."""
        if not self._rules:
            return False
        candidates = _with_parents(path)
        for rule in reversed(self._rules):
            if any(rule.regex.fullmatch(candidate) for candidate in candidates):
                return not rule.negated
        return False

    @property
    def has_exceptions(self) -> bool:
        """Whether something below an excluded directory can be wanted nevertheless."""
        return self._has_exceptions

    def prunes(self, directory: str) -> bool:
        """Whether nothing below the directory can be wanted, so that no one need look."""
        return not self._has_exceptions and self.excludes(directory)


def _with_parents(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(len(names), 0, -1)]


def _rule(line: str) -> _Rule | None:
    pattern = line.strip(SPACES)
    negated = pattern.startswith("!")
    if negated:
        pattern = pattern[1:].strip(SPACES)
    if not pattern:
        if negated:
            raise InvalidInput('illegal exclusion pattern: "!"')
        return None
    pattern = posixpath.normpath(pattern).lstrip("/")
    return _Rule(compile_ignore(pattern), negated) if pattern not in ("", ".") else None


@lru_cache(maxsize=256)
def compile_ignore(pattern: str) -> re.Pattern[str]:
    """As `compile_match`, and `**` stands for any number of directories, none included."""
    *parts, last = re.split(r"(\*\*+/?)", pattern)
    regex = ""
    for part in parts:
        if not part.startswith("**"):
            regex += compile_match(part).pattern
        elif not regex.endswith(_ANY_DIRECTORIES):
            regex += _ANY_DIRECTORIES
    if parts and not last:
        regex = regex.removesuffix(_ANY_DIRECTORIES) + ".*"
    return re.compile(regex + compile_match(last).pattern, re.DOTALL)


_ANY_DIRECTORIES: Final = "(?:.*/)?"
