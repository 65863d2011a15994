"""`Engine`: the façade. Its facets resolve names, connect components and take locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic_runtime.engine.component import component
from dockmagic_runtime.engine.components import EngineComponents
from dockmagic_runtime.linux.closeable import Closing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dockmagic_runtime.engine.builds import LocalBuilds
    from dockmagic_runtime.engine.containers import LocalContainers
    from dockmagic_runtime.engine.images import LocalImages
    from dockmagic_runtime.engine.manifests import LocalManifests
    from dockmagic_runtime.engine.networks import LocalNetworks
    from dockmagic_runtime.engine.system import LocalSystem
    from dockmagic_runtime.engine.volumes import LocalVolumes
    from dockmagic_runtime.store.data_root import DataRoot


class Engine(Closing):
    """A container engine in this process: one data root, any number of engines and processes.

    Thread-safe. A context manager: `close` ends the launcher process; containers that were
    started detached run on.

    Args:
        root: The data root, a directory. Default: `$DOCKMAGIC_ROOT`, then the system's place as
            root, else the user's.
        catalogue: When stand-ins of well-known images are built from the host's packages:
            "when-unreachable" (no registry answers), "never" or "always".
        repair: Rebuild a damaged database before it is opened; `system.repair()` has the report.
        default_log_options: Options of json-file for the containers that it creates, as
            `log-opts` of Docker's daemon; an option of the container's own wins. They are in
            `inspect` and in the container's log for good.

    Raises:
        InvalidInput: `default_log_options` are none of json-file.
        Unsupported: This host cannot run containers, or a newer dockmagic wrote the data root.
        StateDamaged: The database is damaged, and `repair` is not asked for.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        *,
        catalogue: str = "when-unreachable",
        repair: bool = False,
        default_log_options: Mapping[str, str] | None = None,
    ) -> None:
        self._components = EngineComponents(
            root,
            catalogue=catalogue,
            repair=repair,
            default_log_options=default_log_options,
        )

    def close(self) -> None:
        """End the launcher process and close the database. Idempotent."""
        self._components.close()

    @property
    def data_root(self) -> DataRoot:
        """Where everything of this engine is on disk, and its names on the host."""
        return self._components.data_root

    # A facet is its module: loaded when it is first used, so that `ps` pays for no build.

    @component
    def containers(self) -> LocalContainers:
        """Create, run, inspect and remove containers."""
        from dockmagic_runtime.engine.containers import LocalContainers

        return LocalContainers(self._components)

    @component
    def images(self) -> LocalImages:
        """Pull, build, tag, push, load, save and analyze images."""
        from dockmagic_runtime.engine.images import LocalImages

        return LocalImages(self._components)

    @component
    def networks(self) -> LocalNetworks:
        """Create and connect networks, trace the way of packets."""
        from dockmagic_runtime.engine.networks import LocalNetworks

        return LocalNetworks(self._components)

    @component
    def volumes(self) -> LocalVolumes:
        """Create, list and remove volumes."""
        from dockmagic_runtime.engine.volumes import LocalVolumes

        return LocalVolumes(self._components)

    @component
    def manifests(self) -> LocalManifests:
        """Put manifest lists together and push them."""
        from dockmagic_runtime.engine.manifests import LocalManifests

        return LocalManifests(self._components)

    @component
    def builds(self) -> LocalBuilds:
        """Explain builds, and prune their cache."""
        from dockmagic_runtime.engine.builds import LocalBuilds

        return LocalBuilds(self._components)

    @component
    def system(self) -> LocalSystem:
        """Facts, events, disk usage and registry credentials."""
        from dockmagic_runtime.engine.system import LocalSystem

        return LocalSystem(self._components)
