"""`Request`: one line on its way to becoming an instruction, and what several grammars share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct, field

from dockmagic_runtime.dockerfile.errors import Refusal
from dockmagic_runtime.dockerfile.expand import ExpansionError, check
from dockmagic_runtime.dockerfile.flags import Flags
from dockmagic_runtime.dockerfile.instructions import Command, Instruction, Position
from dockmagic_runtime.dockerfile.lines import LogicalLine
from dockmagic_runtime.dockerfile.words import Word, json_strings

_LOOKS_LIKE_JSON: Final = re.compile(r"""\[\s*['"]""")


class Request(Struct):
    """One line on its way to an instruction: where its arguments begin, its flags, its notes."""

    line: LogicalLine
    escape: str
    keyword: str
    keyword_at: int
    start: int
    flags: Flags
    notes: list[tuple[Refusal, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.line.text

    @property
    def rest(self) -> str:
        return self.line.text[self.start :]

    def instruction(self, kind: Callable[..., Any], **fields: Any) -> Instruction:
        line, column = self.line.locate(self.keyword_at)
        instruction: Instruction = kind(
            position=Position(line=line, last_line=self.line.last_line, column=column),
            text=self.text[self.keyword_at :],
            heredocs=self.line.heredocs,
            comments=self.line.comments,
            remarks=self.line.remarks,
            **fields,
        )
        return instruction

    def note(self, rule: str, reason: str, offset: int | None = None) -> None:
        self.notes.append((Refusal(reason, self.keyword_at if offset is None else offset), rule))

    def checked(self, words: Iterable[Word]) -> None:
        for word in words:
            try:
                check(word.text, self.escape)
            except ExpansionError as error:
                raise Refusal(error.message, word.offset + error.offset) from None

    def needs(self, what: str) -> Refusal:
        return Refusal(f"{self.keyword} requires {what}", self.keyword_at)


def command(request: Request, start: int) -> Command:
    """The exec form if it is valid JSON, else the shell form."""
    args = json_strings(request.text, start)
    if args is not None:
        return Command(args, is_shell=False)
    note_failed_json(request, start)
    text = request.text[start:]
    return Command((text,) if text else (), is_shell=True)


def note_failed_json(request: Request, start: int) -> None:
    if _LOOKS_LIKE_JSON.match(request.text, start):
        request.note(
            "InvalidJSONForm",
            f"{request.keyword} looks like the JSON form but is not valid JSON "
            "(strings need double quotes), so it is taken as plain text",
            start,
        )
