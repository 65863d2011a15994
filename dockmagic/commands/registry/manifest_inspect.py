"""`docker manifest inspect`: what a registry has under a name, without pulling it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import Result
from dockmagic_runtime.model.search import RemoteManifest

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_OCI = "application/vnd.oci.image.manifest.v1+json"


def parser() -> Parser:
    return Parser(
        verb="manifest inspect",
        usage="[OPTIONS] MANIFEST",
        summary="Show a manifest or index of a registry",
        minimum=1,
        maximum=1,
        flags=(
            switch("insecure", help="Allow communication with an insecure registry"),
            switch("verbose", "v", "Output additional info including layers and platform"),
        ),
    )


class ManifestDocument(Result, frozen=True):
    """The document, as JSON to be read."""

    document: dict[str, Any]

    def text(self) -> str:
        indent = "   " if "manifests" in self.document else "\t"
        return json.dumps(self.document, indent=indent, ensure_ascii=False)

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.document.get("manifests") or self.document["layers"]
        return rows


class ManifestDetails(Result, frozen=True):
    """The details of `--verbose`, of one image or of each that an index has."""

    documents: list[dict[str, Any]]
    is_index: bool

    def text(self) -> str:
        document = self.documents if self.is_index else self.documents[0]
        return json.dumps(document, indent="\t", ensure_ascii=False)

    def rows(self) -> list[dict[str, Any]]:
        return [{"ref": entry["Ref"], **entry["Descriptor"]} for entry in self.documents]


def run(engine: EngineApi, arguments: Arguments) -> ManifestDocument | ManifestDetails:
    (name,) = arguments.words
    insecure = arguments.flag("insecure")
    if not arguments.flag("verbose"):
        return ManifestDocument(json.loads(engine.images.manifest(name, insecure=insecure)))
    manifests = engine.images.manifests(name, insecure=insecure)
    several = manifests if isinstance(manifests, tuple) else (manifests,)
    return ManifestDetails(list(map(_details, several)), isinstance(manifests, tuple))


def _details(manifest: RemoteManifest) -> dict[str, Any]:
    kind = "OCIManifest" if manifest.media_type == _OCI else "SchemaV2Manifest"
    platform = {"architecture": manifest.architecture, "os": manifest.os}
    platform |= {"variant": manifest.variant} if manifest.variant else {}
    return {
        "Ref": manifest.reference,
        "Descriptor": {
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": len(manifest.data),
            **({"platform": platform} if manifest.os else {}),
        },
        "Raw": b64encode(manifest.data).decode(),
        kind: json.loads(manifest.data),
    }
