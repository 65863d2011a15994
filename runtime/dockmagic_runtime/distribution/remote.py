"""What registries have, looked at without pulling it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from dockmagic_runtime.errors import NotFound, RemoteFailed
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.search import RemoteManifest
from dockmagic_runtime.registry.client import RegistryClient, clients_for
from dockmagic_runtime.registry.manifest import MANIFEST_LIMIT, Descriptor, Manifest, Platform


def manifest(reference: str, *, insecure: bool = False) -> bytes:
    """The manifest or index under a name. Raises NotFound, RegistryUnreachable, AccessDenied."""
    name = ImageReference.parse(reference)
    with asked(name, insecure) as client:
        return _top(client, name).data


def manifests(
    reference: str, *, insecure: bool = False
) -> tuple[RemoteManifest, ...] | RemoteManifest:
    """The image under a name with its platform; of an index each of its images, in a tuple."""
    name = ImageReference.parse(reference)
    with asked(name, insecure) as client:
        top = _top(client, name)
        if not top.is_index:
            return _remote(name.canonical, top, _platform(client, name, top))
        return tuple(_entry(client, name, entry) for entry in top.manifests or ())


@contextmanager
def asked(name: ImageReference, insecure: bool) -> Iterator[RegistryClient]:
    """A client of the registry itself: a mirror need not have everything."""
    *mirrors, client = clients_for(name.registry, insecure=insecure)
    for mirror in mirrors:
        mirror.close()
    with client:
        yield client


def _top(client: RegistryClient, name: ImageReference) -> Manifest:
    try:
        return client.manifest(name.repository, name.digest or name.tag)
    except NotFound as error:
        raise NotFound(f"no such manifest: {name.familiar}", hint=error.message) from None


def _entry(client: RegistryClient, name: ImageReference, entry: Descriptor) -> RemoteManifest:
    manifest = client.manifest(name.repository, entry.digest)
    return _remote(f"{name.canonical}@{entry.digest}", manifest, entry.platform)


def _platform(client: RegistryClient, name: ImageReference, image: Manifest) -> Platform | None:
    """What the image's config says; nothing for what has no config of an image."""
    config = image.config
    if config is None or config.size > MANIFEST_LIMIT:
        raise RemoteFailed(f"the manifest of {name.familiar} has no config that could be read")
    with client.open_blob(name.repository, config) as stream:
        data = stream.read()
    try:
        return msgspec.json.decode(data, type=Platform)
    except msgspec.MsgspecError:
        return None


def _remote(reference: str, document: Manifest, platform: Platform | None) -> RemoteManifest:
    return RemoteManifest(
        reference=reference,
        media_type=document.media_type,
        digest=document.digest,
        data=document.data,
        architecture=platform.architecture if platform else "",
        os=platform.os if platform else "",
        variant=platform.variant if platform else "",
        os_version=platform.os_version if platform else "",
        os_features=platform.os_features if platform else (),
    )
