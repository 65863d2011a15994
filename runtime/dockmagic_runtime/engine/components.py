"""`EngineComponents`: the stores and services of an engine, opened, connected and closed."""

from __future__ import annotations

import errno
import os
import sys
from _thread import RLock
from typing import TYPE_CHECKING

from dockmagic_runtime.containers.lifecycle import boot
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.engine.component import component
from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dockmagic_runtime.builder import Builder
    from dockmagic_runtime.catalogue import Catalogue
    from dockmagic_runtime.cgroups import Cgroups
    from dockmagic_runtime.containers.inspect.stats import Sampler
    from dockmagic_runtime.containers.lifecycle.recover import Recovery
    from dockmagic_runtime.containers.lifecycle.start import Starter
    from dockmagic_runtime.distribution.pull import Puller
    from dockmagic_runtime.distribution.push import Pusher
    from dockmagic_runtime.engine.image_source import ImageSource
    from dockmagic_runtime.images.analysis import ImageAnalyzer
    from dockmagic_runtime.images.blobs import BlobStore
    from dockmagic_runtime.images.layers import LayerStore
    from dockmagic_runtime.images.store import ImageStore
    from dockmagic_runtime.model.repair import Repair
    from dockmagic_runtime.network.networks import Networks
    from dockmagic_runtime.supervisor.launcher_client import LauncherClient
    from dockmagic_runtime.volumes.store import VolumeStore


