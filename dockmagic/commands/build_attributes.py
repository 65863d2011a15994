"""`key=value,…` as `--output`, `--secret` and the cache flags of a build have it."""

from __future__ import annotations

import csv


def attributes(text: str, known: tuple[str, ...] | None) -> dict[str, str]:
    """`key=value,…`, where quotes keep commas: `type=image,"name=a,b"`. Raises ValueError."""
    words = {}
    for part in next(csv.reader([text])):
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if not equals or (known is not None and key not in known):
            raise ValueError(f"unexpected key '{key}' in '{part}'")
        words[key] = value
    return words
