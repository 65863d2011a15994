from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import pytest
from msgspec.structs import replace

from dockmagic_runtime.errors import NotFound, RemoteFailed, Unsupported
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.blob import BlobStream
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.endpoint import RegistryEndpoint
from dockmagic_runtime.registry.errors import RegistryUnreachable
from dockmagic_runtime.registry.manifest import OCI_MANIFEST, Platform
from dockmagic_runtime.registry.pull import Pulled, PulledLayer, pull
from dockmagic_runtime.testing.registry import FakeRegistry, Fault, digest_of

from .conftest import Connect

LAYERS = tuple(os.urandom(900_000) + bytes([number]) for number in range(5))


class Store:
    """A destination in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.layers: list[tuple[str, ...]] = []
        self.pulled: dict[str, Pulled | None] = {}
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def digests(self) -> Collection[str]:
        return self.pulled

    def kept(self, digest: str, platform: Platform | None) -> Pulled | None:
        return self.pulled[digest]

    def document(self, digest: str) -> bytes | None:
        return None

    def has_layer(self, diff_ids: tuple[str, ...]) -> bool:
        return diff_ids in self.layers

    def has_blob(self, digest: str) -> bool:
        return digest in self.blobs

    def partial(self, digest: str, pause: object) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO()

    def put_blob(self, stream: BlobStream, file: BinaryIO) -> None:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            data = stream.read()
        finally:
            with self._lock:
                self.at_once -= 1
        self.blobs[stream.descriptor.digest] = data

    def add_layer(self, layer: PulledLayer, progress: Callable[[int], None]) -> None:
        assert digest_of(self.blobs[layer.descriptor.digest]) == layer.diff_id
        assert not layer.diff_ids[:-1] or layer.diff_ids[:-1] in self.layers
        progress(layer.descriptor.size)
        self.layers.append(layer.diff_ids)


@pytest.fixture
def store() -> Store:
    return Store()


def _reference(fake: FakeRegistry, tag: str = "1") -> ImageReference:
    return ImageReference(fake.host, "app", tag)


def _pull(
    client: RegistryClient, reference: ImageReference, store: Store, **more: Any
) -> tuple[list[PullStatus], Pulled]:
    *events, last = pull([client], reference, store, **more)
    assert isinstance(last, Pulled)
    return [event for event in events if isinstance(event, PullStatus)], last


def _words(events: list[PullStatus], short_id: str = "") -> list[str]:
    """The statuses of one layer, repeated progress once."""
    result: list[str] = []
    for event in events:
        if event.id == short_id and result[-1:] != [event.status]:
            result.append(event.status)
    return result


def test_an_image_arrives_whole_and_in_order(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    digest = fake.add_image("app", "1", LAYERS)
    events, pulled = _pull(client, _reference(fake), store)
    diff_ids = tuple(map(digest_of, LAYERS))
    assert store.layers == [diff_ids[: number + 1] for number in range(5)]
    assert (pulled.digest, pulled.diff_ids, pulled.fetched) == (digest, diff_ids, 5)
    assert pulled.manifest
    assert pulled.manifest.digest == digest
    assert digest_of(pulled.config) == (pulled.manifest.config and pulled.manifest.config.digest)
    assert events[-1].status == f"Digest: {digest}"


def test_a_layers_progress_is_told_in_dockers_words(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS)
    events, _ = _pull(client, _reference(fake), store)
    first, *_, last = (digest_of(layer)[7:19] for layer in LAYERS)
    assert events[0] == PullStatus(status="Pulling from app", id="1")
    assert _words(events, first) == [
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ]
    assert _words(events, last)[:2] == ["Pulling fs layer", "Waiting"]
    measured = [event for event in events if event.status == "Downloading" and event.id == first]
    assert [event.total for event in measured] == [len(LAYERS[0])] * len(measured)
    assert measured[-1].current == len(LAYERS[0])
    complete = [event.id for event in events if event.status == "Pull complete"]
    assert complete == [digest_of(layer)[7:19] for layer in LAYERS]


def test_progress_is_not_told_for_every_piece(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", (bytes(20 << 20),))
    events, _ = _pull(client, _reference(fake), store)
    assert 10 < sum(event.status == "Downloading" for event in events) < 60


def test_no_more_than_three_layers_come_at_once(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS)
    _pull(client, _reference(fake), store)
    assert 1 <= store.most_at_once <= 3


def test_what_is_there_is_not_fetched_again(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS[:3])
    fake.add_image("app", "2", LAYERS)
    _pull(client, _reference(fake, "1"), store)
    before = len(fake.requests("blobs"))
    events, pulled = _pull(client, _reference(fake, "2"), store)
    assert _words(events, digest_of(LAYERS[0])[7:19]) == ["Already exists"]
    assert pulled.fetched == 2
    assert len(fake.requests("blobs")) - before == 3  # config and two layers
    events, pulled = _pull(client, _reference(fake, "2"), store)
    assert pulled.fetched == 0


def _asked(fake: FakeRegistry, before: int) -> list[str]:
    return [f"{request.method} {request.path}" for request in fake.seen[before:]]


def test_an_image_that_is_here_costs_as_many_requests_as_docker_makes(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    digest = fake.add_image("app", "1", LAYERS[:1])
    _, pulled = _pull(client, _reference(fake), store)
    store.pulled[digest] = replace(pulled, fetched=0)
    before = len(fake.seen)
    events, again = _pull(client, _reference(fake), store)
    assert again == store.pulled[digest]
    assert [event.status for event in events] == ["Pulling from app", f"Digest: {digest}"]
    assert _asked(fake, before) == ["HEAD /v2/app/manifests/1"]  # the client has pinged before
    before = len(fake.seen)
    _pull(client, ImageReference(fake.host, "app", "", digest), store)
    assert _asked(fake, before) == []


def test_a_tag_that_has_moved_or_an_image_that_is_damaged_is_fetched(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    old = fake.add_image("app", "1", LAYERS[:1])
    _, store.pulled[old] = _pull(client, _reference(fake), store)
    new = fake.add_image("app", "1", LAYERS[:2])
    _, pulled = _pull(client, _reference(fake), store)
    assert (pulled.digest, pulled.fetched) == (new, 1)
    store.pulled[new] = None  # not whole, or of another platform
    store.layers.clear()
    _, pulled = _pull(client, _reference(fake), store)
    assert (pulled.digest, pulled.fetched) == (new, 2)


def test_a_registry_that_answers_no_head_is_asked_as_for_an_image_that_is_not_here(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    digest = fake.add_image("app", "1", LAYERS[:1])
    _, store.pulled[digest] = _pull(client, _reference(fake), store)
    fake.fail(Fault(match="HEAD /v2/app/manifests", drop_after=0))
    _, pulled = _pull(client, _reference(fake), store)
    assert pulled.digest == digest
    with pytest.raises(NotFound, match=r"manifest for .* not found"):
        _pull(client, _reference(fake, "gone"), store)


def test_blobs_of_an_interrupted_pull_are_used(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS[:2])
    store.blobs[digest_of(LAYERS[0])] = LAYERS[0]
    events, _ = _pull(client, _reference(fake), store)
    assert "Downloading" not in _words(events, digest_of(LAYERS[0])[7:19])
    assert not fake.requests(digest_of(LAYERS[0]))


def test_one_blob_that_is_two_layers_is_fetched_once(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", (LAYERS[0], LAYERS[0]))
    _pull(client, _reference(fake), store)
    assert len(store.layers) == 2
    assert len(fake.requests(digest_of(LAYERS[0]))) == 1


def test_a_pull_by_digest_is_verified_and_named_by_it(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    digest = fake.add_image("app", "", LAYERS[:1])
    events, pulled = _pull(client, ImageReference(fake.host, "app", "", digest), store)
    assert events[0].id == f"{fake.host}/app@{digest}"
    assert pulled.digest == digest


# -------------------------------------------------------------------- platforms


def _fill_index(fake: FakeRegistry) -> tuple[str, str]:
    amd = fake.add_image("app", "", LAYERS[:1])
    arm = fake.add_image("app", "", LAYERS[1:2], platform="linux/arm64")
    index = fake.add_index("app", "1", {amd: "linux/amd64", arm: "linux/arm64/v8"})
    return arm, index


def test_an_index_gives_the_platform_that_is_asked_for(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    arm, index = _fill_index(fake)
    platform = Platform.parse("linux/arm64")
    _, pulled = _pull(client, _reference(fake), store, platform=platform)
    assert pulled.manifest
    assert pulled.manifest.digest == arm
    assert pulled.digest == index


def test_without_a_platform_this_machines_is_taken(
    fake: FakeRegistry, client: RegistryClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm, _ = _fill_index(fake)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", "aarch64")))
    _, pulled = _pull(client, _reference(fake), store)
    assert pulled.manifest
    assert pulled.manifest.digest == arm


def test_a_platform_that_the_image_has_not_is_refused(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS[:1])
    with pytest.raises(NotFound, match=r"wanted linux/s390x, actual: linux/amd64"):
        _pull(client, _reference(fake), store, platform=Platform.parse("linux/s390x"))
    fake.add_image("app", "2", LAYERS[:1], platform="windows/amd64")
    with pytest.raises(Unsupported, match='image operating system "windows" cannot be used'):
        _pull(client, _reference(fake, "2"), store)


def test_an_index_that_promises_another_size_is_refused(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    image = fake.add_image("app", "", LAYERS[:1])
    media_type, data = fake.manifests["app"][image]
    fake.manifests["app"][image] = (media_type, data + b" ")
    fake.add_index("app", "1", {image: "linux/amd64"})
    fake.manifests["app"][image] = (media_type, data)
    with pytest.raises(RemoteFailed, match="not what its index promises"):
        _pull(client, _reference(fake), store, platform=Platform.parse("linux/amd64"))


# -------------------------------------------------------------------- faults


def test_breaks_on_the_way_do_not_show(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS)
    for layer in LAYERS:
        fake.fail(Fault(match=f"GET /v2/app/blobs/{digest_of(layer)}", drop_after=500_000))
    fake.fail(Fault(match="manifests", status=503))
    _pull(client, _reference(fake), store)
    assert len(store.layers) == 5


def test_row_32_a_flipped_byte_ends_the_pull_and_keeps_nothing_of_the_layer(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS)
    wrong = digest_of(LAYERS[2])
    fake.fail(Fault(match=f"GET /v2/app/blobs/{wrong}", flip=77))
    with pytest.raises(RemoteFailed, match=f"verification failed for digest {wrong}"):
        _pull(client, _reference(fake), store)
    assert wrong not in store.blobs
    assert len(store.layers) == 2
    assert _has_no_threads()


def _has_no_threads() -> bool:
    return not any(thread.name.startswith(("fetch", "take")) for thread in threading.enumerate())


def test_a_missing_layer_ends_the_pull(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS)
    del fake.blobs["app"][digest_of(LAYERS[1])]
    with pytest.raises(NotFound, match="blob unknown"):
        _pull(client, _reference(fake), store)


def test_a_pull_that_is_left_ends_its_threads(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    fake.add_image("app", "1", LAYERS)
    events = pull([client], _reference(fake), store)
    for event in events:
        if isinstance(event, PullStatus) and event.status == "Downloading":
            break
    events.close()
    assert _has_no_threads()


def test_a_destination_that_fails_ends_the_pull(
    fake: FakeRegistry, client: RegistryClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    fake.add_image("app", "1", LAYERS)
    monkeypatch.setattr(store, "add_layer", full)
    with pytest.raises(OSError, match="No space left"):
        _pull(client, _reference(fake), store)
    assert _has_no_threads()


def _document(fake: FakeRegistry, **change: Any) -> None:
    digest = fake.add_image("app", "", LAYERS[:1])
    document = json.loads(fake.manifests["app"][digest][1])
    fake.add_manifest("app", "1", OCI_MANIFEST, {**document, **change})


def test_what_is_no_container_image_is_refused(
    fake: FakeRegistry, client: RegistryClient, store: Store
) -> None:
    kind = "application/vnd.cncf.helm.config.v1+json"
    config = {"mediaType": kind, "digest": fake.add_blob("app", b"{}"), "size": 2}
    _document(fake, config=config)
    with pytest.raises(Unsupported, match=r"no container image: its config is .*helm"):
        _pull(client, _reference(fake), store)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "a foreign layer"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "a foreign layer"),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "a layer of kind .*encrypted"),
    ],
)
def test_a_layer_that_cannot_be_had_is_refused_before_anything_is_fetched(
    fake: FakeRegistry, client: RegistryClient, store: Store, kind: str, shown: str
) -> None:
    fake.add_image("app", "1", LAYERS[:1], media_type=kind)
    with pytest.raises(Unsupported, match=shown):
        _pull(client, _reference(fake), store)
    assert not fake.requests("blobs")


@pytest.mark.parametrize(
    "config",
    [
        b"{",
        b"{}",
        b'{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
        b'{"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}}',
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    fake: FakeRegistry, client: RegistryClient, store: Store, config: bytes
) -> None:
    digest = fake.add_blob("app", config)
    kind = "application/vnd.oci.image.config.v1+json"
    _document(fake, config={"mediaType": kind, "digest": digest, "size": len(config)})
    with pytest.raises(RemoteFailed, match="the config of"):
        _pull(client, _reference(fake), store)


# -------------------------------------------------------------------- mirrors


def _hub(fake: FakeRegistry, *, is_mirror: bool) -> RegistryEndpoint:
    host, port = fake.host.split(":")
    return replace(
        RegistryEndpoint.of("docker.io"),
        host=host,
        port=int(port),
        scheme="http",
        is_mirror=is_mirror,
    )


def test_a_mirror_is_asked_first_and_the_registry_when_it_has_nothing(
    connect: Connect, store: Store
) -> None:
    with FakeRegistry() as mirror, FakeRegistry() as hub:
        clients = [
            connect("", endpoint=_hub(mirror, is_mirror=True)),
            connect("", endpoint=_hub(hub, is_mirror=False)),
        ]
        mirror.add_image("library/one", "latest", LAYERS[:1])
        hub.add_image("library/two", "latest", LAYERS[1:2])
        first, *_ = pull(clients, ImageReference.parse("one"), store)
        assert first == PullStatus(status="Pulling from library/one", id="latest")
        assert not hub.seen
        list(pull(clients, ImageReference.parse("two"), store))
        assert len(store.layers) == 2
        with pytest.raises(NotFound, match="manifest for three:latest not found"):
            list(pull(clients, ImageReference.parse("three"), store))


def test_nobody_in_reach_is_told_of_the_registry_itself(connect: Connect, store: Store) -> None:
    with FakeRegistry() as gone:
        endpoint = _hub(gone, is_mirror=True)
    clients = [connect("", endpoint=endpoint), connect("r.invalid")]
    with pytest.raises(RegistryUnreachable, match=r"r\.invalid"):
        list(pull(clients, ImageReference.parse("one"), store))
