"""`key=value,…` as `--output`, `--secret` and the cache flags of a build have it."""

from __future__ import annotations

import csv


def attributes(text: str, known: tuple[str, ...] | None) -> dict[str, str]:
    """`key=value,…`, where quotes keep commas: `type=image,"name=a,b"`. Raises ValueError."""
    try:
        (parts,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):  # quotes that do not end, line breaks, nothing at all
        raise ValueError(f"parse error on line 1: {text}") from None
    words = {}
    for part in parts:
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if not equals or (known is not None and key not in known):
            raise ValueError(f"unexpected key '{key}' in '{part}'")
        words[key] = value
    return words
