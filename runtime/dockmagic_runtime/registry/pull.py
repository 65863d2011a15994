"""One pull: manifest, config, then the layers, reported in Docker's words as it goes.

Strategy: three threads fetch blobs, one takes them over in order, since a layer is unpacked on
top of those below it; this iterator hands out what they report. It knows no store: the
caller gives a `Destination`. When it is left early, or anything fails, all connections are ended.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, Protocol

import msgspec
from msgspec import Struct

from dockmagic_runtime.errors import NotFound, RemoteFailed, Unsupported
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.model.reference import ImageReference, is_digest
from dockmagic_runtime.registry.blob import BlobStream
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.manifest import (
    CONFIGS,
    LAYERS,
    MANIFEST_LIMIT,
    Descriptor,
    Manifest,
    Platform,
    is_foreign,
    resolve_platform,
)
from dockmagic_runtime.registry.retry import Pause, retrying_in
from dockmagic_runtime.registry.text import printable

CONCURRENCY: Final = 3
_MAX_INDEX_DEPTH: Final = 3
_STEPS: Final = 100  # progress is reported so often at most
_SMALLEST_STEP: Final = 512 << 10


class PulledLayer(Struct, frozen=True, kw_only=True):
    """A layer to take over: its blob, and the diff ids from the bottom up to its own."""

    descriptor: Descriptor
    diff_ids: tuple[str, ...]

    @property
    def diff_id(self) -> str:
        return self.diff_ids[-1]

    @property
    def short_id(self) -> str:
        """As progress names it."""
        return self.descriptor.digest.removeprefix("sha256:")[:12]


class Destination(Protocol):
    """Where a pull puts things. `put_blob` is called from several threads at once."""

    def digests(self) -> Collection[str]:
        """By which earlier pulls of the repository have named images that are here."""

    def kept(self, digest: str, platform: Platform | None) -> Pulled | None:
        """The image that one of `digests` named, if it is whole, and what a pull would bring."""

    def document(self, digest: str) -> bytes | None:
        """The verified manifest or config with that digest, if an earlier pull has brought it."""

    def has_layer(self, diff_ids: tuple[str, ...]) -> bool:
        """Whether the layer is there, unpacked on top of exactly those below it."""

    def has_blob(self, digest: str) -> bool:
        """Whether an earlier pull that did not finish has left the blob."""

    def partial(self, digest: str, pause: Pause) -> AbstractContextManager[BinaryIO]:
        """The partial download, locked while it is open: it has what an earlier attempt brought.

        `pause` waits for other processes, and raises to end it.
        """

    def put_blob(self, stream: BlobStream, file: BinaryIO) -> None:
        """Append what the stream has to the file, and keep it as the blob, if the stream can be
        read to its end: only then it is verified.
        """

    def add_layer(self, layer: PulledLayer, progress: Callable[[int], None]) -> None:
        """Unpacks a layer from its blob, which is there. Called bottom first, one at a time;
        `progress` takes the number of bytes read of the blob, and raises to end it.
        """


class Pulled(Struct, frozen=True, kw_only=True):
    """The end of a pull. `digest` is what the reference named, perhaps that of an index.

    `manifest` is None for an image that was here and came from no registry.
    """

    digest: str
    manifest: Manifest | None
    config: bytes
    diff_ids: tuple[str, ...]
    fetched: int  # layers that were not there before


class _RootFs(msgspec.Struct, kw_only=True):
    type: str = ""
    diff_ids: tuple[str, ...] = ()


class _Config(msgspec.Struct, kw_only=True):
    os: str = ""
    architecture: str = ""
    variant: str = ""
    rootfs: _RootFs


class _ImageConfig(Struct, frozen=True, kw_only=True):
    """An image's config document; whether an image that is here has it, too."""

    data: bytes
    diff_ids: tuple[str, ...]
    is_kept: bool

    def layers(self, manifest: Manifest) -> tuple[PulledLayer, ...]:
        return tuple(
            PulledLayer(descriptor=descriptor, diff_ids=self.diff_ids[: number + 1])
            for number, descriptor in enumerate(manifest.layers)
        )


