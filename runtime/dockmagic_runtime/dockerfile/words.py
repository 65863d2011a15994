"""Cutting an instruction's arguments into words, and reading its JSON form. Nothing is expanded."""

from __future__ import annotations

import json
import re
from typing import Final

from msgspec import Struct

from dockmagic_runtime.dockerfile.errors import Refusal

# what Go's unicode.IsSpace knows: text that was pasted from a web page has U+00A0 in it
SPACES: Final = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_BLANKS: Final = re.compile(f"[{SPACES}]+")
_PLAIN: Final = re.compile(r"[^ \t\v\f\r]+")
_JSON_BLANKS: Final = str.maketrans("\v\f", "  ")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Possessive, and every alternative begins with a different character: one pass, no backtracking.
# A quote that is never closed reaches to the end; `expand` refuses it where it matters.
_WORD: Final = (
    """(?:{heredoc}[^{other}{spaces}'"{e}]++|{e}.|{e}\\Z|'[^']*+'?|"(?:[^"{e}]++|{e}.)*+{e}?"?)++"""
)


def _words(heredoc: str, other: str) -> dict[str, re.Pattern[str]]:
    return {
        escape: re.compile(
            _WORD.format(heredoc=heredoc, other=other, spaces=SPACES, e=e), re.DOTALL
        )
        for escape, e in (("\\", r"\\"), ("`", "`"))
    }


_QUOTED: Final = _words("", "")
# `<< EOF`: blanks behind the mark belong to the word
_WITH_HEREDOCS: Final = _words(f"<<[{SPACES}]*+|<|", "<")


class Word(Struct, frozen=True):
    """A piece of a logical line's text and where it begins in it."""

    text: str
    offset: int


def plain_words(text: str, start: int) -> list[Word]:
    """The words of `text` from `start` on, separated by ASCII blanks whatever they contain."""
    return [Word(match.group(), match.start()) for match in _PLAIN.finditer(text, start)]


def quoted_words(text: str, start: int, escape: str) -> list[Word]:
    """The same, but quotes and the escape character keep blanks inside a word; both stay in it."""
    return _without_last_escape(_QUOTED[escape], text, start, escape)


def heredoc_words(text: str, start: int, escape: str) -> list[Word]:
    """The same, and blanks behind `<<` keep the word going."""
    return _without_last_escape(_WITH_HEREDOCS[escape], text, start, escape)


def _without_last_escape(
    pattern: re.Pattern[str], text: str, start: int, escape: str
) -> list[Word]:
    words = [Word(m.group(), m.start()) for m in pattern.finditer(text, start)]
    if words and _ends_escaped(words[-1].text, escape):
        # an escape character at the very end escapes nothing and is dropped
        last = words.pop()
        if len(last.text) > 1:
            words.append(Word(last.text[:-1], last.offset))
    return words


def _ends_escaped(word: str, escape: str) -> bool:
    return (len(word) - len(word.rstrip(escape))) % 2 == 1


def first_word(text: str, start: int, escape: str) -> Word | None:
    """Only the first of `quoted_words`, without looking at the rest."""
    blanks = _BLANKS.match(text, start)
    match = _QUOTED[escape].match(text, blanks.end() if blanks else start)
    return Word(match.group(), match.start()) if match else None


def skip_blanks(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    return blanks.end() if blanks else start


def cut(text: str, start: int) -> tuple[Word, int]:
    """The first plain word from `start` on, and where the text after it and its blanks begins."""
    start = skip_blanks(text, start)
    match = _PLAIN.match(text, start)
    if match is None:
        return Word("", start), start
    return Word(match.group(), start), skip_blanks(text, match.end())


def json_strings(text: str, start: int) -> tuple[str, ...] | None:
    """The JSON form of an instruction: an array of strings, or None if it is anything else.

    An array that is valid and holds other things than strings is a mistake, not a shell command.
    """
    if not text.startswith("[", start):
        return None

    try:
        # every blank of a Dockerfile separates here too; a tab inside a string is a tab
        values = json.loads(text[start:].translate(_JSON_BLANKS), strict=False)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise Refusal(
            "when using JSON array syntax, arrays must be comprised of strings only", start
        )
    if any("\0" in value for value in values):
        raise Refusal("a string in the JSON array contains a NUL character", start)
    # half of a \uD83D\uDE00 pair is no character; what Go's decoder makes of it
    return tuple(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value) for value in values)
