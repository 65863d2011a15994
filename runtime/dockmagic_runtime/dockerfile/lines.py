"""Text → logical lines: directives, comments, continuations and heredocs.

Strategy: the physical lines are read once, in order. A logical line is the pieces of its physical
lines joined, with the offset at which each piece began, so that any place in it has a
line and column. The only grammar known here is what decides where a line ends: which
instructions may carry heredocs, and that the JSON form carries none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.dockerfile.errors import Problem, Refusal
from dockmagic_runtime.dockerfile.expand import ExpansionError, unquote
from dockmagic_runtime.dockerfile.words import (
    SPACES,
    cut,
    first_word,
    heredoc_words,
    json_strings,
    quoted_words,
    skip_blanks,
)

_DIRECTIVE: Final = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_DIRECTIVES: Final = ("syntax", "escape", "check")
_CONTINUATION: Final = {
    # an escape character that is itself escaped does not continue the line
    "\\": re.compile(r"(?<!\\)\\[ \t\v\f\r]*\Z"),
    "`": re.compile(r"(?<!`)`[ \t\v\f\r]*\Z"),
}
_HEREDOC: Final = re.compile(rf"(\d*)<<(-?)[{SPACES}]*([^<]*)")
_HAVE_HEREDOCS: Final = ("RUN", "COPY", "ADD")
_LAST: Final = 1 << 62  # greater than any line or column


class Heredoc(Struct, frozen=True, kw_only=True):
    """The text between `<<NAME` and the line NAME. `expand` unless the name was quoted."""

    name: str
    mark: str  # as written: <<-'EOF'
    content: str = ""
    expand: bool = True
    chomp: bool = False  # `<<-`
    fd: int = 0

    @property
    def data(self) -> str:
        """The content as meant: without leading tabs where `<<-` was written."""
        if not self.chomp:
            return self.content
        return "".join(row.lstrip("\t") for row in self.content.splitlines(keepends=True))


class LogicalLine(Struct, frozen=True, kw_only=True):
    """One instruction as text: its pieces joined, without comments and outer blanks."""

    text: str
    line: int
    last_line: int
    # where each piece began: offset in `text`, line, column
    origins: tuple[tuple[int, int, int], ...]
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()  # the lines of them that stand right above
    remarks: tuple[str, ...] = ()  # all since the line before, as written, also those inside it

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column of `offset` in the text."""
        start, line, column = self.origins[bisect_right(self.origins, (offset, _LAST, 0)) - 1]
        return line, column + offset - start

    def problem(self, refusal: Refusal, rule: str = "") -> Problem:
        line, column = self.locate(refusal.offset)
        return Problem(
            line=line,
            last_line=max(self.last_line, line),
            column=column,
            reason=refusal.reason,
            suggestion=refusal.suggestion,
            rule=rule,
            first_line=self.line,
        )


class Document(Struct):
    """What `read` found. `errors` and `warnings` are in the order of the lines."""

    lines: list[LogicalLine] = field(default_factory=list)
    directives: dict[str, str] = field(default_factory=dict)
    directive_lines: dict[str, int] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # the comments behind the last line

    @property
    def escape(self) -> str:
        return self.directives.get("escape", "\\")


