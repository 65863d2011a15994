"""The documents of an image archive, with the fields and the order of fields that Docker writes.

The order matters: a manifest's digest is that of its bytes, and ours are to be Docker's.
Sources: OCI image spec, `image-layout.md`, `manifest.md`; moby, image/tarexport, as behaviour.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.model.reference import ImageReference, digest_hex

LAYOUT: Final = "oci-layout"
INDEX: Final = "index.json"
MANIFEST: Final = "manifest.json"
REPOSITORIES: Final = "repositories"
BLOBS: Final = "blobs/sha256"
CONTAINERD_NAME: Final = "io.containerd.image.name"
REF_NAME: Final = "org.opencontainers.image.ref.name"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"

Json = dict[str, Any]


class Content(Struct, frozen=True, kw_only=True):
    """What a descriptor describes: a blob's digest, size and kind."""

    digest: str
    size: int
    media_type: str

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Content:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return cls(digest=digest, size=len(data), media_type=media_type)

    def descriptor(self) -> Json:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


def blob_path(digest: str) -> str:
    """Where a layout has a blob. Raises InvalidInput for what is no digest."""
    return f"{BLOBS}/{digest_hex(digest)}"


def encoded(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def manifest(config: Content, layers: Sequence[Content]) -> bytes:
    """An OCI image manifest."""
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
        }
    )


def index(entries: Sequence[tuple[Content, ImageReference | None]]) -> bytes:
    """A layout's index.json: each manifest once for each of its names."""
    manifests = [
        {**content.descriptor(), **({"annotations": _annotations(name)} if name else {})}
        for content, name in entries
    ]
    return encoded({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})


def _annotations(name: ImageReference) -> Json:
    return {CONTAINERD_NAME: name.canonical, REF_NAME: name.tag}


def docker_entry(config: Content, layers: Sequence[Content], names: Sequence[str]) -> Json:
    """One image of Docker's manifest.json."""
    return {
        "Config": blob_path(config.digest),
        "RepoTags": list(names) or None,
        "Layers": [blob_path(layer.digest) for layer in layers],
        "LayerSources": {layer.digest: layer.descriptor() for layer in layers},
    }
