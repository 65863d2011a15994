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
        driver_opts: Mapping[str, str] | None = None,
    ) -> Volume:
        """Returns the volume of a name, which is created if it is missing.

        Args:
            name: The name. Default: a new anonymous volume.
            driver: "local" is the only one.
            labels: Labels of a new volume.
            driver_opts: `type`, `device` and `o`, as of mount(8).

        Raises:
            Conflict: There is a volume of that name with other options.
            InvalidInput: An impossible name or option.
            Unsupported: Another driver.
        """
        return self._components.volumes.create(
            name, driver=driver, labels=labels, driver_options=driver_opts
        )

    def list(self, filters: Filters | None = None) -> tuple[Volume, ...]:
        """Lists volumes by name.

        Args:
            filters: `dangling`, `driver`, `label` and `name`, each with a list of values.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        return self._components.volumes.find(filters)

    def get(self, name: str) -> Volume:
        """Returns a volume.

        Args:
            name: The name.

        Raises:
            NotFound: No such volume.
        """
        return self._components.volumes.get(name)

    def inspect(self, name: str) -> dict[str, Any]:
        """Returns Docker's JSON of a volume.

        Args:
            name: The name.

        Raises:
            NotFound: No such volume.
        """
        return self._components.volumes.inspect(name)

    @freeing
    def remove(self, name: str, *, force: bool = False) -> None:
        """Removes a volume with its data.

        Args:
            name: The name.
            force: Whether a missing volume is no error.

        Raises:
            NotFound: No such volume, and `force` is false.
            Conflict: A container uses it.
        """
        self._components.volumes.remove(name, force=force)

    @freeing
    def prune(self, filters: Filters | None = None) -> PrunedVolumes:
        """Removes unused anonymous volumes.

        Args:
            filters: `label`, `label!`, and `all`: with "true" named volumes go too.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        return self._components.volumes.prune(filters)
