"""Layers as the blobs that registries and archives of caches want: compressed once, then kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dockmagic_runtime.distribution import layout
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.gzip import GzipWriter
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.registry.manifest import Descriptor

_GZIP: Final = f"{layout.LAYER_TYPE}+gzip"
_ZSTD: Final = f"{layout.LAYER_TYPE}+zstd"


def kept_blob(layers: LayerStore, blobs: BlobStore, chain_id: str) -> Descriptor | None:
    """The layer's blob, if it is kept and compressed."""
    record = layers.get(chain_id)
    kinds = {"gzip": _GZIP, "zstd": _ZSTD}
    kind = kinds.get(record.media_type[-4:])
    if kind is None or not record.blob or not blobs.has(record.blob):
        return None
    return Descriptor(media_type=kind, digest=record.blob, size=blobs.size(record.blob))


def compressed_blob(
    layers: LayerStore,
    blobs: BlobStore,
    chain_id: str,
    check: Callable[[], None] = lambda: None,
) -> Descriptor:
    """The layer compressed, and noted as its blob. `check` is called often, and may raise."""
    with blobs.writer() as writer:
        with GzipWriter(_Interruptible(writer.write, check)) as gzip:
            layers.pack(chain_id, gzip)
        digest = writer.commit()
    layers.set_blob(chain_id, digest, _GZIP)
    return Descriptor(media_type=_GZIP, digest=digest, size=writer.size)


class _Interruptible:
    """Passes bytes on while `check` does not raise."""

    def __init__(self, write: Callable[[bytes], object], check: Callable[[], None]) -> None:
        self._write = write
        self._check = check

    def write(self, data: bytes, /) -> object:
        self._check()
        return self._write(data)
