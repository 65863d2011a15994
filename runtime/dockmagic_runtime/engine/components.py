"""`EngineComponents`: the stores and services of an engine, opened, connected and closed."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.containers.inspect.stats import Sampler
from dockmagic_runtime.containers.lifecycle.recover import Recovery
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.engine.component import component
from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.supervisor.launcher_client import LauncherClient
from dockmagic_runtime.volumes.store import VolumeStore

if TYPE_CHECKING:
    from dockmagic_runtime.builder import Builder
    from dockmagic_runtime.catalogue import Catalogue
    from dockmagic_runtime.distribution.pull import Puller
    from dockmagic_runtime.distribution.push import Pusher
    from dockmagic_runtime.engine.image_source import ImageSource
    from dockmagic_runtime.images.analysis import ImageAnalyzer
    from dockmagic_runtime.model.repair import Repair


class EngineComponents(Closing):
    """The stores and services of one data root, for one process. A context manager.

    Raises Unsupported on a host that cannot run containers.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        *,
        catalogue: str = "when-unreachable",
        repair: bool = False,
    ) -> None:
        _require_host()
        self.catalogue_policy = catalogue
        self.data_root = DataRoot.at(root)
        self.data_root.prepare()
        self.last_repair = self._repaired() if repair else None
        self.database = Database(self.data_root.database)
        try:
            self._open()
        except BaseException:
            self.database.close()
            raise

    def _open(self) -> None:
        self.layers = LayerStore(self.data_root, self.database)
        self.images = ImageStore(self.data_root, self.database, self.layers)
        self.volumes = VolumeStore(self.data_root, self.database)
        self.networks = Networks(self.data_root, self.database)
        self.launcher = LauncherClient(
            str(self.data_root.root), str(self.data_root.run), self.data_root.cgroup_parent
        )
        self.cgroups = detect(Kernel())
        self.containers = ContainerStore(self.data_root, self.database)
        self.starter = Starter(
            self.data_root,
            self.containers,
            self.layers,
            self.volumes,
            self.networks,
            self.launcher,
            self.cgroups,
        )
        self.sampler = Sampler(self.containers, self.cgroups)
        self._is_dismantled = False
        recovery = Recovery(self.starter)
        self.containers.on_supervisor_lost = recovery.on_supervisor_lost
        self.containers.on_start_killed = recovery.sweep_removed
        self._recover(recovery)

    def _repaired(self) -> Repair:
        from dockmagic_runtime.engine.repair import repair

        return repair(self.data_root)

    def repair(self) -> Repair:
        """Repairs the database while this engine has closed it."""
        with self.database.while_closed():
            return self._repaired()

    def _recover(self, recovery: Recovery) -> None:
        """A disk that takes nothing is only read: what is lost waits for an engine that can."""
        if self.database.is_read_only:
            return
        try:
            with self.database.freeing():
                recovery.run()
        except OSError as error:
            if error.errno not in DISK_UNWRITABLE:
                raise

    def close(self) -> None:
        """Release the launcher and close the database. Idempotent."""
        self.launcher.close()
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
        self.launcher.close()  # it lives among the supervisors; the next start makes a new one
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
            remote_cache=RemoteCache(self.layers, BlobStore(self.data_root)),
            scratch=str(self.data_root.scratch),
            caches=str(self.data_root.root / "cache-mounts"),
            digests=str(self.data_root.root / "context-digests"),
        )

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

        return Puller(self.images, self.layers, BlobStore(self.data_root))

    @component
    def pusher(self) -> Pusher:
        from dockmagic_runtime.distribution.push import Pusher

        return Pusher(self.images, self.layers, BlobStore(self.data_root))

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
