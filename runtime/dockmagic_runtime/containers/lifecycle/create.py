"""`create`: a name, a directory with the writable layer, a row. `start` gets the addresses."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle import links, names
from dockmagic_runtime.containers.lifecycle.network_endpoints import attachments
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.plan import health
from dockmagic_runtime.containers.record import Record, command_line, environment, exposed_ports
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.sandbox import capabilities, limits

if TYPE_CHECKING:
    from dockmagic_runtime.containers.lifecycle import mounts


def create(
    starter: Starter, spec: ContainerSpec, image: Image, find_image: Callable[[str], Image]
) -> Record:
    """Creates a container. Raises Conflict for a name in use, InvalidInput for invalid options."""
    _check_log(spec)
    capabilities.check(spec.cap_add, spec.cap_drop)
    limits.check(spec.resources, cpus=os.cpu_count() or 1)
    if spec.auto_remove and spec.restart.name != "no":
        raise InvalidInput("conflicting options: cannot specify both --restart and --rm")
    store = starter.store
    spec = _with_ids(store, spec)
    linked, networks = links.for_new(store, spec, attachments(starter.networks, spec))
    container_id = os.urandom(32).hex()
    hostname = spec.hostname or _hostname(store, spec.network) or container_id[:12]
    record = replace(_record(container_id, hostname, spec, image), networks=networks, links=linked)
    if record.name and (spec.mounts or image.config.volumes):
        with store.database.transaction() as connection:  # before anything is copied
            store.require_free(connection, record.name)
    if not (spec.mounts or spec.volumes_from or image.config.volumes):
        return _add(store, record)
    from dockmagic_runtime.containers.lifecycle import mounts

    volumes = starter.volumes
    with mounts.attached(store, volumes, spec, image, find_image) as attached:
        if attached.volumes:
            mounts.fill(volumes, attached.mounts, starter.lowers(record.layers), starter.rootfs)
        return _add(store, _with_mounts(record, attached))


def _check_log(spec: ContainerSpec) -> None:
    if spec.log_driver != "json-file" or spec.log_options:
        from dockmagic_runtime.supervisor.logs.options import log_options

        log_options(spec.log_driver, spec.log_options)


def _with_ids(store: ContainerStore, spec: ContainerSpec) -> ContainerSpec:
    """The spec with ids instead of names where it shares namespaces: names may change."""
    modes = {"network": spec.network, "ipc_mode": spec.ipc_mode, "pid_mode": spec.pid_mode}
    ids = {
        field: f"container:{store.find(mode.removeprefix('container:')).id}"
        for field, mode in modes.items()
        if mode.startswith("container:")
    }
    return replace(spec, **ids) if ids else spec


def _with_mounts(record: Record, attached: mounts.Attachments) -> Record:
    return replace(
        record,
        mounts=attached.mounts,
        anonymous_volumes=tuple(sorted(attached.anonymous)),
        mounted_images=attached.images,
    )


def _add(store: ContainerStore, record: Record) -> Record:
    directory = store.directory(record.id)
    try:
        # in one transaction: a directory without a row then belongs to a dead process
        with store.database.transaction() as connection:
            record = Record.decode(_named(store, record).encode())  # as later starts read it
            _make_directories(store, record.id)
            store.add(connection, record)
    except BaseException:
        import shutil

        shutil.rmtree(directory, ignore_errors=True)
        raise
    events_of(store, record).emit("create")
    return record


def _hostname(store: ContainerStore, network: str) -> str:
    """The host name of the container that shares its network; empty without one."""
    if network == "host":
        return socket.gethostname()
    _, is_shared, other = network.partition("container:")
    return store.find(other).hostname if is_shared else ""


def _record(container_id: str, hostname: str, spec: ContainerSpec, image: Image) -> Record:
    entrypoint, command = command_line(spec, image)
    config = image.config
    return Record(
        id=container_id,
        name=spec.name,
        image_id=image.id,
        created=time.time(),
        spec=spec,
        entrypoint=entrypoint,
        command=command,
        env=environment(spec, image),
        working_dir=spec.working_dir or config.working_dir or "/",
        user=spec.user or config.user,
        hostname=hostname,
        stop_signal=spec.stop_signal or config.stop_signal or "SIGTERM",
        labels={**config.labels, **spec.labels},
        exposed=exposed_ports(spec, image),
        mounts=(),
        layers=tuple(reversed(image.chain_ids)),
        config_volumes=_config_volumes(spec, image),
        health=health.merged(spec.health, config.healthcheck),
        shell=config.shell or (),
    )


def _config_volumes(spec: ContainerSpec, image: Image) -> tuple[str, ...]:
    anonymous = (m.target for m in spec.mounts if m.kind == "volume" and not m.source)
    return tuple(sorted({*image.config.volumes, *anonymous}))


def _named(store: ContainerStore, record: Record) -> Record:
    if record.name:
        return record
    for attempt in range(100):
        name = names.suggest(attempt)
        if store.database.row("SELECT 1 FROM containers WHERE name = ?", name) is None:
            return replace(record, name=name)
    raise Conflict("no free name was found in a hundred tries", hint="give one with --name")


def _make_directories(store: ContainerStore, container_id: str) -> None:
    os.mkdir(store.directory(container_id), 0o700)
    os.mkdir(store.upper(container_id), 0o755)
    os.mkdir(store.work(container_id), 0o700)
