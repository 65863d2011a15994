"""`--cache-from`: imports results that another build has exported to a backend.

Only the document is read when the build begins. A layer is fetched when a step has its key, and is
unpacked on top of the layers of that step's stage; its diff id and its chain id verify it.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Callable, Generator, Iterator, Sequence

from msgspec import Struct

from dockmagic_runtime.builder.cache.backends import CacheBackend
from dockmagic_runtime.builder.cache.document import (
    CONFIG_TYPE,
    INLINE_FIELD,
    CacheRecord,
    as_result,
    decode,
)
from dockmagic_runtime.builder.interfaces import Layers
from dockmagic_runtime.builder.own_steps import OwnSteps, Work
from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.errors import DockmagicError, NotFound, RemoteFailed
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.model.build import BuildEvent, StepDone
from dockmagic_runtime.registry.manifest import (
    CONFIGS,
    MANIFEST_LIMIT,
    Descriptor,
    Manifest,
    Platform,
    resolve_platform,
)


class _Imported(Struct, frozen=True):
    backend: CacheBackend
    records: dict[str, CacheRecord]
    layers: tuple[Descriptor, ...]


class ImportedCaches:
    """All that a build may take results from. Stages ask side by side."""

    def __init__(self, layers: Layers, free: Callable[[], int]) -> None:
        """`free` returns the bytes that a layer may take on disk."""
        self._layers = layers
        self._free = free
        self._imported: list[_Imported] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        for imported in self._imported:
            imported.backend.close()

    def load(self, backends: Sequence[CacheBackend], own: OwnSteps) -> Iterator[BuildEvent]:
        """Reads the documents of the backends. One that fails is a failed step, and the build
        goes on without it."""
        for backend in backends:
            try:
                name = f"importing cache manifest from {backend.where}"
                self._imported.append((yield from own.run(name, _reading(backend))))
            except DockmagicError as error:
                backend.close()
                yield StepDone(number=own.last, error=error.message)

    def find(self, key: str, state: StageState) -> tuple[Result | None, str]:
        """The result under the key, its layer brought here; or None, and why if it was there."""
        reason = ""
        for imported in self._imported:
            record = imported.records.get(key)
            if record is None:
                continue
            try:
                return as_result(record, self._brought(imported, record, state)), ""
            except DockmagicError as error:
                reason = f"what {imported.backend.where} has of it cannot be used: {error.message}"
        return None, reason

    def _brought(self, imported: _Imported, record: CacheRecord, state: StageState) -> str:
        if record.layer is None:
            return ""
        chain_id, parent = state.chain_id_with(record.diff_id), state.top
        with self._lock:
            if not self._layers.has(chain_id):
                descriptor = imported.layers[record.layer]
                limits = Limits.for_blob(descriptor.size, self._free())
                with imported.backend.opened(descriptor) as stream:
                    self._layers.add(stream, parent, expected_diff_id=record.diff_id, limits=limits)
        return chain_id


def _reading(backend: CacheBackend) -> Work[_Imported]:
    def work(number: int) -> Generator[BuildEvent, None, _Imported]:
        yield from ()
        return _read(backend)

    return work


def _read(backend: CacheBackend) -> _Imported:
    manifest = backend.manifest()
    if manifest.is_index and not any(map(_is_cache, manifest.manifests or ())):
        chosen = resolve_platform(manifest, Platform.host())
        with backend.opened(chosen) as reader:
            manifest = Manifest.parse(chosen.media_type, reader.read())
    layers = manifest.layers
    if manifest.is_index:  # BuildKit's older form: an index of layers, its config among them
        entries = manifest.manifests or ()
        layers = tuple(descriptor for descriptor in entries if not _is_cache(descriptor))
        config = next(filter(_is_cache, entries))
        return _Imported(backend, decode(_document(backend, config), len(layers)), layers)
    assert manifest.config is not None  # as every manifest that is no index
    data = _document(backend, manifest.config)
    if manifest.config.media_type in CONFIGS:
        data = _inline(data)
    return _Imported(backend, decode(data, len(layers)), layers)


def _is_cache(descriptor: Descriptor) -> bool:
    return descriptor.media_type == CONFIG_TYPE


def _document(backend: CacheBackend, descriptor: Descriptor) -> bytes:
    if descriptor.size > MANIFEST_LIMIT:
        raise RemoteFailed(f"the document of the cache has {descriptor.size} bytes")
    with backend.opened(descriptor) as reader:
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
