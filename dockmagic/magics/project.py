"""`[tool.dockmagic]` of the project's pyproject.toml: settings that come with a repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from traitlets import TraitError

from dockmagic_runtime.model.suggest import did_you_mean

_FILE, _TABLE = "pyproject.toml", "dockmagic"


def project_settings(folder: Path) -> tuple[dict[str, Any], Path | None]:
    """The table of the nearest pyproject.toml at or above `folder`, and where it is.

    Raises ValueError for a file that is no TOML.
    """
    for place in (folder, *folder.parents):
        path = place / _FILE
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        if f"tool.{_TABLE}" not in text:  # most have none, and are not parsed
            return {}, path
        import tomllib

        table = tomllib.loads(text).get("tool", {}).get(_TABLE, {})
        return {name.replace("-", "_"): value for name, value in table.items()}, path
    return {}, None


def apply(settings: Any, values: Mapping[str, Any], given: Iterable[str]) -> list[str]:
    """Set what IPython's own configuration, `given`, has not; what is wrong with the others."""
    mistakes: list[str] = []
    known = settings.trait_names(config=True)
    for name, value in values.items():
        if name not in known:
            mistakes.append(
                f"{name}: there is no such setting {did_you_mean(name, known)}".rstrip()
            )
        elif name not in given:
            try:
                setattr(settings, name, value)
            except TraitError as error:
                mistakes.append(f"{name}: {error}")
    return mistakes