def pull(
    clients: Sequence[RegistryClient],
    reference: ImageReference,
    destination: Destination,
    *,
    platform: Platform | None = None,
) -> Generator[PullStatus | Pulled, None, None]:
    """Bring an image to `destination`; yields progress, and a `Pulled` at the end.

    `clients` are those of the reference's registry, mirrors first. Without `platform`, what fits
    this machine. Leaving the iterator early closes the client it came from.
    Raises RegistryUnreachable, NotFound, AccessDenied, RemoteFailed, Unsupported.
    """
    client, top = _find(clients, reference, destination, platform)
    name = reference.canonical if reference.digest else reference.tag
    yield PullStatus(status=f"Pulling from {reference.repository}", id=name)
    if isinstance(top, Pulled):
        result = top
    else:
        manifest = _image(client, reference, top, platform or Platform.host(), destination)
        config = _config(client, reference, manifest, platform, destination)
        fetched = yield from _Transfer(
            client, reference.repository, config.layers(manifest), destination
        ).run(is_known=config.is_kept)
        result = Pulled(
            digest=top.digest,
            manifest=manifest,
            config=config.data,
            diff_ids=config.diff_ids,
            fetched=fetched,
        )
    yield PullStatus(status=f"Digest: {top.digest}")
    yield result


def _find(
    clients: Sequence[RegistryClient],
    reference: ImageReference,
    destination: Destination,
    platform: Platform | None,
) -> tuple[RegistryClient, Manifest | Pulled]:
    """The first client that has the manifest; the last one's error if none has."""
    *mirrors, own = clients
    for client in mirrors:
        try:
            return client, _ask(client, reference, destination, platform)
        except (RemoteFailed, NotFound, Unsupported):
            pass  # a mirror may be down or incomplete: the registry itself decides
    return own, _ask(own, reference, destination, platform)


def _ask(
    client: RegistryClient,
    reference: ImageReference,
    destination: Destination,
    platform: Platform | None,
) -> Manifest | Pulled:
    """The manifest, or the image if what the reference names is here already.

    As Docker, it asks for the tag's digest first: registries that count pulls do not count that.
    """
    digests = destination.digests()
    if digests:
        client.find_server()  # for a digest, too: a registry that does not answer is an error
        digest = reference.digest or client.digest(reference.repository, reference.tag)
        kept = destination.kept(digest, platform) if digest in digests else None
        if kept is not None:
            return kept
    return client.manifest(reference.repository, reference.digest or reference.tag)


def _image(
    client: RegistryClient,
    reference: ImageReference,
    top: Manifest,
    platform: Platform,
    destination: Destination,
) -> Manifest:
    manifest = top
    for _ in range(_MAX_INDEX_DEPTH):
        if not manifest.is_index:
            return manifest
        chosen = resolve_platform(manifest, platform)
        data = destination.document(chosen.digest)
        manifest = (
            client.manifest(reference.repository, chosen.digest)
            if data is None
            else Manifest.parse(chosen.media_type, data)
        )
        if (manifest.media_type, len(manifest.data)) != (chosen.media_type, chosen.size):
            raise RemoteFailed(f"manifest {chosen.digest} is not what its index promises")
    raise RemoteFailed(f"{reference} is an index of indexes, too deep to follow")


def _config(
    client: RegistryClient,
    reference: ImageReference,
    manifest: Manifest,
    platform: Platform | None,
    destination: Destination,
) -> _ImageConfig:
    """The image's config, once everything about the image can be used."""
    descriptor = manifest.config
    if descriptor is None or descriptor.media_type not in CONFIGS:
        kind = printable(descriptor.media_type if descriptor else "nothing")
        raise Unsupported(f"{reference} is no container image: its config is {kind}")
    for layer in manifest.layers:
        _check_layer(reference, layer)
    if descriptor.size > MANIFEST_LIMIT:
        raise RemoteFailed(f"the config of {reference} has {descriptor.size} bytes")
    kept = destination.document(descriptor.digest)
    data = kept or b""
    if kept is None:
        with client.open_blob(reference.repository, descriptor) as stream:
            data = stream.read()
    try:
        config = msgspec.json.decode(data, type=_Config)
    except msgspec.DecodeError as error:
        raise RemoteFailed(f"the config of {reference} is malformed: {error}") from None
    _check_platform(reference, config, platform)
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers) or not all(map(is_digest, diff_ids)):
        raise RemoteFailed(f"the config of {reference} does not fit its layers")
    return _ImageConfig(data=data, diff_ids=diff_ids, is_kept=kept is not None)


def _check_layer(reference: ImageReference, layer: Descriptor) -> None:
    if is_foreign(layer):
        raise Unsupported(
            f"{reference} has a foreign layer, which its registry does not distribute",
            hint="such layers belong to Windows images",
        )
    if layer.media_type not in LAYERS:
        raise Unsupported(f"{reference} has a layer of kind {printable(layer.media_type)}")


