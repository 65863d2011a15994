"""The text of a template as tokens: Go's text/template/parse/lex.go.

Positions are characters of the text; errors are tokens too, so that the parser can say where the
action began.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from dockmagic_runtime.model.go_values import quote

_LEFT, _RIGHT = "{{", "}}"
_SPACES: Final = " \t\r\n"
_TERMINATORS: Final = frozenset(".,|:)(")
KEYWORDS: Final = frozenset(
    "block break continue define else end if range nil template with".split()
)


class Token(Struct, frozen=True):
    """`kind` is a keyword itself, or one of the words used below."""

    kind: str
    text: str
    position: int
    line: int

    def __str__(self) -> str:
        """As errors show it."""
        if self.kind == "EOF":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS:
            return f"<{self.text}>"
        return f"{quote(self.text[:10])}..." if len(self.text) > 10 else quote(self.text)


class LexError(Exception):
    """What is wrong, and where: becomes a token."""

    def __init__(self, message: str, start: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start


def tokens(text: str) -> Iterator[Token]:
    """All tokens; the last one is "EOF" or "error"."""
    lexer = _Lexer(text)
    line, counted = 1, 0
    try:
        for kind, start, end in lexer.run():
            line += text.count("\n", counted, start)
            counted = start
            yield Token(kind, text[start:end], start, line)
    except LexError as error:
        line += text.count("\n", counted, error.start)
        yield Token("error", error.message, error.start, line)
    else:
        line += text.count("\n", counted)
        yield Token("EOF", "", len(text), line)


Piece = tuple[str, int, int]  # kind, start, end


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0  # of parentheses

    def run(self) -> Iterator[Piece]:
        while True:
            start = self._at
            left = self._text.find(_LEFT, start)
            if left < 0:
                if start < len(self._text):
                    yield "text", start, len(self._text)
                return
            end, after = left, left + len(_LEFT)
            if self._text[after : after + 1] == "-" and self._is_space(after + 1):
                end = start + len(self._text[start:left].rstrip(_SPACES))
                after += 2
            if end > start:
                yield "text", start, end
            if self._text.startswith("/*", after):
                self._comment(left, after)
                continue
            yield "left", left, left + len(_LEFT)
            self._at, self._depth = after, 0
            yield from self._action()

    def _is_space(self, at: int) -> bool:
        return at < len(self._text) and self._text[at] in _SPACES

    def _comment(self, left: int, at: int) -> None:
        end = self._text.find("*/", at)
        if end < 0:
            raise LexError("unclosed comment", left)
        self._at = end + 2
        if not self._right_delimiter(self._at):
            raise LexError("comment ends before closing delimiter", left)
        self._leave()

    def _right_delimiter(self, at: int) -> int:
        """The length of the delimiter with its trim marker; 0 if there is none."""
        if self._text.startswith(_RIGHT, at):
            return len(_RIGHT)
        if self._is_space(at) and self._text.startswith(f"-{_RIGHT}", at + 1):
            return len(_RIGHT) + 2
        return 0

    def _leave(self) -> None:
        """Past the delimiter, and past the spaces that it trims."""
        length = self._right_delimiter(self._at)
        self._at += length
        if length > len(_RIGHT):
            while self._is_space(self._at):
                self._at += 1

    def _action(self) -> Iterator[Piece]:
        while True:
            length = self._right_delimiter(self._at)
            if length:
                if self._depth:
                    raise LexError("unclosed left paren", self._at)
                start = self._at + length - len(_RIGHT)
                self._leave()
                yield "right", start, start + len(_RIGHT)
                return
            start = self._at
            kind = self._token()
            yield kind, start, self._at

    def _token(self) -> str:
        start = self._at
        if start >= len(self._text):
            raise LexError("unclosed action", start)
        character = self._text[start]
        self._at += 1
        if character in _SPACES:
            self._spaces()
            return "space"
        if character in "\"`'":
            return self._quoted(character, start)
        if character in "$.":
            return self._variable_or_field(character, start)
        if character in "+-0123456789":
            return self._number(start)
        if _is_alphanumeric(character):
            return self._identifier(start)
        return self._punctuation(character, start)

    def _spaces(self) -> None:
        """A run of spaces, without one that belongs to a trim marker."""
        while self._is_space(self._at) and not self._right_delimiter(self._at):
            self._at += 1

    def _punctuation(self, character: str, start: int) -> str:
        if character == ":":
            if not self._text.startswith("=", self._at):
                raise LexError("expected :=", start)
            self._at += 1
            return "declare"
        if character == ")":
            self._depth -= 1
            if self._depth < 0:
                raise LexError("unexpected right paren", start)
        elif character == "(":
            self._depth += 1
        kinds = {"=": "assign", "|": "pipe", "(": "open", ")": "close"}
        if character not in kinds and not (character.isascii() and character.isprintable()):
            raise LexError(f"unrecognized character in action: {_code_point(character)}", start)
        return kinds.get(character, "char")

    def _quoted(self, quote: str, start: int) -> str:
        while True:
            character = self._text[self._at : self._at + 1]
            self._at += 1
            if character == "\\" and quote != "`":
                character = self._text[self._at : self._at + 1]
                self._at += 1
                if character not in ("", "\n"):
                    continue
            if not character or (character == "\n" and quote != "`"):
                raise LexError(f"unterminated {_QUOTED[quote][1]}", start)
            if character == quote:
                return _QUOTED[quote][0]

    def _variable_or_field(self, character: str, start: int) -> str:
        following = self._text[self._at : self._at + 1]
        if character == "." and following and following in "0123456789":
            return self._number(start)
        kind = "variable" if character == "$" else "field"
        if self._is_terminated():
            return "variable" if character == "$" else "dot"
        self._alphanumerics()
        self._check_end(start)
        return kind

    def _identifier(self, start: int) -> str:
        self._alphanumerics()
        self._check_end(start)
        word = self._text[start : self._at]
        if word in ("true", "false"):
            return "bool"
        return word if word in KEYWORDS else "identifier"

    def _alphanumerics(self) -> None:
        while _is_alphanumeric(self._text[self._at : self._at + 1]):
            self._at += 1

    def _is_terminated(self) -> bool:
        character = self._text[self._at : self._at + 1]
        return (
            not character
            or character in _SPACES
            or character in _TERMINATORS
            or self._text.startswith(_RIGHT, self._at)
        )

    def _check_end(self, start: int) -> None:
        if not self._is_terminated():
            character = self._text[self._at]
            raise LexError(f"bad character {_code_point(character)}", start)

    def _number(self, start: int) -> str:
        self._at = start
        self._accept("+-")
        digits = "0123456789_"
        if self._accept("0"):
            if self._accept("xX"):
                digits = "0123456789abcdefABCDEF_"
            elif self._accept("oO"):
                digits = "01234567_"
            elif self._accept("bB"):
                digits = "01_"
        self._accept_run(digits)
        if self._accept("."):
            self._accept_run(digits)
        exponent = "pP" if len(digits) > 20 else "eE" if len(digits) == 11 else ""
        if exponent and self._accept(exponent):
            self._accept("+-")
            self._accept_run("0123456789_")
        self._accept("i")
        if _is_alphanumeric(self._text[self._at : self._at + 1]):
            self._at += 1
            raise LexError(f"bad number syntax: {quote(self._text[start : self._at])}", start)
        return "number"

    def _accept(self, characters: str) -> bool:
        following = self._text[self._at : self._at + 1]
        if following and following in characters:
            self._at += 1
            return True
        return False

    def _accept_run(self, characters: str) -> None:
        while self._accept(characters):
            pass


_QUOTED: Final = {
    '"': ("string", "quoted string"),
    "`": ("raw string", "raw quoted string"),
    "'": ("character", "character constant"),
}


def _is_alphanumeric(character: str) -> bool:
    return bool(character) and (character == "_" or character.isalnum())


def _code_point(character: str) -> str:
    """As Go's `%#U` shows it: `U+007B '{'`."""
    code = f"U+{ord(character):04X}"
    return f"{code} '{character}'" if character.isprintable() else code
