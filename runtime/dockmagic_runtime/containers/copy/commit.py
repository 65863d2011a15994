"""`commit`: an image from a container's changes and configuration.

The container keeps its writable layer, so the layer is copied: it is read as a tar stream and
unpacked into the new layer's directory. Mounts are not part of the layer, their mount points are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.stop import set_paused
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.images.compression import Plain
from dockmagic_runtime.images.create import Changes, Json, check_reference, compose, named
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.images.tar.writer import TreeArchive
from dockmagic_runtime.model.commit import CommitSpec
from dockmagic_runtime.model.container import HealthCheck, Status
from dockmagic_runtime.model.image import Image

_SECOND: Final = 10**9


def commit(
    store: ContainerStore,
    images: ImageStore,
    layers: LayerStore,
    record: Record,
    spec: CommitSpec,
    apply_changes: Changes,
) -> Image:
    """Creates the image. Raises InvalidInput for an invalid name or change."""
    check_reference(spec.reference)
    document = _document(images, record)
    container = _config(record, document)
    config = merged(_changed(container, spec.changes, apply_changes), container)
    below = record.layers[0] if record.layers else ""
    with _paused(store, record) if spec.pause else nullcontext():
        chain_id = _layer(layers, store.writable_layer(record), below)
    entry: Json = {"created_by": " ".join(record.command)}
    entry |= {"author": spec.author} if spec.author else {}
    entry |= {"comment": spec.message} if spec.message else {}
    entry |= {"empty_layer": True} if chain_id == below else {}
    image = compose(
        images,
        layers,
        chain_id=chain_id,
        config=config,
        entry=entry,
        base=document,
        author=spec.author,
        names=(spec.reference,) if spec.reference else (),
    )
    events_of(store, record).emit(
        "commit", comment=spec.message, imageID=image.id, imageRef=spec.reference
    )
    return named(images, image, spec.reference)


def _changed(container: Json, changes: tuple[str, ...], apply_changes: Changes) -> Json:
    """The fields that the changes set; they may refer to the container's variables."""
    env = container.get("Env") or []
    changed = apply_changes({"Env": env} if env else {}, changes)
    if changed.get("Env"):
        changed["Env"] = [entry for entry in changed["Env"] if entry not in env]
    return changed


def _layer(layers: LayerStore, upper: str, below: str) -> str:
    """The chain id of the new layer; `below` when nothing has changed."""
    tar = TreeArchive(as_layer=True)
    try:
        fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("the container has just been removed") from None
    try:
        if not os.listdir(fd):
            return below
        return layers.add(Plain(tar.below(fd)), below).chain_id
    finally:
        os.close(fd)


@contextmanager
def _paused(store: ContainerStore, record: Record) -> Iterator[None]:
    """Freezes a running container for the block. A paused one stays paused."""
    if Status(store.state(record.id).status) is not Status.RUNNING:
        yield
        return
    set_paused(store, record, paused=True)
    try:
        yield
    finally:
        try:
            set_paused(store, record, paused=False)
        except Conflict:
            pass  # it was killed or unpaused meanwhile


# ------------------------------------------------------------------ the config


def _document(images: ImageStore, record: Record) -> Json:
    """The config document of the container's image; empty when that was removed by force."""
    try:
        return images.config(record.image_id)
    except NotFound:
        return {}


def _config(record: Record, document: Json) -> Json:
    """The container's configuration as the config of an image."""
    spec = record.spec
    image: Json = document.get("config") or {}
    config: Json = {
        **{key: image[key] for key in ("OnBuild", "Shell") if image.get(key)},
        "Cmd": list(record.command),
        "Entrypoint": list(record.entrypoint),
        "Env": _env(record, image),
        "ExposedPorts": {port: {} for port in record.exposed},
        "Healthcheck": _health(spec.health, image.get("Healthcheck")),
        "Labels": record.labels,
        "StopSignal": spec.stop_signal or image.get("StopSignal"),
        "User": record.user,
        "Volumes": {**(image.get("Volumes") or {}), **{target: {} for target in record.volumes}},
        "WorkingDir": spec.working_dir or image.get("WorkingDir"),
    }
    return {key: value for key, value in config.items() if value}


def _env(record: Record, image: Json) -> list[str]:
    """Without the variables of every container, which records of earlier versions have too."""
    asked = {entry.partition("=")[0] for entry in (*(image.get("Env") or ()), *record.spec.env)}
    added = {"PATH", "HOSTNAME", "TERM"} - asked
    split = [(entry, *entry.partition("=")[:2]) for entry in record.env]
    return [entry for entry, key, equals in split if equals and key not in added]


def _health(asked: HealthCheck | None, image: Any) -> Json | None:
    if asked is None:
        inherited: Json | None = image
        return inherited
    times = {
        "Interval": asked.interval,
        "Timeout": asked.timeout,
        "StartPeriod": asked.start_period,
        "StartInterval": asked.start_interval,
    }
    fields: Json = {key: int(value * _SECOND) for key, value in times.items() if value}
    fields |= {"Retries": asked.retries} if asked.retries else {}
    fields |= {"Test": list(asked.test)} if asked.test else {}
    return {**(image or {}), **fields}


def merged(changed: Json, container: Json) -> Json:
    """Docker's merge: changes win; collections are joined, variables by name.

    A new entry point discards the container's command, a new command keeps the entry point.
    """
    config = {**container, **changed}
    for key in ("ExposedPorts", "Labels", "Volumes"):
        if joined := {**(container.get(key) or {}), **(changed.get(key) or {})}:
            config[key] = joined
    names = {entry.partition("=")[0] for entry in changed.get("Env") or ()}
    kept = [e for e in container.get("Env") or () if e.partition("=")[0] not in names]
    if env := [*(changed.get("Env") or ()), *kept]:
        config["Env"] = env
    if changed.get("Entrypoint") and not changed.get("Cmd"):
        config.pop("Cmd", None)
    return config
