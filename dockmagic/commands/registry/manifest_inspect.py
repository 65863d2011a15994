"""`docker manifest inspect`: a list that is put together here, or what a registry has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import Result
from dockmagic.commands.registry.experimental import experimental
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.manifest_list import details, list_document

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi
    from dockmagic_runtime.model.search import RemoteManifest


def parser() -> Parser:
    return Parser(
        verb="manifest inspect",
        usage="[OPTIONS] [MANIFEST_LIST] MANIFEST",
        summary="Display an image manifest, or manifest list",
        also=experimental("manifest inspect"),
        minimum=1,
        maximum=2,
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
    *lists, name = arguments.words
    insecure, is_verbose = arguments.flag("insecure"), arguments.flag("verbose")
    here = _here(engine, lists, name)
    if is_verbose:
        manifests = here or engine.images.manifests(name, insecure=insecure)
        several = manifests if isinstance(manifests, tuple) else (manifests,)
        return ManifestDetails(list(map(details, several)), isinstance(manifests, tuple))
    if isinstance(here, tuple):
        return ManifestDocument(list_document(here))
    data = here.data if here else engine.images.manifest(name, insecure=insecure)
    document = json.loads(data)
    return ManifestDocument(_shown_list(document) if "manifests" in document else document)


def _here(
    engine: EngineApi, lists: list[str], name: str
) -> RemoteManifest | tuple[RemoteManifest, ...] | None:
    """One image of the list that is named, or the list of the name; None for a registry's."""
    if lists:
        return engine.manifests.get(lists[0], name)
    try:
        return engine.manifests.list(name)
    except NotFound:
        return None


def _shown_list(document: dict[str, Any]) -> dict[str, Any]:
    """Docker shows a registry's list as it would make it: without annotations."""
    return {
        "schemaVersion": 2,
        "mediaType": document.get("mediaType", "application/vnd.oci.image.index.v1+json"),
        "manifests": [_shown_entry(entry) for entry in document["manifests"]],
    }


def _shown_entry(entry: dict[str, Any]) -> dict[str, Any]:
    platform = {"architecture": "", "os": "", **(entry.get("platform") or {})}
    names = ("architecture", "os", "os.version", "os.features", "variant")
    return {
        "mediaType": entry.get("mediaType", ""),
        "size": entry.get("size", 0),
        "digest": entry.get("digest", ""),
        "platform": {name: platform[name] for name in names if name in platform},
    }
