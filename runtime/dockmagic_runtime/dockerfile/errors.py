"""What is wrong with a Dockerfile, where, and how it looks: `Problem` and `DockerfileError`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import similar

_SHOWN: Final = 100  # problems in the text; all are in `problems`
_RULE: Final = "-" * 20
_NEAR: Final = 4  # lines between two places of one listing
# What BuildKit finds before it knows instructions, and words without a line.
_OF_THE_FILE: Final = ("unterminated heredoc", "file with no instructions", "Syntax error")


class Problem(Struct, frozen=True, kw_only=True):
    """One error or warning. Lines and the column count from 1; `rule` names a build check.

    `line` and `column` are its own place. BuildKit knows that of the instruction only, from
    `first_line` (0 where that is `line`) to `last_line`; it is what is shown.
    """

    line: int
    last_line: int
    column: int
    reason: str
    suggestion: str = ""
    rule: str = ""
    first_line: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """The lines of the instruction."""
        return self.first_line or self.line, self.last_line

    @property
    def sentence(self) -> str:
        reason = f"{self.rule}: {self.reason}" if self.rule else self.reason
        return f"{reason} (did you mean {self.suggestion}?)" if self.suggestion else reason

    def __str__(self) -> str:
        """In one line, as warnings are reported."""
        return f"{self.sentence} (line {self.place[0]})"


class DockerfileError(InvalidInput):
    """All that is wrong with one Dockerfile, in the order of its lines.

    `problems` has at least one member. The text is one sentence for each of the first, as BuildKit
    words it; `excerpt` has their lines as BuildKit's client shows them. What was found by parsing
    is worded as an error of the parser (`is_syntax`), what came out later begins with its place.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        source: str,
        file_name: str = "Dockerfile",
        *,
        is_syntax: bool = False,
    ) -> None:
        self.problems = tuple(problems)
        self.source = source
        self.file_name = file_name
        self.is_syntax = is_syntax
        super().__init__(self._text())
        shown = self.problems[:_SHOWN]
        self.excerpt = listings(source, [each.place for each in shown], file_name)

    def _text(self) -> str:
        shown = [self._sentence(problem) for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"and {len(self.problems) - _SHOWN} more errors")
        return "\n".join(shown)

    def _sentence(self, problem: Problem) -> str:
        if not self.is_syntax or problem.rule:
            return f"{self.file_name}:{problem.place[0]}: {problem.sentence}"
        if problem.reason.startswith(_OF_THE_FILE):
            return problem.sentence
        return f"dockerfile parse error on line {problem.place[0]}: {problem.sentence}"


class Refusal(Exception):
    """Inside the parser: this line is wrong at `offset` of its joined text. Never leaves the room.

    Not a DockmagicError, so that one that escaped would be seen as the bug it is.
    """

    def __init__(self, reason: str, offset: int = 0, suggestion: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.suggestion = suggestion


def listing(source: str, first: int, last: int, file_name: str) -> str:
    """The lines from `first` to `last` with those around them, as BuildKit shows a place:
    `>>>` marks them. Empty if there is no such line."""
    return listings(source, [(first, last)], file_name)


def listings(source: str, places: Sequence[tuple[int, int]], file_name: str) -> str:
    """The same for several places in order, each the first and the last line: one listing for
    those that are near each other."""
    rows = source.split("\n")
    groups: list[list[tuple[int, int]]] = []
    for first, last in places:
        if not 1 <= first <= len(rows):
            continue
        place = (first, min(max(first, last), len(rows)))
        if groups and first - groups[-1][-1][1] <= _NEAR:
            groups[-1].append(place)
        else:
            groups.append([place])
    return "\n".join(_listing(rows, group, file_name) for group in groups)


def _listing(rows: Sequence[str], places: Sequence[tuple[int, int]], file_name: str) -> str:
    first, last = places[0][0], max(last for _, last in places)
    marked = {line for start, end in places for line in range(start, end + 1)}
    start, end = _widened(first, last, len(rows))
    shown = [f"{file_name}:{first}", _RULE]
    for number in range(start, end + 1):
        mark = ">>>" if number in marked else "   "
        shown.append(f" {number:3d} | {mark} {_printable(rows[number - 1].rstrip(chr(13)))}")
    return "\n".join([*shown, _RULE])


def _widened(first: int, last: int, count: int) -> tuple[int, int]:
    """A few lines before and after; more for a single line."""
    wanted, added = 4 if first == last else 2, 0
    while added < wanted:
        if first > 1:
            first, added = first - 1, added + 1
        if last < count:
            last, added = last + 1, added + 1
        added += 1
    return first, last


def _printable(text: str) -> str:
    """Control characters replaced one for one, so that a Dockerfile cannot steer a terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


@lru_cache(maxsize=256)
def near(word: str, known: tuple[str, ...]) -> str:
    """The known word that `word` was probably meant to be, or nothing."""
    if len(word) > 2 * max(map(len, known), default=0):
        return ""
    return next(iter(similar(word, known, 1)), "")
