"""One candidate for a word."""

from __future__ import annotations

from msgspec import Struct


class Candidate(Struct, frozen=True):
    """A word that may stand there, and a few words about it.

    `kind` is what it is: a "verb", a "flag", an "image", a "path". `is_open` says that more is to
    follow in the same word: behind a directory, or behind `--flag key=`.
    """

    text: str
    about: str = ""
    kind: str = "value"
    is_open: bool = False
