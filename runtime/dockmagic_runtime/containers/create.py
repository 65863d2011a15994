"""`create`: a name, a directory with the writable layer, a row. No address yet: that is `start`."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from dataclasses import replace

from dockmagic_runtime.containers import names
from dockmagic_runtime.containers.record import Record, command_line, environment, exposed_ports
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Mount
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.volumes.store import VolumeStore


def create(registry: Registry, volumes: VolumeStore, spec: ContainerSpec, image: Image) -> Record:
    """The new container. Raises Conflict for a name in use, InvalidInput for what cannot be."""
    container_id = secrets.token_hex(32)
    record = _record(container_id, spec, image)
    mounts, anonymous = _mounts(spec, image, volumes)
    record = replace(record, mounts=mounts, anonymous_volumes=anonymous)
    directory = registry.directory(container_id)
    try:
        # inside the transaction: a directory without a row is then always a dead process's
        with registry.database.transaction() as connection:
            record = _named(registry, record)
            _make_directories(directory)
            registry.add(connection, record)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        for volume in anonymous:
            volumes.remove(volume)
        raise
    return record


def _record(container_id: str, spec: ContainerSpec, image: Image) -> Record:
    entrypoint, command = command_line(spec, image)
    config = image.config
    hostname = spec.hostname or container_id[:12]
    return Record(
        id=container_id,
        name=spec.name,
        image_id=image.id,
        created=time.time(),
        spec=spec,
        entrypoint=entrypoint,
        command=command,
        env=environment(spec, image, hostname),
        working_dir=spec.working_dir or config.working_dir or "/",
        user=spec.user or config.user,
        hostname=hostname,
        stop_signal=spec.stop_signal or config.stop_signal or "SIGTERM",
        labels={**config.labels, **spec.labels},
        exposed=exposed_ports(spec, image),
        mounts=(),
        layers=tuple(reversed(image.chain_ids)),
    )


def _named(registry: Registry, record: Record) -> Record:
    if record.name:
        return record
    for attempt in range(100):
        name = names.suggest(attempt)
        if registry.database.row("SELECT 1 FROM containers WHERE name = ?", name) is None:
            return replace(record, name=name)
    raise Conflict("no free name was found in a hundred tries", hint="give one with --name")


def _make_directories(directory: str) -> None:
    os.mkdir(directory, 0o700)
    for name, mode in (("upper", 0o755), ("work", 0o700)):
        os.mkdir(f"{directory}/{name}", mode)


def _mounts(
    spec: ContainerSpec, image: Image, volumes: VolumeStore
) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """What will be mounted, parents first, and the anonymous volumes that were made for it."""
    for mount in spec.mounts:
        _check(mount)
    wanted = [(mount.target, mount) for mount in spec.mounts]
    chosen = {os.path.normpath(target) for target, _ in wanted}
    for target in image.config.volumes:
        if os.path.normpath(target) not in chosen:
            wanted.append((target, Mount(kind="volume", target=target)))
    mounts: list[Mount] = []
    anonymous: list[str] = []
    for _, mount in sorted(wanted, key=lambda pair: (pair[0].count("/"), pair[0])):
        if mount.kind == "volume" and not mount.source:
            anonymous.append(volumes.create_anonymous())
            mount = replace(mount, source=anonymous[-1])
        elif mount.kind == "volume":
            volumes.ensure(mount.source)
        mounts.append(mount)
    return tuple(mounts), tuple(anonymous)


def _check(mount: Mount) -> None:
    if not mount.target.startswith("/"):
        raise InvalidInput(
            f"invalid mount config for type {mount.kind!r}: invalid mount path: "
            f"'{mount.target}' mount path must be absolute"
        )
    if os.path.normpath(mount.target) == "/":
        raise InvalidInput("invalid specification: destination can't be '/'")
    if mount.kind == "bind" and not mount.create_source and not os.path.exists(mount.source):
        raise NotFound(
            f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
        )
