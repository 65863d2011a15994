"""The filters of `volume ls` and `volume prune`."""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.model.filters import Filters, has_label, matches_name
from dockmagic_runtime.model.volume import Volume

LIST: Final = frozenset(["dangling", "driver", "label", "name"])
PRUNE: Final = frozenset(["all", "label", "label!"])


def matches(volume: Volume, filters: Filters) -> bool:
    """Whether a volume passes the filters driver, name, label and label!."""
    drivers, names = filters.get("driver"), filters.get("name")
    return (
        (not drivers or volume.driver in drivers)
        and (not names or any(matches_name(volume.name, text) for text in names))
        and all(has_label(volume.labels, text) for text in filters.get("label", ()))
        and not any(has_label(volume.labels, text) for text in filters.get("label!", ()))
    )