class EngineComponents(Closing):
    """The stores and services of one data root, for one process. A context manager.

    Each is opened, and its modules are imported, at its first use: `ps` needs two of them. Raises
    Unsupported on a host that cannot run containers.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        *,
        catalogue: str = "when-unreachable",
        repair: bool = False,
        default_log_options: Mapping[str, str] | None = None,
    ) -> None:
        self.default_log_options = dict(default_log_options or {})
        if self.default_log_options:
            from dockmagic_runtime.supervisor.logs.options import log_options

            log_options("json-file", self.default_log_options)  # before any effect
        _require_host()
        self.catalogue_policy = catalogue
        self.data_root = DataRoot.at(root)
        self.data_root.prepare()
        self.last_repair = self._repaired() if repair else None
        self._is_dismantled = False
        self._is_recovered = False
        self._recovering = RLock()
        self.database = Database(f"{self.data_root.path}/state.db")
        if boot.is_new(self.data_root):
            self.recover()  # whatever the command is: containers come back after a reboot

    def _repaired(self) -> Repair:
        from dockmagic_runtime.engine.repair import repair

        return repair(self.data_root)

    def repair(self) -> Repair:
        """Repairs the database while this engine has closed it."""
        with self.database.while_closed():
            return self._repaired()

    def recover(self, *, again: bool = False) -> None:
        """Recovers from crashes, see `Recovery`: once, unless `again`. A start does so first.

        What only reads does not need it: `ContainerStore.state` recovers a container that it finds
        lost. A disk that takes nothing is only read: what is lost waits for an engine that can.
        """
        with self._recovering:
            if (self._is_recovered and not again) or self.database.is_read_only:
                return
            self._is_recovered = True
            try:
                with self.database.freeing():
                    self.recovery.run()
            except OSError as error:
                if error.errno not in DISK_UNWRITABLE:
                    raise

    @property
    def starter(self) -> Starter:
        """Starts containers, after what crashes have left is recovered."""
        self.recover()
        return self._starter

    @component
    def containers(self) -> ContainerStore:
        store = ContainerStore(self.data_root, self.database)
        store.on_supervisor_lost = lambda name: self.recovery.on_supervisor_lost(name)
        store.on_start_killed = lambda name: self.recovery.sweep_removed(name)
        return store

    @component
    def recovery(self) -> Recovery:
        from dockmagic_runtime.containers.lifecycle.recover import Recovery

        return Recovery(self._starter)

    @component
    def _starter(self) -> Starter:
        from dockmagic_runtime.containers.lifecycle.start import Starter

        return Starter(self)

    @component
    def layers(self) -> LayerStore:
        from dockmagic_runtime.images.layers import LayerStore

        return LayerStore(self.data_root, self.database)

    @component
    def images(self) -> ImageStore:
        from dockmagic_runtime.images.store import ImageStore

        return ImageStore(self.data_root, self.database, self.layers)

    @component
    def volumes(self) -> VolumeStore:
        from dockmagic_runtime.volumes.store import VolumeStore

        return VolumeStore(self.data_root, self.database)

    @component
    def networks(self) -> Networks:
        from dockmagic_runtime.network.networks import Networks

        return Networks(self.data_root, self.database)

    @component
    def launcher(self) -> LauncherClient:
        from dockmagic_runtime.supervisor.launcher_client import LauncherClient

        own = self.data_root
        return LauncherClient(own.path, own.run_path, own.cgroup_parent)

    @component
    def cgroups(self) -> Cgroups:
        from dockmagic_runtime.cgroups import detect
        from dockmagic_runtime.linux.syscalls import Kernel

        return detect(Kernel())

    @component
    def sampler(self) -> Sampler:
        from dockmagic_runtime.containers.inspect.stats import Sampler

        return Sampler(self.containers, self.cgroups)

    def close(self) -> None:
        """Release the launcher and close the database. Idempotent."""
        if "launcher" in self.__dict__:
            self.launcher.close()
        if "networks" in self.__dict__:
            self.networks.close()
        if self._is_dismantled:
            self._leave_run()
        self.database.close()

    def dismantle(self) -> None:
        """Remove the data root's bridges, tables and control groups from the host.

        Raises Conflict while a container is alive.
        """
        alive = [
            record.name for record, now in self.containers.all() if Status(now.status).is_alive
        ]
        if alive:
            raise Conflict(f"{', '.join(alive)} still run", hint="stop them first")
        self.networks.remove_all()
        self._leave_cgroups()
        self._is_dismantled = True

    def _leave_run(self) -> None:
        """Remove the run directory, unless a container has been created since.

        While there are containers it stays: an engine that opens the data root and finds a new
        run directory takes the machine for rebooted, and starts what its policy brings back.
        """
        self._is_dismantled = False
        if not self.containers.all():
            try:
                self.data_root.run.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise

    def _leave_cgroups(self) -> None:
        self.launcher.end_all()  # it lives among the supervisors; the next start makes a new one
        try:
            self.cgroups.supervisors(self.data_root.cgroup_parent).delete()
        except Conflict:
            pass  # another engine's launcher lives there too
        self.cgroups.prune(self.data_root.cgroup_parent)

    @component
    def builder(self) -> Builder:
        from dockmagic_runtime.builder import Builder, RemoteCache
        from dockmagic_runtime.containers.lifecycle.build_step import StepRunner
        from dockmagic_runtime.containers.lifecycle.workspace import Workspace

        return Builder(
            self.images,
            self.layers,
            self.database,
            StepRunner(self.starter),
            Workspace(self.starter.rootfs),
            self.image_source.pull,
            remote_cache=RemoteCache(self.layers, self._blobs),
            scratch=self.data_root.scratch_path,
            caches=f"{self.data_root.path}/cache-mounts",
            digests=f"{self.data_root.path}/context-digests",
            claims=f"{self.data_root.path}/build-claims",
        )

    @property
    def _blobs(self) -> BlobStore:
        from dockmagic_runtime.images.blobs import BlobStore

        return BlobStore(self.data_root)

    @component
    def catalogue(self) -> Catalogue:
        from dockmagic_runtime.catalogue import Catalogue

        return Catalogue(self.catalogue_policy)

    @component
    def image_source(self) -> ImageSource:
        from dockmagic_runtime.engine.image_source import ImageSource

        return ImageSource(self)

    @component
    def puller(self) -> Puller:
        from dockmagic_runtime.distribution.pull import Puller

        return Puller(self.images, self.layers, self._blobs)

    @component
    def pusher(self) -> Pusher:
        from dockmagic_runtime.distribution.push import Pusher

        return Pusher(self.images, self.layers, self._blobs)

    @component
    def analyzer(self) -> ImageAnalyzer:
        from dockmagic_runtime.images.analysis import ImageAnalyzer

        return ImageAnalyzer(self.images, self.layers)


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
