"""Shell words inside a Dockerfile: quotes, escapes and every form of `$variable`.

Two results are of use: one word (`expand`) and fields, cut at the blanks that were outside of
quotes after variables got their values (`expand_fields`). A small descent over the characters:
`_scan` to a stop character, `_dollar` for what follows a `$`. Nesting and size are bounded, since
the text may double itself with every line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dockmagic_runtime.dockerfile.errors import Refusal
from dockmagic_runtime.dockerfile.shellpattern import ShellPattern
from dockmagic_runtime.errors import InvalidInput

LIMIT: Final = 1 << 20  # characters of one expanded word; the kernel takes an eighth of that
_DEPTH: Final = 32
_NAME: Final = re.compile(r"\d+|[@*#?\-$!]|[^\W\d]\w*")
_FIELDS: Final = re.compile(r"(\s+)")

Piece = tuple[str, bool]  # text, and whether its blanks separate fields


class ExpansionError(InvalidInput):
    """A word that cannot be expanded; `offset` is where in it the mistake begins."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """One word: quotes removed, variables replaced."""
    if not _SPECIAL[escape].search(text):
        return text
    return _joined(_Expansion(text, variables, escape).scan())


def expand_fields(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words that `text` expands to: none when everything is empty."""
    fields = [""]
    pieces = _Expansion(text, variables, escape).scan()
    _refuse_excess(pieces)
    for piece, separates in pieces:
        first, *others = _FIELDS.split(piece) if separates else [piece]
        fields[-1] += first
        fields += others[1::2]
    return [field for field in fields if field]


