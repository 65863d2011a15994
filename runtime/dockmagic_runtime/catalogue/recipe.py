"""`Recipe`: one stand-in as it lies in this room, a folder with `recipe.toml` and a Dockerfile."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

_SHELF: Final = Path(__file__).parent


class Recipe(Struct, frozen=True, kw_only=True):
    """A stand-in that can be made. `root` says which kind of root file system it begins with."""

    name: str  # Docker Hub's: "httpd"; of its folder, unless the recipe says another
    description: str
    stand_in: str  # the sentence of the label; {host} is the host's distribution
    root: str  # "applets" | "distribution"
    folder: Path
    wheels: tuple[str, ...] = ()  # Python packages that the build finds in its context

    @property
    def dockerfile(self) -> str:
        return (self.folder / "Dockerfile").read_text()


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes by the name they answer to."""
    return {
        recipe.name: recipe
        for path in sorted(_SHELF.glob("*/recipe.toml"))
        for recipe in [_load(path)]
    }


def _load(path: Path) -> Recipe:
    facts = tomllib.loads(path.read_text())
    return Recipe(
        name=facts.get("name", path.parent.name),
        description=facts["description"],
        stand_in=facts["stand_in"],
        root=facts["root"],
        folder=path.parent,
        wheels=tuple(facts.get("wheels", ())),
    )
