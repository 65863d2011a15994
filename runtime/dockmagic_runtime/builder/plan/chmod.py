"""`--chmod`: a number such as 0644, or chmod(1)'s words such as `u=rwX,go-w`. Pure."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput

_ALL: Final = 0o7777
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION: Final = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS: Final = {"u": 6, "g": 3, "o": 0}
_BITS: Final = {"r": 4, "w": 2, "x": 1}
_SPECIAL: Final = {"u": 0o4000, "g": 0o2000}
_STICKY: Final = {"o": 0o1000}


class Mode(Struct, frozen=True):
    """What `--chmod` does to a file's mode. `text` is as written, for the cache's key."""

    text: str
    _number: int | None
    _clauses: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Raises InvalidInput."""
        if text.isascii() and text.isdigit():
            if len(text) < 7 and not set(text) & {"8", "9"} and int(text, 8) <= _ALL:
                return cls(text, int(text, 8))
        elif clauses := _clauses(text):
            return cls(text, None, clauses)
        raise InvalidInput(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and "
            "07777, or symbolic as in u=rwX,go=rX"
        )

    def of(self, mode: int, *, is_dir: bool) -> int:
        """The mode of a file that has `mode`, without its type."""
        if self._number is not None:
            return self._number
        for who, operator, what in self._clauses:
            mode = _applied(mode, who or "ugo", operator, what, is_dir=is_dir)
        return mode


def _clauses(text: str) -> tuple[tuple[str, str, str], ...]:
    clauses = []
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            return ()
        who = match[1].replace("a", "ugo")
        clauses += [(who, operator, what) for operator, what in _ACTION.findall(match[2])]
    return tuple(clauses)


def _applied(mode: int, who: str, operator: str, what: str, *, is_dir: bool) -> int:
    bits = _copied(mode, who, what) if what in _SHIFTS else _meant(mode, who, what, is_dir=is_dir)
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    cleared = 0
    for owner in who:
        cleared |= 7 << _SHIFTS[owner]
        # a directory keeps its set-id bits unless they are named, as with chmod(1)
        cleared |= _STICKY.get(owner, 0) | (0 if is_dir else _SPECIAL.get(owner, 0))
    return (mode & ~cleared) | bits


def _copied(mode: int, who: str, source: str) -> int:
    """`g=u`: the bits that another class has."""
    bits = mode >> _SHIFTS[source] & 7
    return sum(bits << _SHIFTS[owner] for owner in set(who))


def _meant(mode: int, who: str, letters: str, *, is_dir: bool) -> int:
    bits = 0
    for letter in letters:
        for owner in who:
            if letter in "st":
                bits |= (_SPECIAL if letter == "s" else _STICKY).get(owner, 0)
            elif letter in _BITS:
                bits |= _BITS[letter] << _SHIFTS[owner]
            elif letter == "X" and (is_dir or mode & 0o111):
                bits |= 1 << _SHIFTS[owner]
    return bits
