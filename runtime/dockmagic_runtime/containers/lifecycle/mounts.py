"""The mounts of a new container: those of spec, image and other containers; creates volumes.

As with Docker, a mount of `--volumes-from` gives way to a mount with a source, and an anonymous
volume (of `-v /path` or the image's VOLUME) to every other mount.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import ContainerSpec, Mount
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.sandbox.overlay import mount_overlay
from dockmagic_runtime.sandbox.user_mounts import PROPAGATION
from dockmagic_runtime.volumes.store import VolumeStore

_MODES: Final = (
    frozenset(["ro", "rw"]),
    frozenset(["z", "Z"]),
    frozenset(["consistent", "cached", "delegated"]),
)


class Attachments(Struct):
    """`mounts` with parents first; `anonymous` are the names of anonymous volumes, `created` those
    that are new; `images` the layers of mounted images by target, topmost first; `inherited` the
    layers of image mounts of `--volumes-from`, by target and source."""

    mounts: tuple[Mount, ...] = ()
    anonymous: set[str] = field(default_factory=set)
    created: list[str] = field(default_factory=list)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inherited: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @property
    def volumes(self) -> list[str]:
        return [mount.source for mount in self.mounts if mount.kind == "volume"]


@contextmanager
def attached(
    store: ContainerStore,
    volumes: VolumeStore,
    spec: ContainerSpec,
    image: Image,
    find_image: Callable[[str], Image],
) -> Iterator[Attachments]:
    """Decides all mounts and creates missing volumes. Nothing is mounted.

    The volumes are held during the block, at the end of which the container's row keeps them; if
    the block fails, new ones are removed. Raises InvalidInput for mounts that cannot be, NotFound
    for a missing source.
    """
    attachments = Attachments()
    try:
        with ExitStack() as held:
            wanted = _wanted(store, spec, image, attachments)
            for mount in wanted:
                check(mount)
            attachments.mounts = tuple(
                _with_source(mount, volumes, find_image, attachments, held) for mount in wanted
            )
            yield attachments
    except BaseException:
        volumes.remove_unused(attachments.created)
        raise


def _wanted(
    store: ContainerStore, spec: ContainerSpec, image: Image, attachments: Attachments
) -> list[Mount]:
    named = [mount for mount in map(_cleaned, spec.mounts) if not _is_anonymous(mount)]
    _check_unique(named)
    by_target = {mount.target: mount for mount in _from_others(store, spec, attachments)}
    by_target |= {mount.target: mount for mount in named}
    for mount in map(_cleaned, filter(_is_anonymous, spec.mounts)):
        by_target.setdefault(mount.target, mount)
    for target in map(_from_root, image.config.volumes):
        by_target.setdefault(target, Mount(kind="volume", target=target))
    return sorted(by_target.values(), key=lambda mount: (mount.target.count("/"), mount.target))


def _is_anonymous(mount: Mount) -> bool:
    return mount.kind == "volume" and not mount.source


def _cleaned(mount: Mount) -> Mount:
    clean = posixpath.normpath(mount.target) if mount.target.startswith("/") else mount.target
    return replace(mount, target=f"/{clean.lstrip('/')}" if clean.startswith("/") else clean)


def _from_root(path: str) -> str:
    """An image's VOLUME as an absolute, clean path: it may be relative there."""
    return posixpath.normpath("/" + path.lstrip("/"))


def _check_unique(mounts: Sequence[Mount]) -> None:
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise InvalidInput(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)


def _from_others(
    store: ContainerStore, spec: ContainerSpec, attachments: Attachments
) -> Iterator[Mount]:
    for text in spec.volumes_from:
        name, words = parse_volumes_from(text)
        other = store.find(name)
        for mount in other.mounts:
            if mount.kind == "tmpfs":
                continue  # each container has its own
            if mount.source in other.anonymous_volumes:
                attachments.anonymous.add(mount.source)
            if mount.kind == "image":
                layers = other.mounted_images[mount.target]
                attachments.inherited[mount.target, mount.source] = layers
            read_only = mount.read_only or "ro" in words
            yield replace(mount, read_only=read_only, copy_up=False, create_source=True)


