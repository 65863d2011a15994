"""`--cache-from`: results that another machine, or another time, has left in a cache's place.

A place is asked when the build begins, for its document only. A layer is fetched when a step has
its key, and becomes a layer here on top of just what the step stands on; so it is verified by its
diff id, and by its chain.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from dockmagic_runtime.builder.cache.backends import CacheBackend
from dockmagic_runtime.builder.cache.document import (
    CONFIG_TYPE,
    INLINE_FIELD,
    CacheRecord,
    as_result,
    decode,
)
from dockmagic_runtime.builder.cache.store import Result
from dockmagic_runtime.builder.interfaces import Layers
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.errors import DockmagicError, NotFound, RemoteFailed
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.registry.manifest import (
    CONFIGS,
    MANIFEST_LIMIT,
    Descriptor,
    Manifest,
    Platform,
    resolve_platform,
)


class _Imported(Struct, frozen=True):
    place: CacheBackend
    records: dict[str, CacheRecord]
    layers: tuple[Descriptor, ...]


class ImportedCaches:
    """All that a build may take results from. Stages ask side by side."""

    def __init__(self, layers: Layers, free: Callable[[], int]) -> None:
        """`free` tells the bytes that a layer may take on disk."""
        self._layers = layers
        self._free = free
        self._found: list[_Imported] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        for one in self._found:
            one.place.close()

    def load(self, places: Sequence[CacheBackend]) -> Iterator[PullStatus]:
        """Ask the places. One that has nothing is told, and no error: the build goes on."""
        for place in places:
            told = f"importing cache manifest from {place.where}"
            try:
                found = _read(place)
            except DockmagicError as error:
                place.close()
                yield PullStatus(status=f"{told}: {error.message}")
            else:
                self._found.append(found)
                yield PullStatus(status=told)

    def find(self, key: str, tip: StageState) -> tuple[Result | None, str]:
        """The result under the key, its layer brought here; or None, and why if it was there."""
        reason = ""
        for one in self._found:
            record = one.records.get(key)
            if record is None:
                continue
            try:
                return as_result(record, self._brought(one, record, tip)), ""
            except DockmagicError as error:
                reason = f"what {one.place.where} has of it cannot be used: {error.message}"
        return None, reason

    def _brought(self, found: _Imported, record: CacheRecord, tip: StageState) -> str:
        if record.layer is None:
            return ""
        chain_id, parent = tip.chain_id_with(record.diff_id), tip.top
        with self._lock:
            if not self._layers.has(chain_id):
                descriptor = found.layers[record.layer]
                limits = Limits.for_blob(descriptor.size, self._free())
                with found.place.opened(descriptor) as stream:
                    self._layers.add(stream, parent, expected_diff_id=record.diff_id, limits=limits)
        return chain_id


def _read(place: CacheBackend) -> _Imported:
    manifest = place.manifest()
    if manifest.is_index and not any(_is_cache(one) for one in manifest.manifests or ()):
        chosen = resolve_platform(manifest, Platform.host())
        with place.opened(chosen) as reader:
            manifest = Manifest.parse(chosen.media_type, reader.read())
    layers = manifest.layers
    if manifest.is_index:  # BuildKit's older form: an index of layers, its config among them
        entries = manifest.manifests or ()
        layers = tuple(one for one in entries if not _is_cache(one))
        config = next(one for one in entries if _is_cache(one))
        return _Imported(place, decode(_document(place, config), len(layers)), layers)
    assert manifest.config is not None  # as every manifest that is no index
    data = _document(place, manifest.config)
    if manifest.config.media_type in CONFIGS:
        data = _inline(data)
    return _Imported(place, decode(data, len(layers)), layers)


def _is_cache(descriptor: Descriptor) -> bool:
    return descriptor.media_type == CONFIG_TYPE


def _document(place: CacheBackend, descriptor: Descriptor) -> bytes:
    if descriptor.size > MANIFEST_LIMIT:
        raise RemoteFailed(f"the document of the cache has {descriptor.size} bytes")
    with place.opened(descriptor) as reader:
        data: bytes = reader.read()
    return data


def _inline(config: bytes) -> bytes:
    """What `--cache-to type=inline` has put into an image's config."""
    try:
        text = json.loads(config).get(INLINE_FIELD)
        if text is None:
            raise NotFound("the image has no cache in it", hint="--cache-to type=inline makes one")
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise RemoteFailed(f"the cache in the image's config is malformed: {error}") from None
