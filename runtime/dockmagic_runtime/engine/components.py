"""`EngineComponents`: the stores and services of an engine, opened, connected and closed."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.containers.inspect.stats import Sampler
from dockmagic_runtime.containers.lifecycle.recover import Reconciler
from dockmagic_runtime.containers.lifecycle.remove import remove
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.progress import PullDone, PullEvent, PullStatus
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY, ImageReference, split_term
from dockmagic_runtime.model.search import SearchResult
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.supervisor.launcher_client import LauncherClient
from dockmagic_runtime.volumes.store import VolumeStore

if TYPE_CHECKING:
    from dockmagic_runtime.builder import Builder
    from dockmagic_runtime.catalogue import Catalogue
    from dockmagic_runtime.distribution.pull import Puller


class EngineComponents(Closing):
    """The rooms of one Docker area, for one process. A context manager."""

    def __init__(
        self, root: Path | str | None = None, *, catalogue: str = "when-unreachable"
    ) -> None:
        _require_host()
        self.data_root = DataRoot.at(root)
        self.data_root.prepare()
        self._database = Database(self.data_root.database)
        self._layers = LayerStore(self.data_root, self._database)
        self._images = ImageStore(self.data_root, self._database, self._layers)
        self._volumes = VolumeStore(self.data_root, self._database)
        self._networks = Networks(self.data_root, self._database)
        self._launcher = LauncherClient(self.data_root.cgroup_parent)
        self._cgroups = detect(Kernel())
        self._containers = ContainerStore(self.data_root, self._database)
        self._starter = Starter(
            self.data_root,
            self._containers,
            self._layers,
            self._volumes,
            self._networks,
            self._launcher,
            self._cgroups,
        )
        self._sampler = Sampler(self._containers, self._cgroups)
        self._dismantled = False
        self._catalogue_policy = catalogue
        reconciler = Reconciler(self._starter)
        self._containers.on_lost = reconciler.attend
        reconciler.run()

    def close(self) -> None:
        """End the launcher and close the database. Idempotent."""
        self._launcher.close()
        self._networks.close()
        if self._dismantled:
            self._leave_run()
        self._database.close()

    def uninstall(self) -> None:
        """Take from the host what this area has put there: containers, network, control groups.

        Images and volumes stay on disk, and what a later call needs comes back by itself.
        """
        for record, _ in self._containers.all():
            remove(self._containers, self._volumes, record, force=True, with_volumes=False)
        self.dismantle()

    def dismantle(self) -> None:
        """Take the area's bridge, table and cgroups off the host, when nothing of it runs.

        They come back with the next start. Raises Conflict while a container is alive. If there
        are no containers at all, the run directory goes when the engine is closed.
        """
        alive = [one.name for one, now in self._containers.all() if Status(now.status).is_alive]
        if alive:
            raise Conflict(f"{', '.join(alive)} still run", hint="stop them first")
        self._networks.remove_all()
        self._leave_cgroups()
        self._dismantled = True

    def _leave_run(self) -> None:
        """This engine may have started something since, and others work here too.

        While there are containers it stays: who opens the area and finds a new one takes the
        machine for rebooted, and starts what its policy brings back.
        """
        self._dismantled = False
        if not self._containers.all():
            try:
                self.data_root.run.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise

    def _leave_cgroups(self) -> None:
        self._launcher.close()  # it lives among the supervisors; the next start makes a new one
        try:
            self._cgroups.supervisors(self.data_root.cgroup_parent).delete()
        except Conflict:
            pass  # another engine's launcher lives there too
        self._cgroups.prune(self.data_root.cgroup_parent)

    # The three below are loaded when they are first needed: they cost half of all imports, and
    # neither `run` nor `ps` needs them.

    @cached_property
    def _builder(self) -> Builder:
        from dockmagic_runtime.builder import Builder, RemoteCache
        from dockmagic_runtime.containers.lifecycle.build_step import StepRunner
        from dockmagic_runtime.containers.lifecycle.workspace import Workspace

        return Builder(
            self._images,
            self._layers,
            self._database,
            StepRunner(self._starter),
            Workspace(self._starter.rootfs),
            self.pull,
            remote_cache=RemoteCache(self._layers, BlobStore(self.data_root)),
            scratch=str(self.data_root.scratch),
            caches=str(self.data_root.root / "cache-mounts"),
            digests=str(self.data_root.root / "context-digests"),
        )

    @cached_property
    def _catalogue(self) -> Catalogue:
        from dockmagic_runtime.catalogue import Catalogue

        return Catalogue(self._catalogue_policy)

    @cached_property
    def _puller(self) -> Puller:
        from dockmagic_runtime.distribution.pull import Puller

        return Puller(self._images, self._layers, BlobStore(self.data_root))

    # ------------------------------------------------------------ where images come from

    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        """Get an image, or all of a repository's; `PullStatus` lines, then a `PullDone` for each.

        `platform` is written linux/arm64; without it, what runs here. When the registry cannot be
        reached, or always by configuration, the catalogue's stand-in.
        """
        from dockmagic_runtime.registry.errors import RegistryUnreachable

        recipe = self._catalogue.find(reference)
        if recipe is not None and self._catalogue.policy == "always":
            if platform:
                raise Unsupported(
                    f"there is no stand-in of {reference} for {platform}",
                    hint="they are made of this machine's packages: leave --platform out",
                )
            yield from self._make_stand_in(reference)
            return
        try:
            yield from self._pull(reference, all_tags, platform)
        except RegistryUnreachable as error:
            if recipe is None or platform:
                raise self._catalogue.without_stand_in(reference, error) from error
            yield PullStatus(status=f"{error.message}; taking a stand-in from the catalogue")
            yield from self._make_stand_in(reference)

    def _pull(self, reference: str, all_tags: bool, platform: str) -> Iterator[PullEvent]:
        if not all_tags:
            yield from self._puller.pull(reference, platform=platform)
            return
        from dockmagic_runtime.distribution.remote import tags

        name = ImageReference.parse(reference)
        for tag in tags(name):
            yield from self._puller.pull(f"{name.name}:{tag}", platform=platform)

    def search(self, term: str, *, limit: int = 25) -> tuple[SearchResult, ...]:
        """Repositories by a word; `host/word` asks that registry. Where Docker's cannot be
        reached, what the catalogue has. Raises RegistryUnreachable.
        """
        from dockmagic_runtime.registry.errors import RegistryUnreachable
        from dockmagic_runtime.registry.search import search

        registry, word = split_term(term)
        stand_ins = tuple(
            SearchResult(name=one.name, description=one.description, is_stand_in=True)
            for one in (self._catalogue.search(word) if registry == DEFAULT_REGISTRY else ())
        )
        try:
            return search(registry, word, limit)
        except RegistryUnreachable:
            if not stand_ins:
                raise
            return stand_ins[:limit]

    def _make_stand_in(self, reference: str) -> Iterator[PullEvent]:
        with self._layers.leasing():
            for event in self._catalogue.make(reference, self._builder.build, self.data_root):
                if isinstance(event, PullDone):
                    self._images.emit_pull(event.image, reference)
                yield event


def _require_host() -> None:
    """Raises Unsupported with what to do, before anything is touched."""
    if sys.platform != "linux":
        raise Unsupported(
            f"dockmagic runs containers on the Linux kernel, and this is {sys.platform}",
            hint="use a Linux machine, a virtual machine or WSL 2",
        )
    if os.geteuid() != 0:
        raise Unsupported(
            "dockmagic needs root to make namespaces, overlay mounts and networks",
            hint="start Jupyter or the command as root, for example with sudo",
        )
