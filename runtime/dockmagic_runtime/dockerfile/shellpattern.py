"""The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and backslash, no brackets.

A pattern is cut at its stars into pieces of fixed length. The first star's predecessor is taken
as early as possible and every further piece too; only the last one decides between shortest and
longest. So nothing is ever tried twice and the time is that of a search.
"""

from __future__ import annotations

import re

from msgspec import Struct

from dockmagic_runtime.dockerfile.errors import Refusal


class ShellPattern(Struct, frozen=True):
    """The pieces between the stars; "?" is None in them."""

    pieces: tuple[tuple[str | None, ...], ...]

    @classmethod
    def of(cls, text: str) -> ShellPattern:
        pieces: list[list[str | None]] = [[]]
        characters = iter(range(len(text)))
        for at in characters:
            if text[at] == "*":
                pieces.append([])
            elif text[at] == "?":
                pieces[-1].append(None)
            elif text[at] == "\\":
                following = text[at + 1 : at + 2]
                if following not in ("*", "?", "\\", "}", "/") or not following:
                    raise Refusal(f"invalid escape '\\{following}'")
                pieces[-1].append(following)
                next(characters)
            else:
                pieces[-1].append(text[at])
        return cls(tuple(map(tuple, pieces)))

    def _compiled(self, *, reverse: bool) -> list[re.Pattern[str]]:
        pieces = self.pieces
        if reverse:
            pieces = tuple(piece[::-1] for piece in pieces[::-1])
        return [re.compile("".join(map(_regex, piece)), re.DOTALL) for piece in pieces]

    def without_prefix(self, value: str, *, longest: bool) -> str:
        end = _match(self._compiled(reverse=False), value, 0, longest=longest)
        return value if end < 0 else value[end:]

    def without_suffix(self, value: str, *, longest: bool) -> str:
        end = _match(self._compiled(reverse=True), value[::-1], 0, longest=longest)
        return value if end < 0 else value[: len(value) - end]

    def replaced(self, value: str, replacement: str, *, everywhere: bool) -> list[str]:
        """The pieces of `value` with its first match, or all of them, replaced; not joined."""
        compiled = self._compiled(reverse=False)
        result: list[str] = []
        at, previous = 0, -1
        while at <= len(value) and (span := _find(compiled, value, at)) is not None:
            start, end = span
            is_empty = start == end
            # an empty match right after another one is no match
            result += (value[at:start], "" if is_empty and start == previous else replacement)
            result.append(value[end : end + 1] if is_empty else "")
            previous, at = end, end + is_empty
            if not everywhere:
                break
        result.append(value[at:])
        return result


def _regex(character: str | None) -> str:
    return "." if character is None else re.escape(character)


def _match(compiled: list[re.Pattern[str]], value: str, start: int, *, longest: bool) -> int:
    """Where the match that begins at `start` ends, or -1."""
    head = compiled[0].match(value, start)
    return -1 if head is None else _match_rest(compiled[1:], value, head.end(), longest)


def _match_rest(compiled: list[re.Pattern[str]], value: str, at: int, longest: bool) -> int:
    for number, piece in enumerate(compiled, 1):
        if longest and number == len(compiled):
            last = re.compile(f".*{piece.pattern}", re.DOTALL).match(value, at)
        else:
            last = piece.search(value, at)
        if last is None:
            return -1
        at = last.end()
    return at


def _find(compiled: list[re.Pattern[str]], value: str, at: int) -> tuple[int, int] | None:
    """The leftmost match from `at` on, the longest of those that begin there."""
    head = compiled[0].search(value, at)
    if head is None:
        return None
    # when the rest is not found after the first head, it is not after a later one either
    end = _match_rest(compiled[1:], value, head.end(), longest=True)
    return None if end < 0 else (head.start(), end)
