"""Near misses: the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is closest to `word`, or nothing if none is close."""
    from difflib import get_close_matches  # costs 4 ms, and is wanted only after a mistake

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """`did you mean --name?`, or nothing."""
    found = nearest(word, known)
    return f"did you mean {prefix}{found}?" if found else ""
