"""`Engine`: the façade. It resolves names, joins rooms and takes locks; it owns no mechanism."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.containers.copy.changes import changes
from dockmagic_runtime.containers.events import journal
from dockmagic_runtime.containers.inspect import info, inspect, logs
from dockmagic_runtime.containers.lifecycle import create, links, remove, stop
from dockmagic_runtime.containers.lifecycle.attach import attach
from dockmagic_runtime.containers.lifecycle.exec import execute
from dockmagic_runtime.containers.lifecycle.rename import rename
from dockmagic_runtime.containers.lifecycle.restart import restart as restart_container
from dockmagic_runtime.containers.lifecycle.update import update as update_container
from dockmagic_runtime.containers.plan import explain
from dockmagic_runtime.containers.ps import listing
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import describe
from dockmagic_runtime.distribution.verbs import ImageVerbs
from dockmagic_runtime.engine.components import EngineComponents
from dockmagic_runtime.engine.network_verbs import NetworkVerbs
from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.model.build import BuildEvent, BuildRequest
from dockmagic_runtime.model.commit import CommitSpec, ImportSpec
from dockmagic_runtime.model.container import (
    Change,
    Container,
    ContainerSpec,
    ExecSpec,
    LogLine,
    PathStat,
    ProcessTable,
    Resources,
    RestartPolicy,
    Stats,
)
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.explanation import BuildExplanation, Explanation
from dockmagic_runtime.model.filters import Filters
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.outline import BuildOutline
from dockmagic_runtime.model.usage import CacheBounds, ContainerSize, DiskUsage, Pruned
from dockmagic_runtime.model.volume import PrunedVolumes, Volume
from dockmagic_runtime.supervisor.engine_client import ContainerProcess

if TYPE_CHECKING:
    from dockmagic_runtime.containers.copy.copy import TarStream
    from dockmagic_runtime.images.compression import Readable


class Engine(EngineComponents, ImageVerbs, NetworkVerbs):
    """One Docker area, used from this process. Thread-safe; any number may share an area.

    `root` is the area's directory (default: `$DOCKMAGIC_ROOT`, then the system's or the user's
    place); `catalogue` is "when-unreachable", "never" or "always". A context manager: `close`
    ends the launcher; containers that were started detached go on.
    """

    # ---------------------------------------------------------------- images

    def remove_image(self, reference: str, *, force: bool = False) -> tuple[str, ...]:
        """Untag, and delete what nothing needs any more; Docker's lines about it."""
        containers = self.containers(all=True)
        used = {one.image_id: one.id for one in containers}
        alive = {one.image_id for one in containers if one.status.is_alive}
        return self._images.remove(reference, force=force, used_by=used, alive=alive)

    def prune_images(self, filters: Filters | None = None) -> Pruned:
        """Remove unused images without a name; with the filter dangling=false every unused one."""
        from dockmagic_runtime.containers.lifecycle.prune import prune_images

        return prune_images(self._containers, self._images, self._layers, filters or {})

    def prune_build_cache(
        self,
        *,
        unused_only: bool = False,
        before: float | None = None,
        bounds: CacheBounds | None = None,
    ) -> int:
        """Forget what builds have made, or only what no image has of it; the bytes that freed.

        `before` spares what was used since that time, `bounds` what may stay; only without both
        the cache mounts go too.
        """
        until = float("inf") if before is None else before
        freed = self._builder.prune_cache(unused_only=unused_only, before=until, bounds=bounds)
        if before is None and bounds is None:
            freed += self._builder.prune_cache_mounts()
        return freed

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        """Build an image; yields events, the last a `BuildDone`."""
        with self._layers.leasing():
            yield from self._builder.build(request)

    def build_outline(self, request: BuildRequest) -> BuildOutline:
        """What its Dockerfile offers and takes; nothing is built."""
        return self._builder.outline(request)

    def explain_build(self, reference: str) -> BuildExplanation:
        """How an image was built, and why each step was or was not in the cache."""
        return self._builder.explain(reference)

    def failed_build(self) -> Image:
        """What the last RUN that failed has left, to be entered. Raises NotFound."""
        return self._builder.failed()

    # --------------------------------------------------------------- volumes

    def create_volume(
        self,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        driver_options: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume of that name, made if it is missing; without a name a new anonymous one."""
        return self._volumes.create(
            name, driver=driver, labels=labels, driver_options=driver_options
        )

    def volumes(self, filters: Filters | None = None) -> tuple[Volume, ...]:
        """By name; filters are dangling, driver, label and name, each with a list of values."""
        return self._volumes.find(filters)

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """Docker's JSON of a volume. Raises NotFound."""
        return self._volumes.inspect(name)

    def remove_volume(self, name: str, *, force: bool = False) -> None:
        """Remove it with its data. Raises Conflict in use; NotFound, unless `force`."""
        self._volumes.remove(name, force=force)

    def prune_volumes(self, filters: Filters | None = None) -> PrunedVolumes:
        """Remove unused anonymous volumes, with the filter all=true every unused one."""
        return self._volumes.prune(filters)

    # ------------------------------------------------------------ containers

    def create(self, spec: ContainerSpec) -> Container:
        """A new container of an image that is present. Raises NotFound, Conflict."""
        return self._describe(self._create(spec))

    def _create(self, spec: ContainerSpec) -> Record:
        return create.create(self._starter, spec, self.image(spec.image), self.image)

    def start(self, name: str) -> Container:
        """Start it in the background. Does nothing to one that runs."""
        record = self._containers.find(name)
        if not self._describe(record).status.is_alive:
            self._starter.start(record, owned=False).detach()
        return self._describe(record)

    def attach_start(self, name: str, *, owned: bool = True) -> ContainerProcess:
        """Start it and be attached from the first byte; if `owned`, it ends with this process."""
        return self._starter.start(self._containers.find(name), owned=owned, attached=True)

    def run(self, spec: ContainerSpec) -> ContainerProcess:
        """Create and start, attached."""
        return self._start_new(self._create(spec), owned=True)

    def run_detached(self, spec: ContainerSpec) -> Container:
        """Create and start in the background."""
        record = self._create(spec)
        self._start_new(record, owned=False).detach()
        return self._describe(record)

    def _start_new(self, record: Record, *, owned: bool) -> ContainerProcess:
        """A container of `--rm` that could not start goes away again, as with Docker."""
        try:
            return self._starter.start(record, owned=owned)
        except BaseException:
            if record.spec.auto_remove:
                remove.remove(
                    self._containers, self._volumes, record, force=True, with_volumes=True
                )
            raise

    def attach(self, name: str) -> ContainerProcess:
        """Join the streams of a container that runs. Raises Conflict."""
        return attach(self._containers, self._containers.find(name))

    def containers(
        self, *, all: bool = False, filters: Filters | None = None
    ) -> tuple[Container, ...]:
        """Newest first; without `all`, those that run. Docker's filters, with lists of values."""
        return listing.find(self._containers, self._images, filters, all=all)

    def container(self, name: str) -> Container:
        """By name, id or unique prefix of an id. Raises NotFound."""
        return self._describe(self._containers.find(name))

    def _describe(self, record: Record) -> Container:
        return describe(record, self._containers.state(record.id))

    def inspect(self, name: str) -> dict[str, Any]:
        """Docker's JSON of a container."""
        return inspect.inspect(self._containers, self._containers.find(name))

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
        record = self._containers.find(name)
        return logs.logs(
            self._containers, record, follow=follow, tail=tail, since=since, until=until
        )

    def exec(self, name: str, spec: ExecSpec) -> ContainerProcess:
        """One more process in a container that runs."""
        return execute(self._containers, self._containers.find(name), spec)

    def stop(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        """Ask it to end, kill it after `timeout` seconds (default: its own, else 10)."""
        stop.stop(self._containers, self._containers.find(name), timeout=timeout, signal=signal)

    def restart(self, name: str, *, timeout: float | None = None, signal: str = "") -> None:
        """Stop it, if it runs, and start it."""
        record = self._containers.find(name)
        restart_container(self._starter, record, timeout=timeout, signal=signal)

    def update(
        self,
        name: str,
        resources: Resources | None = None,
        restart: RestartPolicy | None = None,
    ) -> tuple[str, ...]:
        """Change limits and restart policy, also while it runs; what is not said stays.

        Returns Docker's warnings about what this host cannot limit. Raises InvalidInput.
        """
        record = self._containers.find(name)
        return update_container(self._starter, record, resources or Resources(), restart)

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal to its first process."""
        stop.kill(self._containers, self._containers.find(name), signal)

    def wait(self, name: str) -> int:
        """Block until it does not run; its exit code."""
        return stop.wait(self._containers, self._containers.find(name))

    def pause(self, name: str) -> None:
        """Freeze all its processes."""
        stop.set_paused(self._containers, self._containers.find(name), paused=True)

    def unpause(self, name: str) -> None:
        """Let them go on."""
        stop.set_paused(self._containers, self._containers.find(name), paused=False)

    def remove_link(self, name: str) -> None:
        """Forget the link `container/alias`; the container that it leads to stays."""
        links.remove(self._containers, name)

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it; `force` kills it first, `volumes` takes its anonymous volumes along."""
        remove.remove(
            self._containers,
            self._volumes,
            self._containers.find(name),
            force=force,
            with_volumes=volumes,
        )

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name. Raises Conflict when somebody has that name."""
        rename(self._containers, self._containers.find(name), new_name)

    def diff(self, name: str) -> tuple[Change, ...]:
        """What its writable layer changes of its image, by path."""
        record = self._containers.find(name)
        upper = self._containers.upper(record.id)
        return changes(upper, self._starter.lowers(record.layers))

    def explain(self, name: str) -> Explanation:
        """The operations of its last start, each with the time it took. Raises Conflict."""
        return explain.explain(self._containers, self._containers.find(name))

    def explain_process(self, process: ContainerProcess) -> Explanation:
        """The same for a process that `run` returned, also when it has ended."""
        if process.plan is None:
            raise EngineBug("only what this engine has started can be explained")
        return explain.explanation(process.id, "", process.plan, process.trace)

    def trace_starts(self, tell: Callable[[Explanation], None]) -> None:
        """Be told how each program came to run that this engine starts from now on, steps of a
        build too; from threads as well."""
        self._launcher.on_start = lambda process: tell(self.explain_process(process))

    def path_stat(self, name: str, path: str) -> PathStat:
        """What a path in a container is, a link at its end not followed. Raises NotFound."""
        from dockmagic_runtime.containers.copy import copy

        return copy.path_stat(self._starter, self._containers.find(name), path)

    def copy_out(
        self, name: str, path: str, *, follow_link: bool = False, member: str = ""
    ) -> tuple[PathStat, TarStream]:
        """A tar of a path in a container, running or not. Close the stream, or read it to the end.

        `member` is what the archive calls it, by default the last part of the path.
        """
        from dockmagic_runtime.containers.copy import copy

        record = self._containers.find(name)
        return copy.copy_out(self._starter, record, path, follow_link=follow_link, member=member)

    def copy_in(
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

        copy.copy_in(
            self._starter,
            self._containers.find(name),
            path,
            tar,
            copy_uid_gid=copy_uid_gid,
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
        )

    def export(self, name: str) -> TarStream:
        """A container's files as one tar, without volumes. Close it, or read it to the end."""
        from dockmagic_runtime.containers.copy.export import export

        return export(self._starter, self._containers.find(name))

    def commit(self, name: str, spec: CommitSpec | None = None) -> Image:
        """An image of what a container has changed. Raises InvalidInput."""
        from dockmagic_runtime.builder.plan.config_changes import apply_changes
        from dockmagic_runtime.containers.copy.commit import commit

        record, spec = self._containers.find(name), spec or CommitSpec()
        with self._layers.leasing():
            return commit(self._containers, self._images, self._layers, record, spec, apply_changes)

    def import_image(self, tar: Readable, spec: ImportSpec | None = None) -> Image:
        """An image with the contents of a tar, compressed or not, as its only layer."""
        from dockmagic_runtime.builder.plan.config_changes import apply_changes
        from dockmagic_runtime.images.create import import_image

        spec = spec or ImportSpec()
        with self._layers.leasing():
            return import_image(self._images, self._layers, tar, spec, apply_changes)

    def top(self, name: str, *words: str) -> ProcessTable:
        """Its processes; `words` are options of ps(1), by default -ef. Raises Conflict."""
        from dockmagic_runtime.containers.inspect.top import top

        return top(self._containers, self._cgroups, self._containers.find(name), words)

    def container_size(self, name: str) -> ContainerSize:
        """What its own layer takes, and that with its image's."""
        from dockmagic_runtime.containers.sizes import size

        return size(self._containers, self._layers, self._containers.find(name))

    def prune_containers(self, filters: Filters | None = None) -> Pruned:
        """Remove those that do not run. Filters: until, label, label!."""
        from dockmagic_runtime.containers.lifecycle.prune import prune

        return prune(self._containers, self._volumes, filters or {})

    def disk_usage(self) -> DiskUsage:
        """What images, containers, volumes and the build cache take."""
        from dockmagic_runtime.builder.cache.store import usage
        from dockmagic_runtime.containers.inspect.usage import disk_usage

        cache = usage(self._database)
        return disk_usage(self._containers, self._images, self._volumes, cache)

    def stats(self, name: str) -> Stats:
        """One sample of a container that runs."""
        return self._sampler.sample(self._containers.find(name))

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
        root = str(self.data_root.root)
        return journal.read(root, since=since, until=until, filters=filters or {}, follow=follow)

    def info(self) -> dict[str, Any]:
        """Docker's facts about engine and machine, with warnings where something will not work."""
        warning = self._networks.warning()
        return info.info(
            self._containers,
            self._cgroups,
            images=len(self._images.list(all=True)),
            warnings=[warning] if warning else [],
        )
