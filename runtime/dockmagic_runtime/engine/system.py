"""`engine.system`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.engine.facet import Facet, freeing

if TYPE_CHECKING:
    from dockmagic_runtime.model.docker_event import Event
    from dockmagic_runtime.model.explanation import Explanation
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.usage import DiskUsage


class LocalSystem(Facet):
    """The engine as a whole, and its place on the host."""

    def info(self) -> dict[str, Any]:
        """Docker's facts about engine and machine, with warnings where something will not work."""
        from dockmagic_runtime.containers.inspect import info

        own = self._components
        warning = own.networks.warning()
        return info.info(
            own.containers,
            own.cgroups,
            images=len(own.images.list(all=True)),
            warnings=[warning] if warning else [],
        )

    def events(
        self,
        *,
        since: float = 0,
        until: float = 0,
        filters: Filters | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """What happened in that span of time (seconds since the epoch), and with `follow` what
        happens until `until`; then, without `since`, nothing from before this call.

        Filters: type, event, container, image, label, volume, network, each a list of values.
        """
        from dockmagic_runtime.containers.events import journal

        root = str(self._components.data_root.root)
        return journal.read(root, since=since, until=until, filters=filters or {}, follow=follow)

    def df(self) -> DiskUsage:
        """What images, containers, volumes and the build cache take."""
        from dockmagic_runtime.builder.cache.store import usage
        from dockmagic_runtime.containers.inspect.usage import disk_usage

        own = self._components
        return disk_usage(own.containers, own.images, own.volumes, usage(own.database))

    def login(self, server: str, username: str, password: str) -> Path | None:
        """Keep credentials that the registry accepts; the file, None if a helper keeps them.

        Raises AccessDenied.
        """
        from dockmagic_runtime.registry.login import login

        return login(server, username, password)

    def logout(self, server: str) -> bool:
        """Forget the credentials of a registry; whether there were any."""
        from dockmagic_runtime.registry.login import logout

        return logout(server)

    def trace_starts(self, report: Callable[[Explanation], None]) -> None:
        """Report how each process came to run that this engine starts from now on, those of build
        steps too; from other threads as well."""
        from dockmagic_runtime.engine.containers import explain_process

        self._components.launcher.on_start = lambda process: report(explain_process(process))

    @freeing
    def dismantle(self) -> None:
        """Take the area's bridge, table and cgroups off the host, when nothing of it runs.

        They come back with the next start. Raises Conflict while a container is alive. If there
        are no containers at all, the run directory goes when the engine is closed.
        """
        self._components.dismantle()

    @freeing
    def uninstall(self) -> None:
        """Take from the host what this area has put there: containers, network, control groups.

        Images and volumes stay on disk, and what a later call needs comes back by itself.
        """
        from dockmagic_runtime.containers.lifecycle.remove import remove

        own = self._components
        for record, _ in own.containers.all():
            remove(own.containers, own.volumes, record, force=True, with_volumes=False)
        own.dismantle()
