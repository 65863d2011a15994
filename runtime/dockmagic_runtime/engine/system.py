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
    from dockmagic_runtime.model.repair import Repair
    from dockmagic_runtime.model.usage import DiskUsage


class LocalSystem(Facet):
    """The engine as a whole, and its place on the host."""

    def info(self) -> dict[str, Any]:
        """Returns Docker's facts about engine and machine, with warnings about what cannot work."""
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
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Yields events in the order in which they happened.

        Args:
            since: Seconds since the epoch. 0: from the beginning, or with `follow` from now.
            until: Seconds since the epoch. 0: no end.
            filters: `type`, `event`, `container`, `image`, `label`, `volume` and `network`, each
                with a list of values.
            follow: Whether to wait for further events until `until`.
            is_cancelled: Called several times a second; the iterator ends when it returns True.

        Raises:
            InvalidInput: An unknown filter.
        """
        from dockmagic_runtime.containers.events import journal

        self._components.recover()  # it emits the events of containers that were killed
        root = self._components.data_root.path
        return journal.read(
            root,
            since=since,
            until=until,
            filters=filters or {},
            follow=follow,
            is_cancelled=is_cancelled,
        )

    def df(self) -> DiskUsage:
        """Returns the bytes that images, containers, volumes and the build cache take."""
        from dockmagic_runtime.builder.cache.store import usage
        from dockmagic_runtime.containers.inspect.usage import disk_usage

        own = self._components
        return disk_usage(own.containers, own.images, own.volumes, usage(own.database))

    def login(self, server: str, username: str, password: str) -> Path | None:
        """Keeps credentials that a registry accepts.

        Args:
            server: The registry's host, with its port if it has one.
            username: The user.
            password: The password or token.

        Returns:
            The file that has them now, or None if a credential helper keeps them.

        Raises:
            AccessDenied: The registry does not accept them.
            RegistryUnreachable: No answer.
        """
        from dockmagic_runtime.registry.login import login

        return login(server, username, password)

    def check_login(self, server: str, username: str, password: str) -> None:
        """Asks a registry whether it accepts credentials, and keeps nothing.

        Args:
            server: The registry's host, with its port if it has one.
            username: The user.
            password: The password or token.

        Raises:
            AccessDenied: The registry does not accept them.
            RegistryUnreachable: No answer.
        """
        from dockmagic_runtime.registry.login import check

        check(server, username, password)

    def logout(self, server: str) -> bool:
        """Removes the credentials of a registry.

        Args:
            server: The registry's host, with its port if it has one.

        Returns:
            Whether there were any.
        """
        from dockmagic_runtime.registry.login import logout

        return logout(server)

    def trace_starts(self, report: Callable[[Explanation], None]) -> None:
        """Reports the operations of every start from now on, those of build steps too.

        Args:
            report: Called after each start, from any thread.
        """
        from dockmagic_runtime.engine.container_reports import explain_process

        self._components.launcher.on_start = lambda process: report(explain_process(process))

    def repair(self) -> Repair:
        """Rebuilds a damaged database from the files beside it; containers that run go on.

        Returns:
            What it has come to. Of an engine opened with `repair=True`, the repair of its opening.

        Raises:
            OSError: The disk is full or read-only.
        """
        own = self._components
        report, own.last_repair = own.last_repair, None
        return report or own.repair()

    def recover(self) -> None:
        """Takes back what killed processes have left: leases, endpoints, directories, cgroups.

        Containers whose supervisor was killed get another one, or are recorded as ended. The
        first start of an engine does this anyway, and so does whatever lists events or changes
        networks; a lost container is recovered by any call about it.
        """
        self._components.recover(again=True)

    @freeing
    def dismantle(self) -> None:
        """Removes the data root's bridges, nftables tables and control groups from the host.

        The next start creates them again. If there are no containers, the run directory is removed
        when the engine is closed.

        Raises:
            Conflict: A container runs.
        """
        self._components.recover()
        self._components.dismantle()

    @freeing
    def uninstall(self) -> None:
        """Removes all containers, then does what `dismantle` does. Images and volumes stay."""
        from dockmagic_runtime.containers.lifecycle.remove import remove

        own = self._components
        own.recover()
        for record, _ in own.containers.all():
            remove(own.containers, own.volumes, record, force=True, with_volumes=False)
        own.dismantle()
