"""Foreign text made safe to show, and errors in the words of Go's programs."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 400


def printable(text: str) -> str:
    """Foreign text as one line of bounded length without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)[:_LONGEST]


def error_text(error: Exception) -> str:
    """Why a connection failed, as Go says it: in lower case, and `i/o timeout`."""
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:] if text else type(error).__name__
