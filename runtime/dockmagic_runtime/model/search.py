"""What `search` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """One repository. A stand-in is one that the catalogue can make without a registry."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False
    is_stand_in: bool = False
