"""`engine.volumes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.engine.facet import Facet, freeing

if TYPE_CHECKING:
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.volume import PrunedVolumes, Volume


class LocalVolumes(Facet):
    """The volumes of one data root."""

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        driver_options: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume of that name, made if it is missing; without a name a new anonymous one."""
        return self._components.volumes.create(
            name, driver=driver, labels=labels, driver_options=driver_options
        )

    def list(self, filters: Filters | None = None) -> tuple[Volume, ...]:
        """By name; filters are dangling, driver, label and name, each with a list of values."""
        return self._components.volumes.find(filters)

    def get(self, name: str) -> Volume:
        """By name. Raises NotFound."""
        return self._components.volumes.get(name)

    def inspect(self, name: str) -> dict[str, Any]:
        """Docker's JSON of a volume. Raises NotFound."""
        return self._components.volumes.inspect(name)

    @freeing
    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it with its data. Raises Conflict in use; NotFound, unless `force`."""
        self._components.volumes.remove(name, force=force)

    @freeing
    def prune(self, filters: Filters | None = None) -> PrunedVolumes:
        """Remove unused anonymous volumes, with the filter all=true every unused one."""
        return self._components.volumes.prune(filters)
