"""From a template's text to its pieces, and from an action to its words, with their positions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

_ACTION = re.compile(
    r"""\{\{(-(?=\s))?((?:"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|.)*?)((?<=\s)-)?\}\}""", re.DOTALL
)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_END = r"(?=[\s|(),:=.)]|$)"
_WORD = re.compile(
    rf"""\s*(?:
      (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`){_END}
    | (?P<char>'(?:\\.|[^'\\])+'){_END}
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)){_END}
    | (?P<define>:=) | (?P<assign>=) | (?P<pipe>\|) | (?P<comma>,)
    | (?P<open>\() | (?P<close>\)(?P<chain>(?:\.\w+)*))
    | (?P<variable>\$\w*(?:\.\w+)*){_END}
    | (?P<field>(?:\.[^\W\d]\w*)+){_END}
    | (?P<dot>\.){_END}
    | (?P<name>[^\W\d]\w*){_END}
    )""",
    re.VERBOSE,
)
_SPACES = re.compile(r"\s*")


class Piece(Struct, frozen=True):
    """Plain text, or what stands in `{{ }}`. `start` is its offset in the template."""

    is_action: bool
    text: str
    start: int


class Word(Struct, frozen=True):
    """One token of an action. `chain` are the fields behind a closing parenthesis."""

    kind: str
    text: str
    start: int
    chain: tuple[str, ...] = ()


class Source(Struct, frozen=True):
    """A template's text and name, which its errors refer to."""

    text: str
    name: str = ""

    def line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def column(self, offset: int) -> int:
        """In bytes, from 0: text/template counts so."""
        begin = self.text.rfind("\n", 0, offset) + 1
        return len(self.text[begin:offset].encode("utf-8", "surrogatepass"))

    def parse_error(self, offset: int, reason: str, hint: str = "") -> InvalidInput:
        where = f"template: {self.name}:{self.line(offset)}"
        return InvalidInput(f"template parsing error: {where}: {reason}", hint=hint)


def pieces(source: Source) -> Iterator[Piece]:
    """Text and actions in turn, with the trim markers already obeyed."""
    position, trim_left = 0, False
    for match in _ACTION.finditer(source.text):
        before = source.text[position : match.start()]
        before = before.lstrip() if trim_left else before
        yield Piece(False, before.rstrip() if match[1] else before, position)
        if not _COMMENT.fullmatch(match[2]):
            yield Piece(True, match[2], match.start(2))
        position, trim_left = match.end(), bool(match[3])
    rest = source.text[position:]
    if "{{" in rest:
        raise source.parse_error(position + rest.index("{{"), "unclosed action")
    yield Piece(False, rest.lstrip() if trim_left else rest, position)


def words(source: Source, action: Piece) -> list[Word]:
    """The tokens of an action. Raises InvalidInput for what is none."""
    tokens: list[Word] = []
    position = 0
    while position < len(action.text):
        match = _WORD.match(action.text, position)
        if match is None:
            if _SPACES.fullmatch(action.text, position):
                break
            wrong = action.text[position:].split()[0]
            reason = f"unexpected {wrong!r} in {{{{{action.text.strip()}}}}}"
            raise source.parse_error(action.start + position, reason)
        kind = match.lastgroup or ""
        kind = "close" if kind == "chain" else kind
        chain = tuple((match["chain"] or "").split(".")[1:])
        text = match[0].strip()
        start = action.start + match.end() - len(match[0].lstrip())
        tokens.append(Word(kind, text, start, chain))
        position = match.end()
    return tokens
