"""What is said about the images of a manifest list, and the documents that say it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.model.search import RemoteManifest

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"


class Annotation(Struct, frozen=True, kw_only=True):
    """What an image of a list is to run on; what is empty stays as it is."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()


def list_document(manifests: Sequence[RemoteManifest]) -> dict[str, Any]:
    """The list as a registry has it: an OCI index if its first image is OCI's, as Docker's."""
    is_oci = bool(manifests) and manifests[0].media_type == OCI_MANIFEST
    return {
        "schemaVersion": 2,
        "mediaType": _OCI_INDEX if is_oci else _DOCKER_LIST,
        "manifests": [
            {
                "mediaType": manifest.media_type,
                "size": len(manifest.data),
                "digest": manifest.digest,
                "platform": platform(manifest),
            }
            for manifest in manifests
        ],
    }


def platform(manifest: RemoteManifest) -> dict[str, Any]:
    """The fields that have a value, in Docker's order; the first two always."""
    more = {
        "os.version": manifest.os_version,
        "os.features": list(manifest.os_features),
        "variant": manifest.variant,
    }
    fields: dict[str, Any] = {"architecture": manifest.architecture, "os": manifest.os}
    return fields | {name: value for name, value in more.items() if value}


def details(manifest: RemoteManifest) -> dict[str, Any]:
    """All that is known of one image, as `manifest inspect --verbose` shows it."""
    kind = "OCIManifest" if manifest.media_type == OCI_MANIFEST else "SchemaV2Manifest"
    return {
        "Ref": manifest.reference,
        "Descriptor": {
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": len(manifest.data),
            "platform": platform(manifest),
        },
        "Raw": b64encode(manifest.data).decode(),
        kind: json.loads(manifest.data),
    }
