"""What containers write, made harmless for a notebook.

Colours and bold stay (CSI … m); every other control sequence goes: links and clipboard (OSC 8,
52), titles, cursor movement, device queries that a terminal would answer. The cleaner keeps its
state between pieces, so a sequence cut in two is still recognised.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum, auto

_KEPT = frozenset("\n\t\r")
# C0, DEL and C1 controls, and the marks that turn the direction of text around.
_SUSPECT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST = 64  # characters of one colour sequence; no honest one is longer


class _State(Enum):
    TEXT = auto()
    ESCAPE = auto()  # after ESC
    CSI = auto()  # after ESC [
    STRING = auto()  # inside OSC, DCS, SOS, PM or APC, until BEL or ST
    STRING_ESCAPE = auto()  # ESC inside one of those: maybe ST
    CHARSET = auto()  # after ESC and an intermediate: one more character belongs to it


class Cleaner:
    """Bytes in, harmless text out. One for each stream.

    `crlf` turns a terminal's line ends into a notebook's.
    """

    def __init__(self, *, crlf: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._state = _State.TEXT
        self._sequence = ""
        self._crlf = crlf
        self._held = ""  # a carriage return whose line feed may come with the next piece

    def feed(self, data: bytes, *, final: bool = False) -> str:
        text = self._decoder.decode(data, final)
        if self._crlf:
            text = self._line_ends(self._held + text, final=final)
        return self._cleaned(text)

    def _line_ends(self, text: str, *, final: bool) -> str:
        self._held = "\r" if text.endswith("\r") and not final else ""
        return text.removesuffix(self._held).replace("\r\n", "\n")

    def _cleaned(self, text: str) -> str:
        # Most output has nothing to clean, and this test is a hundred times faster than the walk.
        if self._state is _State.TEXT and not _SUSPECT.search(text):
            return text
        return "".join(map(self._take, text))

    def _take(self, character: str) -> str:
        match self._state:
            case _State.TEXT:
                return self._text(character)
            case _State.ESCAPE:
                return self._escape(character)
            case _State.CSI:
                return self._csi(character)
            case _State.STRING:
                self._string(character)
            case _State.STRING_ESCAPE:
                # Whatever follows ends the string: a terminal would read a new sequence here.
                self._state = _State.TEXT
                return "" if character == "\\" else self._escape(character)
            case _State.CHARSET:
                if not " " <= character <= "/":
                    self._state = _State.TEXT
        return ""

    def _text(self, character: str) -> str:
        if character == "\x1b":
            self._state = _State.ESCAPE
        elif character == "\x9b":  # one-character forms of ESC [ and of ESC ] and its like
            self._begin_csi()
        elif character in "\x90\x98\x9d\x9e\x9f":
            self._state = _State.STRING
        elif character in _KEPT or not _SUSPECT.match(character):
            return character
        return ""

    def _escape(self, character: str) -> str:
        self._state = _State.TEXT
        if character == "[":
            self._begin_csi()
        elif character in "]PX^_":
            self._state = _State.STRING
        elif character == "\x1b":
            self._state = _State.ESCAPE
        elif " " <= character <= "/":
            self._state = _State.CHARSET
        elif character in _KEPT:
            return character
        return ""

    def _begin_csi(self) -> None:
        self._state, self._sequence = _State.CSI, ""

    def _csi(self, character: str) -> str:
        if character == "\x1b":
            self._state = _State.ESCAPE
        elif "@" <= character <= "~":
            self._state = _State.TEXT
            if character == "m" and _is_colour(self._sequence):
                return f"\x1b[{self._sequence}m"
        elif " " <= character <= "?":
            self._sequence = (self._sequence + character)[:_LONGEST]
        elif character in _KEPT:
            return character
        else:
            self._state = _State.TEXT
        return ""

    def _string(self, character: str) -> None:
        if character in "\x07\x9c":
            self._state = _State.TEXT
        elif character == "\x1b":
            self._state = _State.STRING_ESCAPE
        elif character in "\x18\x1a":  # CAN and SUB call a sequence off
            self._state = _State.TEXT


def _is_colour(sequence: str) -> bool:
    return len(sequence) < _LONGEST and all(c in "0123456789;:" for c in sequence)


def clean(data: bytes | str) -> str:
    """The whole of a text at once."""
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    return Cleaner().feed(raw, final=True)


def plain(data: bytes | str) -> str:
    """Without colours too: for HTML and for one-line messages."""
    parts = clean(data).split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])
