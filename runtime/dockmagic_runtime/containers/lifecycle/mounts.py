"""What a new container will mount: the spec's, the image's and other containers' wishes joined,
volumes made and filled.

As with Docker: what `--volumes-from` brings gives way to what is asked for by name, and an
anonymous volume (of `-v /path` or of the image's VOLUME) to everything.
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
    """`mounts` with parents first; `anonymous` are the volumes that nobody gave a name, `made`
    those of them that are new; `images` the layers of mounted images by target, topmost first;
    `inherited` the layers of those that another container has, by target and source."""

    mounts: tuple[Mount, ...] = ()
    anonymous: set[str] = field(default_factory=set)
    made: list[str] = field(default_factory=list)
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
    """Everything decided, volumes and image mounts found or made. Nothing is mounted.

    Nobody removes the volumes during the block, at whose end the container's row keeps them; if
    it fails, those that are new go away. Raises InvalidInput for mounts that cannot be, NotFound
    for what they name and is not there.
    """
    found = Attachments()
    try:
        with ExitStack() as held:
            wanted = _wanted(store, spec, image, found)
            for mount in wanted:
                check(mount)
            found.mounts = tuple(_made(mount, volumes, find_image, found, held) for mount in wanted)
            yield found
    except BaseException:
        volumes.remove_unused(found.made)
        raise


def _wanted(
    store: ContainerStore, spec: ContainerSpec, image: Image, found: Attachments
) -> list[Mount]:
    named = [mount for mount in map(_cleaned, spec.mounts) if not _is_anonymous(mount)]
    _check_unique(named)
    by_target = {mount.target: mount for mount in _from_others(store, spec, found)}
    by_target |= {mount.target: mount for mount in named}
    for mount in map(_cleaned, filter(_is_anonymous, spec.mounts)):
        by_target.setdefault(mount.target, mount)
    for target in map(posixpath.normpath, image.config.volumes):
        by_target.setdefault(target, Mount(kind="volume", target=target))
    return sorted(by_target.values(), key=lambda mount: (mount.target.count("/"), mount.target))


def _is_anonymous(mount: Mount) -> bool:
    return mount.kind == "volume" and not mount.source


def _cleaned(mount: Mount) -> Mount:
    clean = posixpath.normpath(mount.target) if mount.target.startswith("/") else mount.target
    return replace(mount, target=f"/{clean.lstrip('/')}" if clean.startswith("/") else clean)


def _check_unique(mounts: Sequence[Mount]) -> None:
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise InvalidInput(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)


def _from_others(store: ContainerStore, spec: ContainerSpec, found: Attachments) -> Iterator[Mount]:
    for text in spec.volumes_from:
        name, words = parse_volumes_from(text)
        other = store.find(name)
        for mount in other.mounts:
            if mount.kind == "tmpfs":
                continue  # memory is each container's own
            if mount.source in other.anonymous_volumes:
                found.anonymous.add(mount.source)
            if mount.kind == "image":
                layers = other.mounted_images[mount.target]
                found.inherited[mount.target, mount.source] = layers
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
    """Raises InvalidInput or NotFound, in Docker's words, for a mount that cannot be."""
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


def _made(
    mount: Mount,
    volumes: VolumeStore,
    find_image: Callable[[str], Image],
    found: Attachments,
    held: ExitStack,
) -> Mount:
    if mount.kind == "image":
        layers = found.inherited.get((mount.target, mount.source))
        found.images[mount.target] = layers or tuple(reversed(find_image(mount.source).chain_ids))
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
        found.anonymous.add(volume.name)
        found.made.append(volume.name)
    return replace(mount, source=volume.name)


# ------------------------------------------------------------------ filling


def fill(
    volumes: VolumeStore, mounts: Sequence[Mount], lowers: Sequence[str], scratch: str
) -> None:
    """Copy what the image has at the place of each volume that is empty.

    The image is `lowers`, topmost first, mounted nowhere and only when a volume needs it; its
    paths are resolved in-root, so a VOLUME behind a link stays inside (CVE-2022-23648).
    """
    if len(lowers) < 2:
        return  # an image without layers: there is nothing but the init layer
    with _Image(lowers, scratch) as image:
        for mount in mounts:
            if mount.kind == "volume" and mount.copy_up:
                volumes.fill(mount.source, partial(image.open, mount.target), mount.subpath)


class _Image:
    """An image's files, mounted when they are first asked for."""

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
        """A directory of the image; None when it has nothing there."""
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
