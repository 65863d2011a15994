"""Manifest lists that are put together here, and given to a registry when they are complete.

They lie where Docker's client keeps its own and in the same form, so that each program goes on with
what the other has begun: beside its config.json, a directory for each list, with a file for each
image. A list is made by name and holds what its registry has; no image need be here.
"""

from __future__ import annotations

import base64
import binascii
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from dockmagic_runtime.distribution.remote import asked, manifests
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.manifest_list import Annotation, details, list_document
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.search import RemoteManifest
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.credentials import default_path
from dockmagic_runtime.registry.manifest import Manifest, Platform
from dockmagic_runtime.registry.upload import RegistryWriter
from dockmagic_runtime.store.atomic import write_file

_MODE: Final = 0o644
_NAME_MAX: Final = 255
_KNOWN: Final = {  # by operating system, what Docker's client lets a manifest be annotated with
    "linux": "386 amd64 arm arm64 ppc64le mips64 mips64le riscv64 s390x",
    "darwin": "386 amd64 arm arm64",
    "freebsd": "386 amd64 arm",
    "netbsd": "386 amd64 arm",
    "openbsd": "386 amd64 arm",
    "windows": "386 amd64",
    "plan9": "386 amd64",
    "dragonfly": "amd64",
    "solaris": "amd64",
}


def create(name: str, images: Sequence[str], *, amend: bool = False, insecure: bool = False) -> str:
    """Begins a list, or adds to one; its name in full. Nothing is kept unless all are there.

    Raises Conflict, NotFound, InvalidInput, RegistryUnreachable.
    """
    target = _parse(name, f"error parsing name for manifest list {name}: ")
    if _folder(target).is_dir() and not amend:
        raise Conflict("refusing to amend an existing manifest list with no --amend flag")
    members = [(each, _member(target, each, insecure)) for each in map(_parse, images)]
    for reference, member in members:
        _save(target, reference, member)
    return target.canonical


def annotate(name: str, image: str, annotation: Annotation) -> None:
    """Says what an image of a list runs on. Raises NotFound, InvalidInput."""
    target = _parse(name, f"annotate: error parsing name for manifest list {name}: ")
    reference = _parse(image, f"annotate: error parsing name for manifest {image}: ")
    try:
        member = _read(target, reference)
    except NotFound:
        raise NotFound(f"manifest for image {image} does not exist in {name}") from None
    changed = replace(
        member,
        os=annotation.os or member.os,
        architecture=annotation.architecture or member.architecture,
        variant=annotation.variant or member.variant,
        os_version=annotation.os_version or member.os_version,
        os_features=tuple(dict.fromkeys((*member.os_features, *annotation.os_features))),
    )
    if changed.architecture not in _KNOWN.get(changed.os, "").split():
        raise InvalidInput(
            "manifest entry for image has unsupported os/arch combination: "
            f"{annotation.os}/{annotation.architecture}"
        )
    _save(target, reference, changed)


def get(name: str, image: str) -> RemoteManifest:
    """One image of a list. Raises NotFound."""
    return _read(_parse(name), _parse(image))


def members(name: str) -> tuple[RemoteManifest, ...]:
    """All images of a list, by name. Raises NotFound."""
    return tuple(_decode(path) for path in sorted(_existing(name).iterdir()))


def remove(name: str) -> None:
    """Forgets a list, damaged or not. Raises NotFound."""
    shutil.rmtree(_existing(name))


def _existing(name: str) -> Path:
    target = _parse(name)
    folder = _folder(target)
    if not folder.is_dir():
        raise NotFound(f"No such manifest: {target.canonical}")
    return folder


def push(name: str, *, purge: bool = False, insecure: bool = False) -> Iterator[PullStatus]:
    """Gives a list to its registry, with what is in other repositories there; Docker's lines.

    `purge` forgets the list afterwards. Raises NotFound, InvalidInput, RemoteFailed, AccessDenied.
    """
    target = _parse(name)
    images = members(name)
    if not images:
        raise NotFound(f"{target.canonical} not found")
    for image in images:
        _check(target, image)
    data = json.dumps(list_document(images), indent=3, ensure_ascii=False).encode()
    whole = Manifest.parse(str(list_document(images)["mediaType"]), data)
    with asked(target, insecure) as client:
        elsewhere = [
            image
            for image in images
            if ImageReference.parse(image.reference).repository != target.repository
        ]
        for image in elsewhere:
            _mount(client, target, image)
        writer = RegistryWriter(client)
        for image in elsewhere:
            manifest = Manifest.parse(image.media_type, image.data)
            writer.put_manifest(target.repository, image.digest, manifest)
            digest = manifest.digest
            yield PullStatus(
                status=f"Pushed ref {target.name}@{image.digest} with digest: {digest}"
            )
        writer.put_manifest(target.repository, target.digest or target.tag, whole)
    yield PullStatus(status=whole.digest)
    if purge:
        remove(name)


