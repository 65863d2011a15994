"""Near misses: the word that was probably meant. What an error's hint is made of."""

from __future__ import annotations

from collections.abc import Iterable


def similar(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known words that are close to `word`, closest first; at most `most`.

    Two letters that changed places are the likeliest slip, and the measure of difflib counts them
    as two: a word of the same letters comes first.
    """
    from difflib import get_close_matches  # costs 4 ms, and is wanted only after a mistake

    near = get_close_matches(word, list(known), n=max(most, 3), cutoff=0.6)
    letters = sorted(word)
    return sorted(near, key=lambda candidate: sorted(candidate) != letters)[:most]


def did_you_mean(
    word: str, known: Iterable[str], most: int = 1, *, prefix: str = "", otherwise: str = ""
) -> str:
    """`did you mean --date or --data?`, or `otherwise` if nothing is close."""
    near = " or ".join(f"{prefix}{candidate}" for candidate in similar(word, known, most))
    return f"did you mean {near}?" if near else otherwise