def parse_volumes_from(text: str) -> tuple[str, frozenset[str]]:
    """`CONTAINER[:MODE]`: its name and the words of the mode. Raises InvalidInput."""
    name, _, mode = text.partition(":")
    if not name:
        raise InvalidInput("volumes-from specification cannot be an empty string")
    words = mode.split(",") if mode else []
    known = frozenset[str]().union(*_MODES)
    if not known.issuperset(words) or any(
        sum(word in kind for word in words) > 1 for kind in _MODES
    ):
        raise InvalidInput(f"invalid mode: {mode}", hint=f"in --volumes-from {text}")
    return name, frozenset(words)


def check(mount: Mount) -> None:
    """Raises InvalidInput or NotFound, with Docker's texts, for a mount that cannot be."""
    reason = _fault(mount)
    if reason:
        raise InvalidInput(f'invalid mount config for type "{mount.kind}": {reason}')
    if mount.kind == "bind" and not mount.create_source and not os.path.exists(mount.source):
        raise NotFound(
            f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
        )


def _fault(mount: Mount) -> str:
    if mount.kind not in ("bind", "volume", "tmpfs", "image"):
        return "mount type unknown"
    if not mount.target:
        return "field Target must not be empty"
    if not mount.target.startswith("/"):
        return f"invalid mount path: '{mount.target}' mount path must be absolute"
    if mount.target == "/":
        return "invalid specification: destination can't be '/'"
    if mount.kind in ("bind", "image") and not mount.source:
        return "field Source must not be empty"
    if mount.kind == "bind" and not mount.source.startswith("/"):
        return f"invalid mount path: '{mount.source}' mount path must be absolute"
    if mount.propagation not in PROPAGATION:
        return f"invalid propagation mode: {mount.propagation}"
    if mount.kind == "tmpfs" and mount.source:
        return "field Source must not be specified"
    if mount.subpath and _is_anonymous(mount):
        return "must not set Subpath when using anonymous volumes"
    if mount.subpath and not _is_local(mount.subpath):
        return "subpath must be a relative path within the volume"
    return ""


def _is_local(path: str) -> bool:
    clean = posixpath.normpath(path)
    return not clean.startswith("/") and clean.split("/")[0] != ".."


def _with_source(
    mount: Mount,
    volumes: VolumeStore,
    find_image: Callable[[str], Image],
    attachments: Attachments,
    held: ExitStack,
) -> Mount:
    if mount.kind == "image":
        layers = attachments.inherited.get((mount.target, mount.source))
        attachments.images[mount.target] = layers or tuple(
            reversed(find_image(mount.source).chain_ids)
        )
    if mount.kind != "volume":
        return mount
    volume = volumes.obtain(
        held,
        mount.source,
        driver=mount.driver,
        labels=dict(mount.labels),
        driver_options=dict(mount.driver_options),
    )
    if not mount.source:
        attachments.anonymous.add(volume.name)
        attachments.created.append(volume.name)
    return replace(mount, source=volume.name)


# ------------------------------------------------------------------ filling


def fill(
    volumes: VolumeStore, mounts: Sequence[Mount], lowers: Sequence[str], scratch: str
) -> None:
    """Copies what the image has at the target of each empty volume into the volume.

    The image is `lowers`, topmost first, opened only when a volume needs it and mounted nowhere.
    Its paths are resolved in-root, so a VOLUME behind a link stays inside (CVE-2022-23648).
    """
    if len(lowers) < 2:
        return  # an image without layers: only the init layer
    with _Image(lowers, scratch) as image:
        for mount in mounts:
            if mount.kind == "volume" and mount.copy_up:
                volumes.fill(mount.source, partial(image.open, mount.target), mount.subpath)


class _Image:
    """An image's files; the overlay is opened at the first use."""

    def __init__(self, lowers: Sequence[str], scratch: str) -> None:
        self._lowers = lowers
        self._scratch = scratch
        self._root: Root | None = None

    def __enter__(self) -> _Image:
        return self

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            self._root.close()

    def open(self, target: str) -> int | None:
        """A directory of the image; None when the image has no such path."""
        if self._root is None:
            self._root = Root(mount_overlay(Kernel(), self._lowers, "", "", target=self._scratch))
        return _directory(self._root, target)


def _directory(image: Root, target: str) -> int | None:
    try:
        return image.open(target, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InvalidInput(
            f"cannot mount volume over existing file, file exists {target}"
        ) from None