def read(text: str) -> Document:
    """Cut a whole Dockerfile into its logical lines."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._rows = text.removeprefix("\ufeff").split("\n")
        if not self._rows[-1]:
            self._rows.pop()  # the newline of the last line begins no other
        self._at = 0
        self._document = Document()

    def read(self) -> Document:
        self._read_directives()
        comments: list[str] = []
        while self._at < len(self._rows):
            row = self._rows[self._at].strip(SPACES)
            if row.startswith("#"):
                comments.append(row[1:].strip(SPACES))
                self._document.remarks.append(row)
                self._at += 1
            elif not row:
                comments.clear()
                self._at += 1
            else:
                self._read_logical(tuple(comments))
                comments.clear()
        return self._document

    def _problem(self, row: int, reason: str, rule: str = "") -> Problem:
        return Problem(line=row + 1, last_line=row + 1, column=1, reason=reason, rule=rule)

    def _read_directives(self) -> None:
        """Only the leading comments can be directives; the first other line ends them."""
        for number, row in enumerate(self._rows):
            match = _DIRECTIVE.fullmatch(row.strip(SPACES))
            name = match[1].lower() if match else ""
            if match is None or name not in _DIRECTIVES:
                return
            self._at = number + 1
            self._take_directive(number, name, match[2])

    def _take_directive(self, row: int, name: str, value: str) -> None:
        if name in self._document.directives:
            reason = f"only one {name} parser directive can be used"
        elif name == "escape" and value not in ("\\", "`"):
            reason = f"invalid escape token '{value}' does not match ` or \\"
        else:
            self._document.directives[name] = value
            self._document.directive_lines[name] = row + 1
            return
        self._document.errors.append(self._problem(row, reason))

    def _read_logical(self, comments: tuple[str, ...]) -> None:
        first = self._at
        text, origins = self._join()
        if text:
            line = LogicalLine(
                text=text,
                line=first + 1,
                last_line=self._at,
                origins=tuple(origins),
                comments=comments,
                remarks=tuple(self._document.remarks),
            )
            self._document.remarks.clear()
            self._document.lines.append(self._with_heredocs(line))

    def _join(self) -> tuple[str, list[tuple[int, int, int]]]:
        """The pieces of the logical line at the current row, continued as far as it goes."""
        pieces: list[str] = []
        origins: list[tuple[int, int, int]] = []
        length, goes_on, first, has_empty = 0, True, self._at, False
        while goes_on and self._at < len(self._rows):
            number, row = self._at, self._rows[self._at]
            self._at += 1
            if number > first and _is_blank_or_comment(row):
                has_empty = not self._took_comment(row) or has_empty
                continue
            piece, goes_on = self._without_continuation(row)
            kept = piece if length else piece.lstrip(SPACES)
            if kept:
                origins.append((length, number + 1, 1 + len(piece) - len(kept)))
                pieces.append(kept)
                length += len(kept)
        if has_empty:
            self._note_empty()
        return "".join(pieces).rstrip(SPACES), origins

    def _without_continuation(self, row: str) -> tuple[str, bool]:
        end = _CONTINUATION[self._document.escape].search(row)
        return (row, False) if end is None else (row[: end.start()], True)

    def _took_comment(self, row: str) -> bool:
        """Keeps a comment between two continued lines; False for an empty line."""
        if row := row.strip(SPACES):
            self._document.remarks.append(row)
        return bool(row)

    def _note_empty(self) -> None:
        """Once for each instruction, at its last line, as BuildKit places it."""
        reason = "Empty continuation line"
        self._document.warnings.append(self._problem(self._at - 1, reason, "NoEmptyContinuation"))

    def _with_heredocs(self, line: LogicalLine) -> LogicalLine:
        marks = heredoc_marks(line.text, self._document.escape)
        if not marks:
            return line
        bodies: list[Heredoc] = []
        for mark, offset in marks:
            body = self._read_heredoc(mark)
            if body is None:  # the file is over, and with it the others too
                reason = f"unterminated heredoc: a line with {mark.name} alone ends it"
                problem = replace(line, last_line=self._at).problem(Refusal(reason, offset))
                self._document.errors.append(problem)
                break
            bodies.append(body)
        return replace(line, heredocs=tuple(bodies), last_line=self._at)

    def _read_heredoc(self, mark: Heredoc) -> Heredoc | None:
        content: list[str] = []
        while self._at < len(self._rows):
            row = self._rows[self._at]
            self._at += 1
            end = row.removesuffix("\r")
            if (end.lstrip("\t") if mark.chomp else end) == mark.name:
                return replace(mark, content="".join(content))
            content.append(row + "\n")
        return None


def continues(row: str, escape: str) -> bool:
    """Whether the row ends with the escape character that makes the next one part of it."""
    return _CONTINUATION[escape].search(row) is not None


def _is_blank_or_comment(row: str) -> bool:
    return row.lstrip(SPACES)[:1] in ("", "#")


def heredoc_marks(text: str, escape: str) -> list[tuple[Heredoc, int]]:
    """The `<<NAME` words of a line that may have heredocs, without their content yet."""
    if "<<" not in text:
        return []
    arguments = _heredoc_arguments(text, escape)
    if arguments < 0:
        return []
    words = heredoc_words(text, arguments, escape)
    marks = [(as_heredoc(word.text, escape), word.offset) for word in words]
    return [(mark, offset) for mark, offset in marks if mark is not None]


def _heredoc_arguments(text: str, escape: str) -> int:
    """Where the arguments begin that may hold heredocs; -1 if the instruction has none."""
    name, start = cut(text, 0)
    if name.text.upper() == "ONBUILD":
        name, start = cut(text, start)
    if name.text.upper() not in _HAVE_HEREDOCS:
        return -1
    start = skip_flags(text, start, escape)
    try:
        return -1 if json_strings(text, start) is not None else start
    except Refusal:
        return -1  # the grammar says so, with the right words


def skip_flags(text: str, start: int, escape: str) -> int:
    """Where the arguments begin after the leading `--flags`."""
    while text.startswith("--", start):
        word = first_word(text, start, escape)
        if word is None:
            break
        start = skip_blanks(text, start + len(word.text))
        if word.text == "--":
            break
    return start


def as_heredoc(word: str, escape: str) -> Heredoc | None:
    """What a word like `2<<-'EOF'` announces; None for every other word."""
    match = _HEREDOC.fullmatch(word)
    if match is None or len(quoted_words(match[3], 0, escape)) != 1:
        return None  # a whole line, `<<EOF cat > file`, is more than a mark
    try:
        name = unquote(match[3], escape)
    except ExpansionError:
        return None
    if not name or not name.isprintable():
        return None
    return Heredoc(
        name=name,
        mark=word,
        expand=name == match[3],
        chomp=bool(match[2]),
        fd=int(match[1][:9] or 0),
    )
