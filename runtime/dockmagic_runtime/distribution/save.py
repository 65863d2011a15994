"""`save`: images as one archive, which is Docker's format and an OCI layout at once.

Both name the same blobs: the layers as plain tars, so that their digests are the diff ids. A
layer's size is known only when it is packed, and comes first in a tar: each is written to an
unnamed file and copied from there. Nothing is kept in memory, and the archive is
only ever appended to, so it may be a pipe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import IO, BinaryIO, Final

from msgspec import Struct

from dockmagic_runtime.distribution import layout
from dockmagic_runtime.distribution.layout import Content
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.pack import Writable
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.images.tar import header
from dockmagic_runtime.images.tar.entry import BLOCK, DIRECTORY, REGULAR, TarEntry
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.data_root import DataRoot

_COPY: Final = 1 << 20
_RECORD: Final = 20 * BLOCK  # tars end at a multiple of it


class _Chosen(Struct):
    """An image to save, under these names."""

    image: Image
    names: list[ImageReference]


class Saver:
    """Writes images of one area."""

    def __init__(self, data_root: DataRoot, images: ImageStore, layers: LayerStore) -> None:
        self._scratch = str(data_root.scratch)
        self._images = images
        self._layers = layers

    def save(self, references: Sequence[str], out: BinaryIO) -> tuple[Image, ...]:
        """Write the images that `references` name: all tags of a name without one.

        Raises NotFound, before anything is written.
        """
        chosen = self._choose(references)
        _Writing(self._scratch, self._images, self._layers, out).run(chosen)
        return tuple(choice.image for choice in chosen)

    def _choose(self, references: Sequence[str]) -> list[_Chosen]:
        choices: dict[str, _Chosen] = {}
        for reference in references:
            for image, names in self._named(reference):
                choice = choices.setdefault(image.id, _Chosen(image, []))
                choice.names += [name for name in names if name not in choice.names]
        return list(choices.values())

    def _named(self, reference: str) -> list[tuple[Image, list[ImageReference]]]:
        """A repository's name means all its tags, as with Docker; an id brings no name along."""
        try:
            name = ImageReference.parse(reference)
        except InvalidInput:
            return [(self._images.resolve(reference), [])]
        if not name.digest and not reference.endswith(f":{name.tag}"):
            tagged = self._images.tags_of(name.name)
            if tagged:
                return [(self._images.resolve(tag.canonical), [tag]) for tag in tagged]
        image = self._images.resolve(reference)
        is_name = name.familiar in map(_familiar, image.tags)
        return [(image, [name] if is_name else [])]


def _familiar(tag: str) -> str:
    return ImageReference.parse(tag).familiar


