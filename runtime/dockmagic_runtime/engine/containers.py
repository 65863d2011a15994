"""`engine.containers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from dockmagic_runtime.containers.store import describe
from dockmagic_runtime.engine.facet import Facet, freeing
from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Resources

if TYPE_CHECKING:
    from dockmagic_runtime.containers.copy.copy import TarStream
    from dockmagic_runtime.containers.record import Record
    from dockmagic_runtime.images.compression import Readable
    from dockmagic_runtime.model.commit import CommitSpec
    from dockmagic_runtime.model.container import (
        Change,
        Container,
        LogLine,
        PathStat,
        ProcessTable,
        RestartPolicy,
        Stats,
    )
    from dockmagic_runtime.model.explanation import Explanation
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.image import Image
    from dockmagic_runtime.model.usage import ContainerSize, Pruned
    from dockmagic_runtime.supervisor.engine_client import ContainerProcess


class LocalContainers(Facet):
    """The containers of one data root."""

    def create(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        **fields: Any,
    ) -> Container:
        """A new container of an image that is present. Raises NotFound, Conflict."""
        return self._describe(self._create(_spec(image, command, fields)))

    def _create(self, spec: ContainerSpec) -> Record:
        from dockmagic_runtime.containers.lifecycle import create

        own = self._components
        return create.create(own.starter, spec, own.images.resolve(spec.image), own.images.resolve)

    def start(self, name: str) -> Container:
        """Start it in the background. Does nothing to one that runs."""
        own = self._components
        record = own.containers.find(name)
        if not self._describe(record).status.is_alive:
            own.starter.start(record, owned=False).detach()
        return self._describe(record)

    def start_attached(self, name: str, *, owned: bool = True) -> ContainerProcess:
        """Start it and be attached from the first byte; if `owned`, it ends with this process."""
        own = self._components
        return own.starter.start(own.containers.find(name), owned=owned, attached=True)

    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[False] = False,
        **fields: Any,
    ) -> ContainerProcess: ...
    @overload
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: Literal[True],
        **fields: Any,
    ) -> Container: ...
    def run(
        self,
        image: str | ContainerSpec,
        command: str | Sequence[str] | None = None,
        *,
        detach: bool = False,
        **fields: Any,
    ) -> ContainerProcess | Container:
        """Create and start: attached, or in the background if `detach`."""
        record = self._create(_spec(image, command, fields))
        process = self._start_new(record, owned=not detach)
        if not detach:
            return process
        process.detach()
        return self._describe(record)

    def _start_new(self, record: Record, *, owned: bool) -> ContainerProcess:
        """A container of `--rm` that could not start goes away again, as with Docker."""
        try:
            return self._components.starter.start(record, owned=owned)
        except BaseException:
            if record.spec.auto_remove:
                self._remove(record, force=True, volumes=True)
            raise

    def attach(self, name: str) -> ContainerProcess:
        """Join the streams of a container that runs. Raises Conflict."""
        from dockmagic_runtime.containers.lifecycle.attach import attach

        store = self._components.containers
        return attach(store, store.find(name))

    def list(self, *, all: bool = False, filters: Filters | None = None) -> tuple[Container, ...]:
        """Newest first; without `all`, those that run. Docker's filters, with lists of values."""
        from dockmagic_runtime.containers.ps import listing

        own = self._components
        return listing.find(own.containers, own.images, filters, all=all)

    def get(self, name: str) -> Container:
        """By name, id or unique prefix of an id. Raises NotFound."""
        return self._describe(self._components.containers.find(name))

    def _describe(self, record: Record) -> Container:
        return describe(record, self._components.containers.state(record.id))

    def inspect(self, name: str) -> dict[str, Any]:
        """Docker's JSON of a container."""
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
        """What it has written, and with `follow` what it writes until it ends."""
        from dockmagic_runtime.containers.inspect import logs

        store = self._components.containers
        record = store.find(name)
        return logs.logs(store, record, follow=follow, tail=tail, since=since, until=until)

    def exec(
        self, name: str, command: str | Sequence[str] | ExecSpec, **fields: Any
    ) -> ContainerProcess:
        """One more process in a container that runs."""
        from dockmagic_runtime.containers.lifecycle.exec import execute

        store = self._components.containers
        spec = _exec_spec(command, fields)
        return execute(store, store.find(name), spec)

    @freeing
    def stop(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        """Ask it to end, kill it after `timeout` seconds (default: its own, else 10)."""
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.stop(store, store.find(name), timeout=timeout, signal=signal)

    def restart(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        """Stop it, if it runs, and start it."""
        from dockmagic_runtime.containers.lifecycle.restart import restart

        own = self._components
        restart(own.starter, own.containers.find(name), timeout=timeout, signal=signal)

    def update(
        self,
        name: str,
        resources: Resources | None = None,
        restart: RestartPolicy | None = None,
    ) -> tuple[str, ...]:
        """Change limits and restart policy, also while it runs; what is not said stays.

        Returns Docker's warnings about what this host cannot limit. Raises InvalidInput.
        """
        from dockmagic_runtime.containers.lifecycle.update import update

        own = self._components
        record = own.containers.find(name)
        return update(own.starter, record, resources or Resources(), restart)

    @freeing
    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal to its first process."""
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.kill(store, store.find(name), signal)

    def wait(self, name: str) -> int:
        """Block until it does not run; its exit code."""
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        return stop.wait(store, store.find(name))

    def pause(self, name: str) -> None:
        """Freeze all its processes."""
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.set_paused(store, store.find(name), paused=True)

    def unpause(self, name: str) -> None:
        """Let them go on."""
        from dockmagic_runtime.containers.lifecycle import stop

        store = self._components.containers
        stop.set_paused(store, store.find(name), paused=False)

    @freeing
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it; `force` kills it first, `volumes` takes its anonymous volumes along."""
        record = self._components.containers.find(name)
        self._remove(record, force=force, volumes=volumes)

    def _remove(self, record: Record, *, force: bool, volumes: bool) -> None:
        from dockmagic_runtime.containers.lifecycle.remove import remove

        own = self._components
        remove(own.containers, own.volumes, record, force=force, with_volumes=volumes)

    def remove_link(self, name: str) -> None:
        """Forget the link `container/alias`; the container that it leads to stays."""
        from dockmagic_runtime.containers.lifecycle import links

        links.remove(self._components.containers, name)

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name. Raises Conflict when somebody has that name."""
        from dockmagic_runtime.containers.lifecycle.rename import rename

        store = self._components.containers
        rename(store, store.find(name), new_name)

    def diff(self, name: str) -> tuple[Change, ...]:
        """What its writable layer changes of its image, by path."""
        from dockmagic_runtime.containers.copy.changes import changes

        own = self._components
        record = own.containers.find(name)
        upper = f"{own.containers.directory(record.id)}/upper"
        return changes(upper, own.starter.lowers(record.layers))

    def explain(self, name: str) -> Explanation:
        """The operations of its last start, each with the time it took. Raises Conflict."""
        from dockmagic_runtime.containers.plan import explain

        store = self._components.containers
        return explain.explain(store, store.find(name))

    def explain_process(self, process: ContainerProcess) -> Explanation:
        """The same for a process that `run` returned, also when it has ended."""
        return explain_process(process)

    def path_stat(self, name: str, path: str) -> PathStat:
        """What a path in a container is, a link at its end not followed. Raises NotFound."""
        from dockmagic_runtime.containers.copy import copy

        own = self._components
        return copy.path_stat(own.starter, own.containers.find(name), path)

    def get_archive(
        self, name: str, path: str, *, follow_link: bool = False, member: str = ""
    ) -> tuple[PathStat, TarStream]:
        """A tar of a path in a container, running or not. Close the stream, or read it to the end.

        `member` is what the archive calls it, by default the last part of the path.
        """
        from dockmagic_runtime.containers.copy import copy

        own = self._components
        record = own.containers.find(name)
        return copy.copy_out(own.starter, record, path, follow_link=follow_link, member=member)

    def put_archive(
        self,
        name: str,
        path: str,
        tar: Readable,
        *,
        copy_uid_gid: bool = False,
        no_overwrite_dir_non_dir: bool = False,
    ) -> None:
        """Unpack a tar, compressed or not, in a directory of a container. Raises Conflict."""
        from dockmagic_runtime.containers.copy import copy

        own = self._components
        copy.copy_in(
            own.starter,
            own.containers.find(name),
            path,
            tar,
            copy_uid_gid=copy_uid_gid,
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
        )

    def export(self, name: str) -> TarStream:
        """A container's files as one tar, without volumes. Close it, or read it to the end."""
        from dockmagic_runtime.containers.copy.export import export

        own = self._components
        return export(own.starter, own.containers.find(name))

    def commit(self, name: str, spec: CommitSpec | None = None) -> Image:
        """An image of what a container has changed. Raises InvalidInput."""
        from dockmagic_runtime.builder.plan.config_changes import apply_changes
        from dockmagic_runtime.containers.copy.commit import commit
        from dockmagic_runtime.model.commit import CommitSpec

        own, spec = self._components, spec or CommitSpec()
        record = own.containers.find(name)
        with own.layers.leasing():
            return commit(own.containers, own.images, own.layers, record, spec, apply_changes)

    def top(self, name: str, *words: str) -> ProcessTable:
        """Its processes; `words` are options of ps(1), by default -ef. Raises Conflict."""
        from dockmagic_runtime.containers.inspect.top import top

        own = self._components
        return top(own.containers, own.cgroups, own.containers.find(name), words)

    def size(self, name: str) -> ContainerSize:
        """What its own layer takes, and that with its image's."""
        from dockmagic_runtime.containers.sizes import size

        own = self._components
        return size(own.containers, own.layers, own.containers.find(name))

    def stats(self, name: str) -> Stats:
        """One sample of a container that runs."""
        return self._components.sampler.sample(self._components.containers.find(name))

    @freeing
    def prune(self, filters: Filters | None = None) -> Pruned:
        """Remove those that do not run. Filters: until, label, label!."""
        from dockmagic_runtime.containers.lifecycle.prune import prune

        own = self._components
        return prune(own.containers, own.volumes, filters or {})


def explain_process(process: ContainerProcess) -> Explanation:
    """The operations that started a process of this engine."""
    from dockmagic_runtime.containers.plan import explain

    if process.plan is None:
        raise EngineBug("only what this engine has started can be explained")
    return explain.explanation(process.id, "", process.plan, process.trace)


def _spec(
    image: str | ContainerSpec, command: str | Sequence[str] | None, fields: dict[str, Any]
) -> ContainerSpec:
    if isinstance(image, ContainerSpec):
        return image
    return ContainerSpec(image=image, command=command, **fields)  # type: ignore[arg-type]  # converted


def _exec_spec(command: str | Sequence[str] | ExecSpec, fields: dict[str, Any]) -> ExecSpec:
    if isinstance(command, ExecSpec):
        return command
    return ExecSpec(command=command, **fields)  # type: ignore[arg-type]  # converted
