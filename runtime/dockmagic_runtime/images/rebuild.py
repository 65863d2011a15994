"""The rows of images, layers and tags, from what lies on the disk and from rows that may be wrong.

An image is what its config's digest says. A layer's directory has its chain id as its name, which
its diff id and its parent must give: both are in a row, in an image's config, or are computed.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import oci_documents
from dockmagic_runtime.images.pack import pack
from dockmagic_runtime.model.reference import ImageReference, is_digest
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.row_files import Row

_SHA: Final = "sha256:"


class ImageRows(Struct):
    """Rows by key, and what cannot be saved, in words."""

    layers: dict[str, Row] = field(default_factory=dict)
    images: dict[str, Row] = field(default_factory=dict)
    tags: dict[str, Row] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def image_layers(self) -> Iterator[Row]:
        for image_id, row in self.images.items():
            for position, chain_id in enumerate(_chain_ids(row["config"])):
                yield {"image_id": image_id, "position": position, "chain_id": chain_id}


def rebuild(
    data_root: DataRoot, layers: Iterable[Row], images: Iterable[Row], tags: Iterable[Row]
) -> ImageRows:
    """The better rows come first: of two with one key the first valid one counts."""
    rows = ImageRows()
    configs = _configs(images)
    present = _present(data_root)
    _add_layers(rows, data_root, present, layers, configs)
    manifests = _manifests(data_root)
    _add_blobs(rows, configs, manifests)
    _forget_missing_blobs(rows, data_root)
    for image_id, row in configs.items():
        missing = [key for key in _chain_ids(row["config"]) if key not in rows.layers]
        if missing:
            rows.lost.append(f"image {_short(image_id)}: its layer {_short(missing[0])} is gone")
        else:
            rows.images[image_id] = row
    _add_tags(rows, tags)
    return rows


# ---------------------------------------------------------------------- images


def _configs(images: Iterable[Row]) -> dict[str, Row]:
    """The rows of images with the config that their ids name, as bytes."""
    valid: dict[str, Row] = {}
    for row in images:
        image_id, config = str(row.get("id")), _bytes(row)
        if image_id in valid or oci_documents.image_id(config) != image_id:
            continue
        try:
            created = oci_documents.timestamp(oci_documents.decode_config(config).created)
        except InvalidInput:
            continue
        manifest = row.get("manifest")
        valid[image_id] = {
            "id": image_id,
            "config": config,
            "created": created,
            "manifest": manifest if isinstance(manifest, str) else "",
        }
    return valid


def _bytes(row: Row) -> bytes:
    """A config as a file of a row has it, or the database."""
    config = row.get("config")
    if isinstance(config, bytes):
        return config
    text = str(config)
    data = text.encode("utf-8", "surrogateescape")
    if oci_documents.image_id(data) != row.get("id"):
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return data
    return data


def _chain_ids(config: bytes) -> tuple[str, ...]:
    return oci_documents.chain_ids(oci_documents.decode_config(config).diff_ids)


def _manifests(data_root: DataRoot) -> dict[str, oci_documents.Manifest]:
    """The manifests in the blob store, by the id of their image."""
    manifests: dict[str, oci_documents.Manifest] = {}
    for path in sorted(data_root.blobs.iterdir()):
        with path.open("rb") as file:
            if file.read(1) != b"{" or path.stat().st_size > oci_documents.MAX_MANIFEST:
                continue
        try:
            manifest = oci_documents.decode_manifest(path.read_bytes())
        except InvalidInput:
            continue
        if isinstance(manifest, oci_documents.Manifest):
            manifests[manifest.config.digest] = manifest
    return manifests


def _add_tags(rows: ImageRows, tags: Iterable[Row]) -> None:
    for row in tags:
        reference, image_id = str(row.get("reference")), str(row.get("image_id"))
        if reference in rows.tags or not _is_reference(reference):
            continue
        if image_id in rows.images:
            changed = row.get("changed")
            changed = changed if isinstance(changed, (int, float)) else time.time()
            rows.tags[reference] = {
                "reference": reference, "image_id": image_id, "changed": changed
            }  # fmt: skip
        else:
            rows.lost.append(f"tag {reference}: its image {_short(image_id)} is gone")


def _is_reference(text: str) -> bool:
    try:
        return bool(ImageReference.parse(text))
    except InvalidInput:
        return False


# ---------------------------------------------------------------------- layers


def _present(data_root: DataRoot) -> list[str]:
    """The chain ids of the layers with a directory."""
    names = sorted(os.listdir(data_root.layers))
    return [
        f"{_SHA}{name}"
        for name in names
        if is_digest(f"{_SHA}{name}") and (data_root.layers / name / "diff").is_dir()
    ]


def _add_layers(
    rows: ImageRows,
    data_root: DataRoot,
    present: list[str],
    layers: Iterable[Row],
    configs: dict[str, Row],
) -> None:
    known: dict[str, Row] = {}
    for row in layers:
        chain_id = str(row.get("chain_id"))
        if chain_id in present and chain_id not in known and _is_valid(row):
            known[chain_id] = row
    named = _named_by(configs)
    unknown = [chain_id for chain_id in present if chain_id not in known]
    for chain_id in [key for key in unknown if key in named]:
        parent, diff_id = named[chain_id]
        known[chain_id] = _described(data_root, chain_id, parent, diff_id)
        unknown.remove(chain_id)
    for chain_id, row in _computed(data_root, unknown, present):
        known[chain_id] = row
    _keep_whole_chains(rows, known, present)


def _add_blobs(
    rows: ImageRows, configs: dict[str, Row], manifests: dict[str, oci_documents.Manifest]
) -> None:
    """A layer of another program can be written again from its blob only."""
    for image_id, row in configs.items():
        manifest = manifests.get(image_id)
        blobs = manifest.layers if manifest else []
        for chain_id, blob in zip(_chain_ids(row["config"]), blobs, strict=False):
            layer = rows.layers.get(chain_id)
            if layer is not None and not layer["blob"]:
                layer.update(blob=blob.digest, media_type=blob.media_type)


def _forget_missing_blobs(rows: ImageRows, data_root: DataRoot) -> None:
    blobs = set(os.listdir(data_root.blobs))
    for row in rows.layers.values():
        if row["blob"].removeprefix(_SHA) not in blobs:
            row.update(blob="", media_type="")


def _is_valid(row: Row) -> bool:
    texts = [row.get(name) for name in ("diff_id", "parent", "blob", "media_type")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(row.get("size"), int):
        return False
    diff_id, parent, blob, _ = map(str, texts)
    if not is_digest(diff_id) or not all(not text or is_digest(text) for text in (parent, blob)):
        return False
    return oci_documents.chain_id(parent, diff_id) == str(row["chain_id"])


def _named_by(configs: dict[str, Row]) -> dict[str, tuple[str, str]]:
    """By chain id: parent and diff id, of all layers that images name."""
    named: dict[str, tuple[str, str]] = {}
    for row in configs.values():
        parent = ""
        for diff_id in oci_documents.decode_config(row["config"]).diff_ids:
            chain_id = oci_documents.chain_id(parent, diff_id)
            named[chain_id] = (parent, diff_id)
            parent = chain_id
    return named


def _described(data_root: DataRoot, chain_id: str, parent: str, diff_id: str) -> Row:
    directory = data_root.layers / chain_id.removeprefix(_SHA)
    return _row(chain_id, parent, diff_id, pack(str(directory / "diff")).size, directory)


def _row(chain_id: str, parent: str, diff_id: str, size: int, directory: Any) -> Row:
    return {
        "chain_id": chain_id, "diff_id": diff_id, "parent": parent, "size": size,
        "blob": "", "media_type": "", "created": directory.stat().st_mtime,
    }  # fmt: skip


def _computed(
    data_root: DataRoot, unknown: list[str], present: list[str]
) -> Iterator[tuple[str, Row]]:
    """A layer that was made here packs to its diff id; its parent is what then gives its name."""
    for chain_id in unknown:
        directory = data_root.layers / chain_id.removeprefix(_SHA)
        packed = pack(str(directory / "diff"))
        for parent in ("", *present):
            if oci_documents.chain_id(parent, packed.diff_id) == chain_id:
                yield chain_id, _row(chain_id, parent, packed.diff_id, packed.size, directory)


def _keep_whole_chains(rows: ImageRows, known: dict[str, Row], present: list[str]) -> None:
    """A layer without the one below it is of no use."""
    waiting = dict(known)
    while ready := [
        key for key, row in waiting.items() if not row["parent"] or row["parent"] in rows.layers
    ]:
        for key in ready:
            rows.layers[key] = waiting.pop(key)
    for chain_id in present:
        if chain_id not in rows.layers:
            reason = "the layer below it is gone" if chain_id in waiting else "nothing describes it"
            rows.lost.append(f"layer {_short(chain_id)}: {reason}")


def _short(digest: str) -> str:
    return digest.removeprefix(_SHA)[:12]