def _check(target: ImageReference, image: RemoteManifest) -> None:
    if not (image.os and image.architecture):
        raise InvalidInput(
            f"manifest {image.reference} must have an OS and Architecture to be pushed to a "
            "registry"
        )
    registry = ImageReference.parse(image.reference).registry
    if registry != target.registry:
        raise InvalidInput(
            "cannot use source images from a different registry than the target image: "
            f"{registry} != {target.registry}"
        )


def _mount(client: RegistryClient, target: ImageReference, image: RemoteManifest) -> None:
    """Windows images have layers that their registry does not distribute."""
    manifest = Manifest.parse(image.media_type, image.data)
    source = ImageReference.parse(image.reference)
    writer = RegistryWriter(client)
    for blob in filter(None, (manifest.config, *manifest.layers)):
        is_there = writer.mount_blob(target.repository, blob.digest, source.repository)
        if not is_there and image.os != "windows":
            raise RemoteFailed(
                f"error mounting {source.name}@{blob.digest} to {target.canonical}",
                hint="push the image to the repository of the list first",
            )


def _member(target: ImageReference, reference: ImageReference, insecure: bool) -> RemoteManifest:
    """From the list itself, which may have annotations, else from its registry."""
    try:
        return _read(target, reference)
    except NotFound:
        pass  # it is new
    item = manifests(reference.canonical, insecure=insecure)
    if isinstance(item, tuple):
        raise InvalidInput(f"{reference.canonical} is a manifest list")
    return item


def _parse(name: str, prefix: str = "") -> ImageReference:
    try:
        return ImageReference.parse(name)
    except InvalidInput as error:
        raise InvalidInput(f"{prefix}{error.message}", hint=error.hint) from None


def _folder(target: ImageReference) -> Path:
    return default_path().parent / "manifests" / _file_name(target)


def _file_name(reference: ImageReference) -> str:
    name = reference.canonical.replace(":", "-").replace("/", "_")
    if len(name) > _NAME_MAX:
        raise InvalidInput(f"{reference.canonical}: file name too long")
    return name


def _read(target: ImageReference, reference: ImageReference) -> RemoteManifest:
    try:
        return _decode(_folder(target) / _file_name(reference))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"No such manifest: {reference.canonical}") from None


def _save(target: ImageReference, reference: ImageReference, member: RemoteManifest) -> None:
    folder = _folder(target)
    path = folder / _file_name(reference)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(str(path), json.dumps(details(member)).encode(), mode=_MODE)


class _Descriptor(msgspec.Struct, kw_only=True, rename="camel"):
    media_type: str
    digest: str
    platform: Platform | None = None


class _File(msgspec.Struct, kw_only=True, rename="pascal"):
    ref: str
    descriptor: _Descriptor
    raw: str


def _decode(path: Path) -> RemoteManifest:
    """Raises InvalidInput for a file that is damaged: its bytes are to have their digest."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        data = base64.b64decode(file.raw, validate=True)
        manifest = Manifest.parse(file.descriptor.media_type, data)
    except (msgspec.DecodeError, binascii.Error, RemoteFailed) as error:
        raise _damaged(path, error) from None
    if manifest.digest != file.descriptor.digest:
        raise _damaged(path, f"digest mismatch ({file.descriptor.digest} != {manifest.digest})")
    platform = file.descriptor.platform or Platform()
    return RemoteManifest(
        reference=file.ref,
        media_type=manifest.media_type,
        digest=manifest.digest,
        data=data,
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        os_version=platform.os_version,
        os_features=platform.os_features,
    )


def _damaged(path: Path, reason: object) -> InvalidInput:
    return InvalidInput(
        f"invalid manifest file {path}: image manifest {reason}",
        hint=f"docker manifest rm forgets the list: {path.parent.name}",
    )
