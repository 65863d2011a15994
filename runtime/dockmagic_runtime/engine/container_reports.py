"""The part of `engine.containers` that observes containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.engine.facet import Facet, of_container
from dockmagic_runtime.errors import EngineBug

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import LogStreamApi, ProcessApi
    from dockmagic_runtime.model.container import LogLine, ProcessTable, Stats
    from dockmagic_runtime.model.explanation import Explanation


class LocalContainerReports(Facet):
    """JSON, output, processes, use of resources and start plans of containers."""

    @of_container
    def inspect(self, name: str) -> dict[str, Any]:
        """Returns Docker's JSON of a container.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
        """
        from dockmagic_runtime.containers.inspect import inspect

        store = self._components.containers
        return inspect.inspect(store, store.find(name))

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float = 0,
        until: float = 0,
    ) -> Iterator[LogLine]:
        """Yields the output that a container has logged, a line at a time.

        A line of more than 64 MiB comes in parts; with `follow`, one of more than 1 MiB does, so
        that what is being written is seen.

        Args:
            name: Name, id, or unique prefix of an id.
            follow: Whether to wait for further output until the container ends.
            tail: The number of last lines to begin with. None: all.
            since: Seconds since the epoch; earlier output is left out. 0: no limit.
            until: Seconds since the epoch; later output is left out. 0: no limit.

        Raises:
            NotFound: No such container.
            Unsupported: Its log driver keeps nothing.
        """
        from dockmagic_runtime.containers.logs import read

        store = self._components.containers
        selection = read.Selection(follow=follow, tail=tail, since=since, until=until)
        return read.lines(store, store.find(name), selection)

    def log_stream(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float = 0,
        until: float = 0,
        timestamps: bool = False,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> LogStreamApi:
        """Reads the output that a container has logged as bytes, for logs of any size.

        Args:
            name: Name, id, or unique prefix of an id.
            follow: Whether to wait for further output until the container ends.
            tail: The number of last lines to begin with. None: all.
            since: Seconds since the epoch; earlier output is left out. 0: no limit.
            until: Seconds since the epoch; later output is left out. 0: no limit.
            timestamps: Whether each line begins with its time.
            is_cancelled: Called several times a second while it follows, which ends when this
                returns True.

        Raises:
            NotFound: No such container.
            Unsupported: Its log driver keeps nothing.
        """
        from dockmagic_runtime.containers.logs import read

        store = self._components.containers
        selection = read.Selection(follow=follow, tail=tail, since=since, until=until)
        return read.stream(
            store,
            store.find(name),
            selection,
            timestamps=timestamps,
            is_cancelled=is_cancelled,
        )

    @of_container
    def explain(self, name: str) -> Explanation:
        """Returns the operations of a container's last start, with the time that each took.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
            Conflict: It was never started.
        """
        from dockmagic_runtime.containers.plan import explain

        store = self._components.containers
        return explain.explain(store, store.find(name))

    def explain_process(self, process: ProcessApi) -> Explanation:
        """Returns the operations that started a process, also after its end.

        Args:
            process: What `run` or `start_attached` of this engine returned.
        """
        return explain_process(process)

    @of_container
    def top(self, name: str, *words: str) -> ProcessTable:
        """Returns the processes of a running container.

        Args:
            name: Name, id, or unique prefix of an id.
            *words: Options of ps(1). Default: `-ef`.

        Raises:
            NotFound: No such container.
            Conflict: It does not run.
            InvalidInput: An option that ps(1) does not know.
        """
        from dockmagic_runtime.containers.inspect.top import top

        own = self._components
        return top(own.containers, own.cgroups, own.containers.find(name), words)

    @of_container
    def stats(self, name: str) -> Stats:
        """Returns one sample of a running container's CPU, memory, network and disk use.

        Blocks for a tenth of a second when there is no earlier sample.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such container.
            Conflict: It does not run.
        """
        return self._components.sampler.sample(self._components.containers.find(name))


def explain_process(process: ProcessApi) -> Explanation:
    """The operations that started a process of this engine."""
    from dockmagic_runtime.containers.plan import explain
    from dockmagic_runtime.supervisor.engine_client import ContainerProcess

    if not isinstance(process, ContainerProcess) or process.plan is None:
        raise EngineBug("only what this engine has started can be explained")
    return explain.explanation(process.id, "", process.plan, process.trace)
