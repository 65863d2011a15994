"""`VolumeStore`: the volumes of one data root.

A volume is created in the scratch directory and renamed into place, and renamed away before it is
removed, so other processes never see half of one. It is in use when a container's row names it,
which is checked in a transaction, or while a process creates such a container (`obtain`).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.filters import Filters, boolean, check
from dockmagic_runtime.model.names import require_name
from dockmagic_runtime.model.suggest import did_you_mean
from dockmagic_runtime.model.volume import ANONYMOUS_LABEL, PrunedVolumes, Volume
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.events import emit
from dockmagic_runtime.store.scratch import scratch_directory
from dockmagic_runtime.volumes import contents, metadata, options, populate, unused
from dockmagic_runtime.volumes.filters import LIST, PRUNE, matches


class VolumeStore:
    def __init__(self, data_root: DataRoot, database: Database) -> None:
        self._data_root = data_root
        self._database = database

    # ------------------------------------------------------------------ creating

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        driver_options: Mapping[str, str] | None = None,
    ) -> Volume:
        """The volume `name`, created if it is missing; without a name, a new anonymous one.

        An existing one stays unchanged, whatever the options, as with Docker. Raises InvalidInput
        for an invalid name or options, NotFound for another driver.
        """
        labels = dict(labels or {})
        if not name:
            name = os.urandom(32).hex()
            labels[ANONYMOUS_LABEL] = ""
        metadata.check_name(name)
        options.check_driver(name, driver)
        options.check(name, driver_options or {})
        description = metadata.Description(
            created=time.time(), labels=labels, options=dict(driver_options or {})
        )
        volume = metadata.read(self.directory(name))
        while volume is None:
            self._make(name, description)
            volume = metadata.read(self.directory(name))  # None again: pruned meanwhile
        return volume

    def _make(self, name: str, description: metadata.Description) -> None:
        with scratch_directory(str(self._data_root.scratch), "volume") as path:
            directory = Path(path)
            data = directory / metadata.DATA
            data.mkdir()
            data.chmod(0o755)  # whatever the umask is
            metadata.write(directory, description)
            try:
                directory.rename(self.directory(name))
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    raise InvalidInput(
                        f"create {name}: mkdir {self.directory(name)}: file name too long"
                    ) from error
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return  # another process has created it meanwhile
        self._emit("create", name, driver="local")

    def _emit(self, action: str, name: str, **attributes: str) -> None:
        root = self._data_root.path
        emit(root, Event(type="volume", action=action, id=name, attributes=attributes))

    def ensure(self, name: str) -> str:
        """The data directory of the volume `name`, created if it is missing."""
        return self.create(name).mountpoint

    def obtain(
        self,
        held: ExitStack,
        name: str = "",
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        driver_options: Mapping[str, str] | None = None,
    ) -> Volume:
        """As `create`; the volume cannot be removed until `held` is closed."""
        while True:
            volume = self.create(name, driver=driver, labels=labels, driver_options=driver_options)
            self.require_data(volume)
            if self._hold(held, volume.name):
                return volume

    def _hold(self, held: ExitStack, name: str) -> bool:
        """Whether the volume still existed when the lock was acquired."""
        path = self.directory(name) / unused.HOLD
        try:
            fd = locks.acquire(str(path), wait=True, shared=True)
            assert fd is not None
            held.callback(os.close, fd)
            return path.stat().st_ino == os.fstat(fd).st_ino
        except FileNotFoundError:
            return False

    # ------------------------------------------------------------------ filling

    def fill(self, name: str, source: Callable[[], int | None], subpath: str = "") -> None:
        """Copies the directory that `source` opens into the volume, if the volume is empty.

        `source` returns a descriptor, or None for nothing, and is called only when needed. Raises
        NotFound, also for a missing `subpath`.
        """
        volume = self.get(name)
        device = options.device(volume.options)
        if device is not None and device.fstype == "tmpfs":
            return  # empty at each use
        try:
            with locks.held(f"{self.directory(name)}/fill.lock"), ExitStack() as stack:
                data, beside = contents.open_volume(stack, volume, device, subpath)
                if not populate.is_filled(data, beside, slot=subpath):
                    self._fill(data, beside, source(), subpath)
        except NotADirectoryError:
            return  # the subpath is a file

    @staticmethod
    def _fill(data: Root, beside: Root, source: int | None, subpath: str) -> None:
        if source is None:
            return
        try:
            populate.fill(data, beside, source, slot=subpath)
        finally:
            os.close(source)

    # ------------------------------------------------------------------ reading

    def directory(self, name: str) -> Path:
        """The directory with the volume's description and, in `_data`, its data."""
        return self._data_root.volumes / name

    def get(self, name: str) -> Volume:
        """Raises NotFound, and InvalidInput for an empty name."""
        require_name("volume", name)
        volume = metadata.read(self.directory(name)) if metadata.is_name(name) else None
        if volume is None:
            raise NotFound(f"get {name}: no such volume", hint=did_you_mean(name, self._names(), 3))
        return volume

    def _names(self) -> list[str]:
        return sorted(
            filter(metadata.is_name, (path.name for path in self._data_root.volumes.iterdir()))
        )

    def _all(self) -> list[Volume]:
        volumes = (metadata.read(self.directory(name)) for name in self._names())
        return [volume for volume in volumes if volume is not None]

    def find(self, filters: Filters | None = None) -> tuple[Volume, ...]:
        """The volumes, by name. Filters: dangling, driver, label, name.

        Raises InvalidInput for other filters.
        """
        filters = filters or {}
        check(filters, LIST)
        dangling = boolean(filters, "dangling")
        volumes = [volume for volume in self._all() if matches(volume, filters)]
        if dangling is not None:
            users = self.users()
            volumes = [volume for volume in volumes if (volume.name not in users) is dangling]
        return tuple(volumes)

    def inspect(self, name: str) -> dict[str, Any]:
        """Docker's JSON. Raises NotFound."""
        return metadata.inspect(self.get(name))

    @staticmethod
    def device(volume: Volume) -> options.Device | None:
        """The file system that is mounted for the volume; None when it is a plain directory."""
        return options.device(volume.options)

    def require_data(self, volume: Volume) -> None:
        """Raises NotFound, with Docker's text, when the volume has lost its data directory."""
        if not Path(volume.mountpoint).is_dir() and self.device(volume) is None:
            raise NotFound(
                f'error evaluating symlinks from mount source "{volume.mountpoint}": '
                f"lstat {volume.mountpoint}: no such file or directory",
                hint=f"its data are lost: 'docker volume rm {volume.name}' removes what is left",
            )

    def users(self) -> dict[str, list[str]]:
        """The ids of the containers that use each volume, running or not."""
        return unused.users(self._data_root.path, self._database.rows(unused.USERS))

    def size(self, name: str) -> int:
        """Bytes of the files in the volume, hard links counted once. Raises NotFound."""
        return _size(self.get(name).mountpoint)

    # ------------------------------------------------------------------ removing

    def remove(self, name: str, *, force: bool = False) -> None:
        """Removes the volume with its data. Raises Conflict when a container uses it.

        Raises NotFound, unless `force`.
        """
        if force and not (metadata.is_name(name) and self.directory(name).is_dir()):
            return
        self.get(name)
        root = self._data_root.path
        with self._database.transaction() as connection:
            if users := unused.users(root, connection.execute(unused.USERS)).get(name):
                raise Conflict(
                    f"remove {name}: volume is in use - [{', '.join(users)}]",
                    hint="remove these containers first",
                )
            trash = unused.take_away(root, name)
        if trash:
            remove_tree(trash)
        elif self.directory(name).is_dir():
            raise Conflict(
                f"remove {name}: volume is in use", hint="a container is being created with it"
            )

    def remove_unused(self, names: Sequence[str], *, container_id: str = "") -> None:
        """Removes those of the volumes that no container but `container_id` uses."""
        for trash in self._take_unused(names, container_id).values():
            remove_tree(trash)

    def _take_unused(self, names: Sequence[str], container_id: str = "") -> dict[str, str]:
        if not names:
            return {}
        with self._database.transaction() as connection:
            return unused.take_unused(
                self._data_root.path, connection, names, container_id=container_id
            )

    def prune(self, filters: Filters | None = None) -> PrunedVolumes:
        """Removes unused volumes: anonymous ones, with `all=true` all of them.

        Further filters: label, label!. Raises InvalidInput for others.
        """
        filters = filters or {}
        check(filters, PRUNE)
        every = boolean(filters, "all")
        candidates = [
            volume.name
            for volume in self._all()
            if (every or volume.is_anonymous) and matches(volume, filters)
            # a lost label may be the one that would have spared it
            if not (volume.damage and filters.get("label!"))
        ]
        taken = self._take_unused(candidates)
        reclaimed = 0
        for trash in taken.values():
            reclaimed += _size(f"{trash}/{metadata.DATA}")
            remove_tree(trash)
        self._emit("prune", "", reclaimed=str(reclaimed))
        return PrunedVolumes(names=tuple(taken), reclaimed=reclaimed)


def _size(path: str) -> int:
    """Bytes below `path`; 0 when the directory is missing."""
    if not Path(path).is_dir():
        return 0
    seen: set[tuple[int, int]] = set()
    total = 0
    with Root.at(path) as root:
        for _, _, entries in root.walk(in_use=True):
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # a running container has removed it
                key = (status.st_dev, status.st_ino)
                if not stat.S_ISDIR(status.st_mode) and key not in seen:
                    seen.add(key)
                    total += status.st_size
    return total