def expand_document(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A heredoc's content: quotes are text, variables and escapes are not."""
    return _joined(_Expansion(text, variables, escape, quotes=False).scan())


def expand_for_display(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A command as progress shows it: quotes stay, and so do variables without a value."""
    try:
        return _joined(_Display(text, variables, escape).scan())
    except ExpansionError:
        return text  # a shell reads it, and may read it otherwise


def unquote(text: str, escape: str = "\\") -> str:
    """The word without its quotes and escapes; `$` means nothing."""
    if not _SPECIAL[escape].search(text):
        return text
    return _joined(_Expansion(text, {}, escape, dollars=False).scan())


def check(text: str, escape: str = "\\") -> None:
    """Raise ExpansionError for what is wrong whatever the variables' values are."""
    if _SPECIAL[escape].search(text):
        _Expansion(text, _Anything(), escape).scan()


_SPECIAL: Final = {"\\": re.compile(r"""['"$\\]"""), "`": re.compile(r"""['"$`]""")}


class _Anything(dict[str, str]):
    """Every variable is set and not empty: then `${v:?}` complains of nothing."""

    def get(self, key: str, default: object = None) -> str:
        return "x"

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return "x"


class _Expansion:
    def __init__(
        self,
        text: str,
        variables: Mapping[str, str],
        escape: str,
        *,
        quotes: bool = True,
        dollars: bool = True,
    ) -> None:
        self._text = text
        self._variables = variables
        self._escape = escape
        self._quotes = "'\"" if quotes else ""
        self._dollars = dollars
        self._raw = False  # inside a pattern: escapes stay for the pattern to read
        self._at = 0
        self._depth = 0

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def scan(self) -> list[Piece]:
        """Everything to the end of the text."""
        return self._scan("")

    def _scan(self, stop: str) -> list[Piece]:
        """Everything up to `stop`, which is consumed, or to the end if that is empty."""
        pieces: list[Piece] = []
        while self._at < len(self._text):
            character = self._peek()
            if character == stop:
                self._at += 1
                return pieces
            pieces.append(self._piece(character, stop))
        if stop:
            raise ExpansionError(f"syntax error: missing '{stop}' in ${{}}", len(self._text))
        return pieces

    def _piece(self, character: str, stop: str) -> Piece:
        if character == "$" and self._dollars:
            return self._dollar(), True
        if character in self._quotes:
            return (self._single() if character == "'" else self._double()), False
        if character == self._escape:
            return self._escaped(), False
        return self._run(f".[^$'\"{re.escape(self._escape + stop)}]*"), True

    def _run(self, pattern: str) -> str:
        """The text that matches here; the patterns used match one character at least."""
        match = re.compile(pattern, re.DOTALL).match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return match.group()

    def _escaped(self) -> str:
        """The escape character takes the next one's meaning; at the very end it is dropped."""
        escape = self._next()
        return (escape if self._raw else "") + self._next()

    def _single(self) -> str:
        start = self._at
        end = self._text.find("'", start + 1)
        if end < 0:
            raise ExpansionError(
                "unexpected end of statement while looking for matching single-quote", start
            )
        self._at = end + 1
        return self._text[start + 1 : end]

    def _double(self) -> str:
        start = self._at
        self._at += 1
        pieces: list[Piece] = []
        while (character := self._peek()) != '"':
            if not character:
                raise ExpansionError(
                    "unexpected end of statement while looking for matching double-quote", start
                )
            if character == "$" and self._dollars:
                pieces.append((self._dollar(), False))
            else:
                pieces.append((self._inside_double(), False))
        self._at += 1
        return _joined(pieces)

    def _inside_double(self) -> str:
        """Plain text, or an escape: that works on quote, dollar and the escape itself only."""
        if self._peek() != self._escape:
            return self._run(f'.[^$"{re.escape(self._escape)}]*')
        character = self._next()
        if self._peek() in ('"', "$", self._escape):
            return (character if self._raw else "") + self._next()
        return character if self._peek() else ""

    def _dollar(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return (self._variables.get(name) or "") if name else "$"
        self._at += 1
        self._depth += 1
        if self._depth > _DEPTH:
            raise ExpansionError("substitutions are nested too deeply", start)
        try:
            return self._braced(start)
        except Refusal as refusal:  # a pattern's
            raise ExpansionError(f"invalid pattern in substitution: {refusal}", start) from None
        finally:
            self._depth -= 1

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def _braced(self, start: int) -> str:
        if self._peek() in ("{", "}", ":"):
            raise ExpansionError("syntax error: bad substitution", start)
        name = self._name()
        operator = self._next()
        if operator in ("}", "#", "%", "/") and name:
            return self._changed(self._variables.get(name) or "", operator)
        strict = operator == ":"
        kind = self._next() if strict else operator
        if not name or kind not in ("-", "+", "?") or not kind:
            raise self._bad_modifier(operator + (kind if strict else ""), start)
        word = _joined(self._scan("}"))
        # no `get`: a variable with an alternative is not reported as undefined
        is_set = name in self._variables
        value = self._variables[name] if is_set else None
        return _alternative(
            name, None if strict and not value else value, kind, word, start, strict
        )

    def _changed(self, value: str, operator: str) -> str:
        match operator:
            case "}":
                return value
            case "/":
                return self._replaced(value)
        return self._trimmed(value, operator)

    def _bad_modifier(self, modifier: str, start: int) -> ExpansionError:
        if self._at > len(self._text):
            return ExpansionError("syntax error: missing '}'", start)
        return ExpansionError(f"unsupported modifier ({modifier}) in substitution", start)

    def _pattern_text(self, stop: str) -> str:
        outer, self._raw = self._raw, True
        try:
            return _joined(self._scan(stop))
        finally:
            self._raw = outer

    def _trimmed(self, value: str, operator: str) -> str:
        text = self._pattern_text("}")
        longest = text.startswith(operator)
        pattern = ShellPattern.of(text[1:] if longest else text)
        if operator == "#":
            return pattern.without_prefix(value, longest=longest)
        return pattern.without_suffix(value, longest=longest)

    def _replaced(self, value: str) -> str:
        everywhere = self._peek() == "/"
        if everywhere:
            self._at += 1
        pattern = self._pattern_text("/")
        replacement = self._pattern_text("}")
        pieces = ShellPattern.of(pattern).replaced(value, replacement, everywhere=everywhere)
        return _joined([(piece, False) for piece in pieces])


class _Display(_Expansion):
    def _single(self) -> str:
        return f"'{super()._single()}'"

    def _double(self) -> str:
        return f'"{super()._double()}"'

    def _dollar(self) -> str:
        start = self._at
        value = super()._dollar()
        written = self._text[start : self._at]
        name = _NAME.match(written, 2 if written.startswith("${") else 1)
        return value if name is None or name.group() in self._variables else written


def _alternative(
    name: str, value: str | None, kind: str, word: str, start: int, strict: bool
) -> str:
    """`${name-word}`, `${name+word}` and `${name?word}`; None means unset, or empty after `:`."""
    if kind == "+":
        return "" if value is None else word
    if value is not None:
        return value
    if kind == "-":
        return word
    state = "empty" if strict else "unset"
    raise ExpansionError(f"{name}: {word or f'is not allowed to be {state}'}", start)


def _joined(pieces: list[Piece]) -> str:
    _refuse_excess(pieces)
    return "".join(text for text, _ in pieces)


def _refuse_excess(pieces: list[Piece]) -> None:
    if sum(len(text) for text, _ in pieces) > LIMIT:
        raise ExpansionError(f"a word expands to more than {LIMIT} characters")
