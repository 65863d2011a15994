"""What Go's strings package, its escapers and Docker's functions do to text."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_plus

from dockmagic.commands.gotemplate.errors import GoError

_WIDEST: Final = 1_000_000


def upper(text: str) -> str:
    """One letter for one: Go's ß stays what it is."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)


def lower(text: str) -> str:
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def title(text: str) -> str:
    """The first letter of each word; words end at all that is no letter, digit or underscore."""
    shown, before = [], " "
    for character in text:
        shown.append(upper(character) if _separates(before) else character)
        before = character
    return "".join(shown)


def _separates(character: str) -> bool:
    if character.isascii():
        return not (character.isalnum() or character == "_")
    return not character.isalnum() and character.isspace()


def pad(text: str, before: int, after: int) -> str:
    """Blanks around a text that is not empty."""
    if not text:
        return text
    if before < 0 or after < 0:
        raise GoError("strings: negative Repeat count")
    if before + after > _WIDEST:
        raise GoError("strings: Repeat output length overflow")
    return " " * before + text + " " * after


def truncate(text: str, length: int) -> str:
    """At most `length` bytes."""
    if length < 0:
        raise GoError(f"runtime error: slice bounds out of range [:{length}]")
    return cut(text, 0, length)


def cut(text: str, low: int, high: int) -> str:
    """Go's text is bytes; a letter that is cut in two is not whole."""
    return text.encode("utf-8", "surrogateescape")[low:high].decode("utf-8", "surrogateescape")


_IN_HTML: Final = str.maketrans(
    {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
)
_IN_SCRIPTS: Final = {
    "\\": r"\\",
    "'": r"\'",
    '"': r"\"",
    "<": r"\u003C",
    ">": r"\u003E",
    "&": r"\u0026",
    "=": r"\u003D",
}


def html(text: str) -> str:
    """`template.HTMLEscapeString`"""
    return text.translate(_IN_HTML)


def js(text: str) -> str:
    """`template.JSEscapeString`: safe between the quotes of a JavaScript string."""
    return "".join(map(_in_scripts, text))


def _in_scripts(character: str) -> str:
    if character in _IN_SCRIPTS:
        return _IN_SCRIPTS[character]
    return character if character.isprintable() else f"\\u{ord(character):04X}"


def query(text: str) -> str:
    """`url.QueryEscape`"""
    return quote_plus(text, safe="-_.~", errors="surrogateescape")
