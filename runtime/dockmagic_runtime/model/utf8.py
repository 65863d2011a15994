"""Text for outputs that take UTF-8 only.

File names and arguments may be any bytes; Python keeps those that are no UTF-8 as surrogates, which
neither JSON nor SQLite nor a terminal takes. Go writes U+FFFD for each such byte.
"""

from __future__ import annotations

_SURROGATE = "[\ud800-\udfff]"


def printable(text: str) -> str:
    """The text with U+FFFD for each byte that is no UTF-8."""
    if text.isascii():
        return text
    import re  # not for the commands that end before anything is imported

    return re.sub(_SURROGATE, "\ufffd", text)


def encoded(text: str) -> bytes:
    """The same, in UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return printable(text).encode()