class _Writing:
    """One archive on its way out."""

    def __init__(self, scratch: str, images: ImageStore, layers: LayerStore, out: BinaryIO) -> None:
        self._scratch = scratch
        self._images = images
        self._layers = layers
        self._tar = TarWriter(out)
        self._written: dict[str, Content] = {}  # by digest

    def run(self, chosen: Sequence[_Chosen]) -> None:
        entries: list[layout.Json] = []
        manifests: list[tuple[Content, ImageReference | None]] = []
        repositories: dict[str, dict[str, str]] = {}
        self._tar.directory("blobs/")
        self._tar.directory(f"{layout.BLOBS}/")
        for choice in chosen:
            config = self._images.config_bytes(choice.image.id)
            layers = self._write_layers(choice.image)
            about = self._blob(config, layout.CONFIG_TYPE, choice.image.created)
            manifest = layout.manifest(about, layers)
            content = self._blob(manifest, layout.MANIFEST_TYPE, choice.image.created)
            entries.append(layout.docker_entry(about, layers, [n.familiar for n in choice.names]))
            manifests += [(content, name) for name in (choice.names or (None,))]
            for name in choice.names:
                top = (layers[-1] if layers else about).digest.removeprefix("sha256:")
                repositories.setdefault(name.familiar_name, {})[name.tag] = top
        self._finish(entries, manifests, repositories)

    def _finish(
        self,
        entries: list[layout.Json],
        manifests: list[tuple[Content, ImageReference | None]],
        repositories: dict[str, dict[str, str]],
    ) -> None:
        self._tar.file(layout.INDEX, layout.index(manifests))
        self._tar.file(layout.MANIFEST, layout.encoded(entries))
        self._tar.file(layout.LAYOUT, layout.encoded({"imageLayoutVersion": "1.0.0"}))
        if repositories:
            self._tar.file(layout.REPOSITORIES, layout.encoded(repositories))
        self._tar.end()

    def _write_layers(self, image: Image) -> list[Content]:
        pairs = zip(image.diff_ids, image.chain_ids, strict=True)
        return [self._layer(image, diff_id, chain_id) for diff_id, chain_id in pairs]

    def _layer(self, image: Image, diff_id: str, chain_id: str) -> Content:
        if diff_id not in self._written:
            size = self._write_layer(image, diff_id, chain_id)
            self._written[diff_id] = Content(
                digest=diff_id, size=size, media_type=layout.LAYER_TYPE
            )
        return self._written[diff_id]

    def _write_layer(self, image: Image, diff_id: str, chain_id: str) -> int:
        """Writes the layer's member; its size. Without room for a file it is packed twice."""
        path = layout.blob_path(diff_id)
        with ExitStack() as stack:
            spool = self._spool(chain_id, stack)
            if spool is not None:
                size = spool.tell()
                self._tar.stream(path, spool, size, image.created)
                return size
        count = _Count()
        self._layers.pack(chain_id, count)
        self._tar.packed(
            path, lambda out: self._layers.pack(chain_id, out), count.size, image.created
        )
        return count.size

    def _spool(self, chain_id: str, stack: ExitStack) -> IO[bytes] | None:
        """The layer's tar in an unnamed file; None on a disk that is full or read-only."""
        try:
            spool = stack.enter_context(tempfile.TemporaryFile(dir=self._scratch))  # noqa: SIM115
            self._layers.pack(chain_id, spool)
            spool.flush()
        except OSError as error:
            if error.errno not in DISK_UNWRITABLE:
                raise
            return None
        return spool

    def _blob(self, data: bytes, media_type: str, created: float) -> Content:
        content = Content.of(data, media_type)
        if content.digest not in self._written:
            self._tar.file(layout.blob_path(content.digest), data, created)
            self._written[content.digest] = content
        return content


class TarWriter:
    """A tar of regular files and directories, owned by root, appended to `out`."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._size = 0

    def directory(self, name: str) -> None:
        self._write(_member(name, DIRECTORY, 0o755, 0, 0))

    def file(self, name: str, data: bytes, mtime: float = 0) -> None:
        self._write(_member(name, REGULAR, 0o644, len(data), mtime))
        self._write(data + bytes(-len(data) % BLOCK))

    def stream(self, name: str, source: IO[bytes], size: int, mtime: float = 0) -> None:
        """The first `size` bytes of the file `source`."""
        self._write(_member(name, REGULAR, 0o644, size, mtime))
        source.flush()
        source.seek(0)
        left = size
        while left:
            piece = source.read(min(left, _COPY))
            if not piece:
                raise NotFound(f"{name} has lost its end while it was written")
            self._write(piece)
            left -= len(piece)
        self._write(bytes(-size % BLOCK))

    def packed(
        self, name: str, pack: Callable[[Writable], object], size: int, mtime: float = 0
    ) -> None:
        """What `pack` writes to its argument, which are `size` bytes."""
        self._write(_member(name, REGULAR, 0o644, size, mtime))
        count = _Count(self._write)
        pack(count)
        if count.size != size:
            raise NotFound(f"{name} has changed while it was written")
        self._write(bytes(-size % BLOCK))

    def end(self) -> None:
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self._size % _RECORD))
        self._out.flush()

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        view = memoryview(data)
        while view:  # a raw file may take less than it is offered
            view = view[self._out.write(view) :]


class _Count:
    """Counts the bytes that are written to it, and passes them on."""

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self._write = write
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self.size += len(data)
        if self._write is not None:
            self._write(data)
        return len(data)


def _member(name: str, kind: bytes, mode: int, size: int, mtime: float) -> bytes:
    nanoseconds = max(int(mtime), 0) * header.SECOND
    return header.member(TarEntry(name, kind, mode, 0, 0, size, nanoseconds, "", 0))