def _check_platform(reference: ImageReference, config: _Config, platform: Platform | None) -> None:
    """An image without an index says only in its config what it runs on."""
    actual = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
    if config.os not in ("", "linux"):
        raise Unsupported(
            f'image operating system "{printable(config.os)}" cannot be used on this platform'
        )
    if platform and platform.rank(actual) is None:
        raise NotFound(
            f"image with reference {reference} was found but does not match the specified "
            f"platform: wanted {platform}, actual: {printable(str(actual))}"
        )


class _Transfer:
    """The layers of one pull on their way: the threads that fetch them, and their reports."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        layers: tuple[PulledLayer, ...],
        destination: Destination,
    ) -> None:
        self._client = client
        self._repository = repository
        self._layers = layers
        self._destination = destination
        self._events: queue.SimpleQueue[PullStatus | None] = queue.SimpleQueue()

    def run(self, *, is_known: bool) -> Generator[PullStatus, None, int]:
        """Yields until all layers are there. Returns how many were missing.

        Of the layers of an image that `is_known` and whole there is nothing to say.
        """
        present = 0
        while present < len(self._layers) and self._destination.has_layer(
            self._layers[present].diff_ids
        ):
            if not is_known:
                layer = self._layers[present]
                yield PullStatus(
                    status="Already exists", id=layer.short_id, size=layer.descriptor.size
                )
            present += 1
        missing = self._layers[present:]
        if missing:
            yield from self._announce(missing)
            yield from self._fetch(missing)
        return len(missing)

    def _announce(self, missing: tuple[PulledLayer, ...]) -> Iterator[PullStatus]:
        for layer in missing:
            size = layer.descriptor.size
            yield PullStatus(status="Pulling fs layer", id=layer.short_id, size=size)
        for layer in missing[CONCURRENCY:]:
            yield PullStatus(status="Waiting", id=layer.short_id)

    def _fetch(self, missing: tuple[PulledLayer, ...]) -> Iterator[PullStatus]:
        fetching = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="fetch")
        taking = ThreadPoolExecutor(1, thread_name_prefix="take")
        blobs: dict[str, Future[None]] = {}
        try:
            for layer in missing:
                if layer.descriptor.digest not in blobs:
                    blobs[layer.descriptor.digest] = fetching.submit(self._download, layer)
            taken = taking.submit(self._take_over, missing, blobs)
            yield from iter(self._events.get, None)
            taken.result()
        except BaseException:
            self._client.close()
            raise
        finally:
            fetching.shutdown(cancel_futures=True)
            taking.shutdown()

    def _download(self, layer: PulledLayer) -> None:
        digest = layer.descriptor.digest
        with self._destination.partial(digest, self._client.wait) as file:
            if not self._destination.has_blob(digest):
                self._fetch_blob(layer, file)
        self._report("Download complete", layer)

    def _fetch_blob(self, layer: PulledLayer, file: BinaryIO) -> None:
        progress = self._progress("Downloading", layer, then="Verifying Checksum")

        def retrying(seconds: float) -> None:
            self._report(retrying_in(seconds), layer)

        with self._client.open_blob(
            self._repository, layer.descriptor, begun=file, on_retry=retrying
        ) as stream:
            stream.progress = progress
            self._destination.put_blob(stream, file)

    def _take_over(
        self, missing: tuple[PulledLayer, ...], blobs: Mapping[str, Future[None]]
    ) -> None:
        """The layers in order. Whatever happens, the iterator learns that it is over."""
        try:
            for layer in missing:
                blobs[layer.descriptor.digest].result()
                progress = self._progress("Extracting", layer)
                progress(0)
                self._destination.add_layer(layer, progress)
                self._report("Pull complete", layer)
        finally:
            self._events.put(None)

    def _report(self, status: str, layer: PulledLayer) -> None:
        self._events.put(PullStatus(status=status, id=layer.short_id))

    def _progress(
        self, status: str, layer: PulledLayer, *, then: str = ""
    ) -> Callable[[int], None]:
        """Reports how far `status` is, not too often, and `then` at its end."""
        total = layer.descriptor.size
        step = max(total // _STEPS, _SMALLEST_STEP)
        due = 0

        def report(current: int) -> None:
            nonlocal due
            self._client.check_open()
            if current >= due or current == total:
                due = current + step
                self._events.put(
                    PullStatus(status=status, id=layer.short_id, current=current, total=total)
                )
            if then and current == total:
                self._report(then, layer)

        return report
