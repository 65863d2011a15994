"""`--cache-to`: exports the results of a build for builds on other machines."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Final

from dockmagic_runtime.builder.cache.backends import CacheBackend
from dockmagic_runtime.builder.cache.document import CONFIG_TYPE, CacheRecord, encode
from dockmagic_runtime.builder.own_steps import Work
from dockmagic_runtime.builder.results import Result, StepResult
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.distribution import layout
from dockmagic_runtime.distribution.compressed import compressed_blob, kept_blob
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.model.build import BuildEvent, StepStatus
from dockmagic_runtime.registry.manifest import OCI_MANIFEST, Descriptor, Manifest

_CREATED: Final = "buildkit/createdat"
_DIFF_ID: Final = "containerd.io/uncompressed"


def of_target(results: Iterable[StepResult], state: StageState) -> tuple[StepResult, ...]:
    """`mode=min`: those that the image itself is made of."""
    chains = {"", *state.chain_ids}
    return tuple(step for step in results if {step.result.chain_id, step.below} <= chains)


def inline(results: Sequence[StepResult], state: StageState) -> str:
    """The cache as an image's config carries it: its layers are the image's own."""
    places = {chain: place for place, chain in enumerate(state.chain_ids)}
    records = [_record(step, places) for step in of_target(results, state)]
    blobs = [("", place - 1) for place in range(len(state.chain_ids))]
    return base64.b64encode(encode(records, blobs)).decode()


def _record(step: StepResult, places: dict[str, int]) -> CacheRecord:
    result = step.result
    return CacheRecord(
        key=step.key,
        created=result.created,
        diff_id=result.diff_id,
        size=result.size,
        layer=places[result.chain_id] if result.chain_id else None,
    )


class Exporter:
    """Exports to a backend. Layers are compressed once, also for a push that follows."""

    def __init__(self, layers: LayerStore, blobs: BlobStore) -> None:
        self._layers = layers
        self._blobs = blobs

    def work(self, results: Sequence[StepResult], backend: CacheBackend) -> Work[None]:
        """The work of the step that exports `results`. Raises RemoteFailed, InvalidInput."""
        return lambda number: self._export(results, backend, number)

    def _export(
        self, results: Sequence[StepResult], backend: CacheBackend, number: int
    ) -> Generator[BuildEvent, None, None]:
        yield StepStatus(number=number, id="preparing build cache for export")
        layers = {step.result.chain_id: step for step in results if step.result.chain_id}
        places = {chain: place for place, chain in enumerate(layers)}
        descriptors = []
        for chain_id, step in layers.items():
            descriptors.append(self._put_layer(chain_id, step.result, backend))
            written = f"writing layer {descriptors[-1].digest}"
            yield StepStatus(number=number, id=written, done=True)
        blobs = [
            (descriptor.digest, places.get(step.below, -1))
            for descriptor, step in zip(descriptors, layers.values(), strict=True)
        ]
        config = encode([_record(step, places) for step in results], blobs)
        self._put_manifest(config, descriptors, backend)
        yield StepStatus(number=number, id=f"writing cache image manifest to {backend.where}",
                         done=True)  # fmt: skip
        yield StepStatus(number=number, id="preparing build cache for export", done=True)

    def _put_layer(self, chain_id: str, result: Result, backend: CacheBackend) -> Descriptor:
        descriptor = kept_blob(self._layers, self._blobs, chain_id)
        descriptor = descriptor or compressed_blob(self._layers, self._blobs, chain_id)
        with Path(self._blobs.path(descriptor.digest)).open("rb") as blob:
            backend.put_blob(descriptor, blob)
        annotations = {_CREATED: result.created, _DIFF_ID: result.diff_id}
        return Descriptor(
            media_type=descriptor.media_type,
            digest=descriptor.digest,
            size=descriptor.size,
            annotations=annotations,
        )

    @staticmethod
    def _put_manifest(config: bytes, layers: Sequence[Descriptor], backend: CacheBackend) -> None:
        about = layout.Content.of(config, CONFIG_TYPE)
        descriptor = Descriptor(media_type=about.media_type, digest=about.digest, size=about.size)
        backend.put_blob(descriptor, io.BytesIO(config))
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": about.descriptor(),
            "layers": [
                {
                    "mediaType": layer.media_type,
                    "digest": layer.digest,
                    "size": layer.size,
                    "annotations": layer.annotations,
                }
                for layer in layers
            ],
        }
        backend.put_manifest(Manifest.parse(OCI_MANIFEST, layout.encoded(document)))
