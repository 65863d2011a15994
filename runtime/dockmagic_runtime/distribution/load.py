"""`load`: images out of archives that Docker, Podman, skopeo or buildkit have written.

Docker's manifest.json says what is in them, else the index of an OCI layout. A layer is unpacked
under the digest that its image gives it, and its blob is kept as it came: a tar of another program
cannot be packed again byte for byte. Ids are digests of what was read, never what a file is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from dockmagic_runtime.distribution import layout
from dockmagic_runtime.distribution.members import Members
from dockmagic_runtime.errors import InvalidInput, NotFound, Unsupported
from dockmagic_runtime.images import oci_documents
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.progress import LoadDone, LoadEvent, PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.manifest import Platform, is_foreign_type
from dockmagic_runtime.store.data_root import DataRoot

_MAX_DEPTH: Final = 3


class _Layer(Struct, frozen=True, kw_only=True):
    """A layer's place in the archive, and what is promised of its bytes, if anything."""

    path: str
    digest: str = ""
    size: int | None = None


class _Loadable(Struct, frozen=True, kw_only=True):
    """One image of an archive."""

    config: bytes
    layers: tuple[_Layer, ...]
    names: tuple[ImageReference, ...]


class _Entry(msgspec.Struct, rename="pascal"):
    """One image of Docker's manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class Loader:
    """Brings images of archives into one area."""

    def __init__(self, data_root: DataRoot, images: ImageStore, layers: LayerStore) -> None:
        self._scratch = str(data_root.scratch)
        self._images = images
        self._layers = layers

    def load(self, source: Readable) -> Iterator[LoadEvent]:
        """Yields PullStatus for each layer that is new, then a LoadDone for each name.

        Raises InvalidInput for what is no image archive.
        """
        with Members(source, self._scratch) as members:
            for loadable in _loadables(members):
                yield from self._image(members, loadable)

    def _image(self, members: Members, loadable: _Loadable) -> Iterator[LoadEvent]:
        diff_ids = oci_documents.decode_config(loadable.config).diff_ids
        if len(diff_ids) != len(loadable.layers):
            raise InvalidInput(
                f"invalid manifest, layers length mismatch: expected {len(diff_ids)}, "
                f"got {len(loadable.layers)}"
            )
        chain_ids = oci_documents.chain_ids(diff_ids)
        added: list[str] = []
        try:
            with self._layers.lease() as lease:
                for number, layer in enumerate(loadable.layers):
                    below = chain_ids[number - 1] if number else ""
                    lease.add(chain_ids[number])
                    if not self._layers.has(chain_ids[number]):
                        yield from self._layer(members, layer, below, diff_ids[number])
                        added.append(chain_ids[number])
                yield from self._keep(loadable, chain_ids)
        except BaseException:
            self._layers.remove_unused(added[::-1])  # no image, and no cache, will ask for them
            raise

    def _keep(self, loadable: _Loadable, chain_ids: Sequence[str]) -> Iterator[LoadEvent]:
        new = oci_documents.image_id(loadable.config)
        for name in loadable.names:
            before = self._id(name)
            if before not in ("", new):
                yield PullStatus(
                    status=f"The image {name.familiar} already exists, renaming the old one "
                    f"with ID {before} to empty string"
                )
        names = [name.canonical for name in loadable.names]
        image = self._images.put(loadable.config, chain_ids, names=names)
        self._images.emit("load", image)
        for reference in [name.familiar for name in loadable.names] or [""]:
            yield LoadDone(image=image, reference=reference)

    def _id(self, name: ImageReference) -> str:
        """Of the image that has the name until now, or ""."""
        try:
            return self._images.resolve(name.canonical).id
        except NotFound:
            return ""

    # ------------------------------------------------------------------ layers

    def _layer(
        self, members: Members, layer: _Layer, below: str, diff_id: str
    ) -> Generator[PullStatus, None, None]:
        member = members.open(layer.path)
        short, size = diff_id.removeprefix("sha256:")[:12], member.size
        yield PullStatus(status="Loading layer", id=short, current=0, total=size)
        self._layers.add_kept(
            member, below, expected_diff_id=diff_id, digest=layer.digest, size=layer.size
        )
        yield PullStatus(status="Loading layer", id=short, current=size, total=size)


# ---------------------------------------------------------------------- what is in an archive


def _loadables(members: Members) -> list[_Loadable]:
    if layout.MANIFEST in members:
        return _from_docker(members)
    if layout.INDEX in members:
        return _from_layout(members)
    raise InvalidInput(
        "the archive holds no images: it has neither manifest.json nor index.json",
        hint="an archive of a container's files becomes an image by 'docker import'",
    )


def _from_docker(members: Members) -> list[_Loadable]:
    try:
        entries = msgspec.json.decode(members.document(layout.MANIFEST), type=list[_Entry])
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the archive's manifest.json is malformed: {error}") from None
    return [
        _Loadable(
            config=members.document(entry.config),
            layers=tuple(_Layer(path=path) for path in entry.layers or ()),
            names=tuple(_tagged(tag) for tag in entry.repo_tags or ()),
        )
        for entry in entries
    ]


def _tagged(text: str) -> ImageReference:
    name = ImageReference.parse(text)
    if name.digest:
        raise InvalidInput(f"invalid tag {text!r}")
    return name


def _from_layout(members: Members) -> list[_Loadable]:
    index = oci_documents.decode_manifest(members.document(layout.INDEX))
    if not isinstance(index, oci_documents.Index):
        raise InvalidInput("the archive's index.json is no index")
    loadables: dict[str, _Loadable] = {}
    for descriptor in index.manifests:
        names = _names(descriptor.annotations or {})
        for image in _images(members, descriptor, names, depth=0):
            known = loadables.get(oci_documents.image_id(image.config))
            names = (*known.names, *image.names) if known else image.names
            loadables[oci_documents.image_id(image.config)] = _Loadable(
                config=image.config, layers=image.layers, names=tuple(dict.fromkeys(names))
            )
    return list(loadables.values())


def _names(annotations: dict[str, str]) -> tuple[ImageReference, ...]:
    """containerd's name in full; else the layout's own, if it is more than a tag."""
    text = annotations.get(layout.CONTAINERD_NAME, "")
    if not text:
        name = annotations.get(layout.REF_NAME, "")
        text = name if ":" in name or "/" in name else ""
    return (_tagged(text),) if text else ()


def _images(
    members: Members,
    descriptor: oci_documents.Descriptor,
    names: tuple[ImageReference, ...],
    depth: int,
) -> list[_Loadable]:
    """The image that a descriptor means; of an index, the one that runs here."""
    data = _blob(members, descriptor)
    manifest = oci_documents.decode_manifest(data, descriptor.media_type)
    if isinstance(manifest, oci_documents.Index):
        if depth == _MAX_DEPTH:
            raise InvalidInput("the archive's index holds indexes too deep to follow")
        chosen = _for_host(manifest)
        return _images(members, chosen, names, depth + 1)
    for layer in manifest.layers:
        if is_foreign_type(layer.media_type):
            raise Unsupported("the archive's image has a foreign layer", hint="it is for Windows")
    layers = tuple(
        _Layer(path=layout.blob_path(layer.digest), digest=layer.digest, size=layer.size)
        for layer in manifest.layers
    )
    return [_Loadable(config=_blob(members, manifest.config), layers=layers, names=names)]


def _for_host(index: oci_documents.Index) -> oci_documents.Descriptor:
    host = Platform.host()

    def rank(descriptor: oci_documents.Descriptor) -> int:
        if descriptor.platform is None:
            return 50
        its: Any = descriptor.platform
        its_rank = host.rank(
            Platform(os=its.os, architecture=its.architecture, variant=its.variant)
        )
        return 100 if its_rank is None else its_rank

    best = min(index.manifests, key=rank, default=None)
    if best is None or rank(best) == 100:
        raise NotFound(f"the archive has no image for {host}")
    return best


def _blob(members: Members, descriptor: oci_documents.Descriptor) -> bytes:
    data = members.document(layout.blob_path(descriptor.digest))
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if digest != descriptor.digest:
        raise InvalidInput(f"the content of {descriptor.digest} is damaged: it hashes to {digest}")
    return data
