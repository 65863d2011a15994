"""Where a cache goes to and comes from: a directory with an OCI layout, or a registry.

Both hold blobs, and a manifest under a tag. What is read is verified: a manifest by the digest
that names it, a blob at its end.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from dockmagic_runtime.distribution import layout
from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.client import RegistryClient, clients_for
from dockmagic_runtime.registry.manifest import Descriptor, Manifest
from dockmagic_runtime.registry.upload import RegistryWriter
from dockmagic_runtime.store.atomic import replacing

_LAYOUT_VERSION: Final = b'{"imageLayoutVersion":"1.0.0"}'


class CacheBackend(Protocol):
    """A place that holds caches. `where` names it in messages."""

    where: str

    def manifest(self) -> Manifest:
        """The manifest or index that is there. Raises NotFound, RemoteFailed."""
        ...

    def opened(self, descriptor: Descriptor) -> Any:
        """A context with a reader of a blob, which raises RemoteFailed at its end for others."""
        ...

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        """Idempotent: what is there is not written again."""
        ...

    def put_manifest(self, manifest: Manifest) -> None:
        """Called last: all blobs that the manifest names are there when it can be read."""
        ...

    def close(self) -> None: ...


class LocalCacheBackend:
    """`type=local`: a directory. Writing keeps what other tags name, as BuildKit does."""

    def __init__(self, path: str, tag: str, digest: str = "") -> None:
        self.where = path
        self._root = Path(path)
        self._tag = tag
        self._digest = digest

    def close(self) -> None:
        pass  # there is nothing open

    def manifest(self) -> Manifest:
        entry = self._entry()
        descriptor = Descriptor(
            media_type=str(entry.get("mediaType")),
            digest=str(entry.get("digest")),
            size=int(entry.get("size", 0)),
        )
        with self.opened(descriptor) as reader:
            return Manifest.parse(descriptor.media_type, reader.read())

    def _entry(self) -> dict[str, Any]:
        for entry in self._entries():
            named = (entry.get("annotations") or {}).get(layout.REF_NAME)
            if entry.get("digest") == self._digest if self._digest else named == self._tag:
                return entry
        wanted = self._digest or f"the tag {self._tag}"
        raise NotFound(f"{self.where} has no build cache with {wanted}")

    def _entries(self) -> list[dict[str, Any]]:
        try:
            manifests = json.loads((self._root / layout.INDEX).read_bytes()).get("manifests") or []
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (ValueError, AttributeError) as error:
            raise RemoteFailed(f"{self._root / layout.INDEX} is malformed: {error}") from None
        return [entry for entry in manifests if isinstance(entry, dict)]

    @contextmanager
    def opened(self, descriptor: Descriptor) -> Iterator[Readable]:
        try:
            file = (self._root / layout.blob_path(descriptor.digest)).open("rb")
        except FileNotFoundError:
            raise NotFound(f"{self.where} has no blob {descriptor.digest}") from None
        with file:
            yield _Verified(file, descriptor)

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        path = self._root / layout.blob_path(descriptor.digest)
        if not path.exists():
            self._write(path, source)

    def put_manifest(self, manifest: Manifest) -> None:
        content = layout.Content(
            digest=manifest.digest, size=len(manifest.data), media_type=manifest.media_type
        )
        self._write(self._root / layout.blob_path(manifest.digest), io.BytesIO(manifest.data))
        entry = {**content.descriptor(), "annotations": {layout.REF_NAME: self._tag}}
        others = [
            entry
            for entry in self._entries()
            if (entry.get("annotations") or {}).get(layout.REF_NAME) != self._tag
        ]
        index = {"schemaVersion": 2, "mediaType": layout.INDEX_TYPE, "manifests": [*others, entry]}
        self._write(self._root / layout.LAYOUT, io.BytesIO(_LAYOUT_VERSION))
        self._write(self._root / layout.INDEX, io.BytesIO(layout.encoded(index)))

    def _write(self, path: Path, source: BinaryIO) -> None:
        """Under its name when it is whole."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(str(path), mode=0o644) as file:
                shutil.copyfileobj(source, file)
        except OSError as error:
            raise InvalidInput(
                f"failed to export the cache to {self.where}: {error.strerror}"
            ) from None


class RegistryCacheBackend:
    """`type=registry`: a repository and a tag."""

    def __init__(self, reference: str) -> None:
        self._name = ImageReference.parse(reference)
        self.where = self._name.familiar
        self._opened: RegistryClient | None = None

    @property
    def _client(self) -> RegistryClient:
        if self._opened is None:
            *mirrors, self._opened = clients_for(self._name.registry)
            for mirror in mirrors:
                mirror.close()
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def manifest(self) -> Manifest:
        wanted = self._name.digest or self._name.tag
        return self._client.manifest(self._name.repository, wanted)

    def opened(self, descriptor: Descriptor) -> Any:
        return self._client.open_blob(self._name.repository, descriptor)

    def put_blob(self, descriptor: Descriptor, source: BinaryIO) -> None:
        writer = RegistryWriter(self._client)
        if not writer.has_blob(self._name.repository, descriptor.digest):
            writer.upload_blob(self._name.repository, descriptor, source)

    def put_manifest(self, manifest: Manifest) -> None:
        if not self._name.tag:
            raise InvalidInput(f"a cache is exported to a tag, not to the digest of {self.where}")
        RegistryWriter(self._client).put_manifest(self._name.repository, self._name.tag, manifest)


class _Verified:
    """A file that is what its descriptor says: size and digest are checked at its end."""

    def __init__(self, file: BinaryIO, descriptor: Descriptor) -> None:
        self._file = file
        self._descriptor = descriptor
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        is_over = size < 0 or (size and not data)
        if is_over and f"sha256:{self._hash.hexdigest()}" != self._descriptor.digest:
            raise RemoteFailed(f"the blob {self._descriptor.digest} is damaged")
        return data
