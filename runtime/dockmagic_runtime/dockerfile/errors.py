"""What is wrong with a Dockerfile, where, and how it looks: `Problem` and `DockerfileError`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import similar

_SHOWN: Final = 100  # problems drawn; all are in `problems`
_RULE: Final = "-" * 20
_WIDTH: Final = 80  # characters of a long line before and after the column


class Problem(Struct, frozen=True, kw_only=True):
    """One error or warning. Lines and the column count from 1; `rule` names a build check."""

    line: int
    last_line: int
    column: int
    reason: str
    suggestion: str = ""
    rule: str = ""

    @property
    def sentence(self) -> str:
        reason = f"{self.rule}: {self.reason}" if self.rule else self.reason
        return f"{reason} (did you mean {self.suggestion}?)" if self.suggestion else reason

    def __str__(self) -> str:
        """In one line, as warnings are reported."""
        return f"{self.sentence} (line {self.line})"


class DockerfileError(InvalidInput):
    """All that is wrong with one Dockerfile, in the order of its lines.

    `problems` has at least one member. The text is one paragraph for each of the first: place,
    reason, suggestion, then the source line with a caret below the column.
    """

    def __init__(
        self, problems: Sequence[Problem], source: str, file_name: str = "Dockerfile"
    ) -> None:
        self.problems = tuple(problems)
        self.source = source
        self.file_name = file_name
        super().__init__(self._text())

    def _text(self) -> str:
        rows = self.source.split("\n")
        shown = [self._paragraph(problem, rows) for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"and {len(self.problems) - _SHOWN} more errors")
        return "\n".join(shown)

    def _paragraph(self, problem: Problem, rows: list[str]) -> str:
        place = f"{self.file_name}:{problem.line}:{problem.column}: {problem.sentence}"
        drawing = excerpt(rows, problem.line, problem.column)
        return f"{place}\n{drawing}" if drawing else place


class Refusal(Exception):
    """Inside the parser: this line is wrong at `offset` of its joined text. Never leaves the room.

    Not a DockmagicError, so that one that escaped would be seen as the bug it is.
    """

    def __init__(self, reason: str, offset: int = 0, suggestion: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.suggestion = suggestion


def excerpt(rows: Sequence[str], line: int, column: int) -> str:
    """The source line with its number and a caret below `column`; empty if there is no line."""
    if not 1 <= line <= len(rows):
        return ""
    row = rows[line - 1].rstrip("\r")
    start = max(column - _WIDTH, 0) if len(row) > 2 * _WIDTH else 0
    text = _printable(row[start : start + 2 * _WIDTH])
    before = text[: column - 1 - start]
    indent = "".join("\t" if character == "\t" else " " for character in before)
    number = f"{line:4d} | "
    return f"{number}{text}\n{' ' * (len(number) - 2)}| {indent}^"


def listing(source: str, first: int, last: int, file_name: str) -> str:
    """The lines from `first` to `last` with those around them, as BuildKit shows a place:
    `>>>` marks them. Empty if there is no such line."""
    rows = source.split("\n")
    if not 1 <= first <= len(rows):
        return ""
    last = min(max(first, last), len(rows))
    start, end = _widened(first, last, len(rows))
    shown = [f"{file_name}:{first}", _RULE]
    for number in range(start, end + 1):
        mark = ">>>" if first <= number <= last else "   "
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
