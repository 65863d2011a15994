"""The rules of a .dockerignore, and of `COPY --exclude`: which paths are left out."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from dockmagic_runtime.dockerfile.gopattern import compile_match
from dockmagic_runtime.dockerfile.words import SPACES
from dockmagic_runtime.errors import InvalidInput

_ANY_DIRECTORIES: Final = "(?:.*/)?"


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
