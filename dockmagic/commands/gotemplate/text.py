"""What Go's strings package and its escapers do to text where Python's own methods differ."""

from __future__ import annotations

from typing import Final


def upper(text: str) -> str:
    """One letter for one: Go's ß stays what it is."""
    return "".join(one.upper() if len(one.upper()) == 1 else one for one in text)


def lower(text: str) -> str:
    return "".join(one.lower() if len(one.lower()) == 1 else one for one in text)


def title(text: str) -> str:
    """The first letter of each word; words end at all that is no letter, digit or underscore."""
    shown, before = [], " "
    for one in text:
        shown.append(upper(one) if _separates(before) else one)
        before = one
    return "".join(shown)


def _separates(character: str) -> bool:
    if character.isascii():
        return not (character.isalnum() or character == "_")
    return not character.isalnum() and character.isspace()


_IN_SCRIPTS: Final = {
    "\\": r"\\",
    "'": r"\'",
    '"': r"\"",
    "<": r"\u003C",
    ">": r"\u003E",
    "&": r"\u0026",
    "=": r"\u003D",
}


def for_scripts(text: str) -> str:
    """As template.JSEscapeString: safe between the quotes of a JavaScript string."""
    return "".join(map(_for_scripts, text))


def _for_scripts(character: str) -> str:
    if character in _IN_SCRIPTS:
        return _IN_SCRIPTS[character]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04X}"


def cut(text: str, low: int, high: int) -> str:
    """Go's text is bytes; a letter that is cut in two shows as one that is unknown."""
    return text.encode("utf-8", "surrogatepass")[low:high].decode("utf-8", "replace")
