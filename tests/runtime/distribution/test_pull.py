"""Pulls that are interrupted, that come ten at once, and of images that others remove meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.distribution import remote
from dockmagic_runtime.distribution.pull import Puller
from dockmagic_runtime.distribution.push import Pusher
from dockmagic_runtime.errors import DockmagicError, NotFound, RemoteFailed
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullDone, PullStatus
from dockmagic_runtime.model.search import RemoteManifest
from dockmagic_runtime.registry.errors import RegistryUnreachable
from dockmagic_runtime.testing.registry import FakeRegistry, Fault
from dockmagic_runtime.testing.trees import make_member, make_tar

from .conftest import Store

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_configured")]


def layer(name: str, size: int = 200_000) -> bytes:
    return make_tar((make_member(name), os.urandom(size))).getvalue()


def puller(store: Store) -> Puller:
    return Puller(store.images, store.layers, store.blobs)


def pull(store: Store, reference: str) -> Image:
    *_, done = puller(store).pull(reference)
    assert isinstance(done, PullDone)
    return done.image


def blobs_asked_for(fake: FakeRegistry) -> list[str]:
    return [request.path for request in fake.requests("GET") if "/blobs/" in request.path]


def left(store: Store) -> list[str]:
    return sorted(os.listdir(store.data_root.scratch))


def test_a_pull_leaves_only_what_it_brought(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app", "1", (layer("a"), layer("b")))
    pull(store, f"{fake.host}/app:1")
    assert left(store) == []
    assert len(os.listdir(store.data_root.blobs)) == 3  # two layers and the manifest


def test_what_a_killed_pull_has_brought_is_not_fetched_again(
    store: Store, fake: FakeRegistry
) -> None:
    data = layer("a", 3_000_000)
    fake.add_image("app", "1", (data,))
    digest = next(d for d, b in fake.blobs["app"].items() if b == data)
    partial = store.data_root.scratch / f"partial-{digest.removeprefix('sha256:')}"
    partial.write_bytes(data[:2_000_000])
    pull(store, f"{fake.host}/app:1")
    (asked,) = [request for request in fake.requests("GET") if request.path.endswith(digest)]
    assert asked.header("range") == "bytes=2000000-"
    assert left(store) == []


def test_a_connection_that_never_comes_back_leaves_a_beginning(
    store: Store, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic_runtime.registry.client.RegistryClient.wait", lambda *_: None)
    data = layer("a", 3_000_000)
    fake.add_image("app", "1", (data,))
    digest = next(d for d, b in fake.blobs["app"].items() if b == data)
    fake.fail(Fault(match=digest, drop_after=700_000))
    fake.fail(Fault(match=digest, drop_after=0, times=99))
    with pytest.raises(RemoteFailed):
        pull(store, f"{fake.host}/app:1")
    (partial,) = left(store)
    size = (store.data_root.scratch / partial).stat().st_size
    assert 0 < size <= 700_000
    fake.faults.clear()
    pull(store, f"{fake.host}/app:1")
    assert fake.requests(digest)[-1].header("range") == f"bytes={size}-"


def test_row32_a_damaged_beginning_is_thrown_away(store: Store, fake: FakeRegistry) -> None:
    data = layer("a")
    fake.add_image("app", "1", (data,))
    digest = next(d for d, b in fake.blobs["app"].items() if b == data)
    partial = store.data_root.scratch / f"partial-{digest.removeprefix('sha256:')}"
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(RemoteFailed, match="verification failed"):
        pull(store, f"{fake.host}/app:1")
    assert left(store) == []
    pull(store, f"{fake.host}/app:1")


def test_a_blob_that_was_cut_short_on_disk_is_fetched_anew(
    store: Store, fake: FakeRegistry
) -> None:
    """As a power failure leaves it: there is no fsync."""
    data = layer("a")
    fake.add_image("app", "1", (data,))
    digest = next(d for d, b in fake.blobs["app"].items() if b == data)
    Path(store.blobs.path(digest)).write_bytes(data[:1000])
    with pytest.raises(DockmagicError):
        pull(store, f"{fake.host}/app:1")
    pull(store, f"{fake.host}/app:1")


def test_ten_pulls_at_once_do_the_work_once(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app", "1", tuple(layer(f"f{n}") for n in range(4)))
    result: list[Image] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(pull(store, f"{fake.host}/app:1"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({image.id for image in result}) == 1
    config = result[0].id
    fetched = [path for path in blobs_asked_for(fake) if not path.endswith(config)]
    assert len(fetched) == len(set(fetched)) == 4
    assert left(store) == []


def test_row31_a_small_layer_that_would_fill_the_disk(store: Store, fake: FakeRegistry) -> None:
    bomb = make_tar((make_member("zeros"), bytes(300 << 20))).getvalue()
    blob = gzip.compress(bomb, compresslevel=1)
    media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
    fake.add_image("app", "1", (bomb,), media_type=media_type)
    digest = fake.add_blob("app", blob)
    kind, manifest = fake.manifests["app"]["1"]
    document = json.loads(manifest)
    document["layers"] = [{"mediaType": media_type, "digest": digest, "size": len(blob)}]
    fake.add_manifest("app", "1", kind, document)
    with pytest.raises(DockmagicError, match=r"(has|unpacks to) more than"):
        pull(store, f"{fake.host}/app:1")
    assert (
        os.listdir(store.data_root.layers) == left(store) == os.listdir(store.data_root.blobs) == []
    )


def test_a_layer_in_use_by_a_pull_is_neither_removed_nor_pruned(
    store: Store, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, own = layer("shared"), layer("own")
    fake.add_image("old", "1", (shared,))
    fake.add_image("new", "1", (shared, own))
    old = pull(store, f"{fake.host}/old:1")
    for event in puller(store).pull(f"{fake.host}/new:1"):
        if isinstance(event, PullStatus) and event.status == "Already exists":
            store.images.remove(f"{fake.host}/old:1")
            store.layers.prune()
    new = store.images.resolve(f"{fake.host}/new:1")
    assert store.tree(new).keys() == {"0/shared", "1/own"}
    assert not any(image.id == old.id for image in store.images.list(all=True))
    store.images.remove(f"{fake.host}/new:1")
    assert os.listdir(store.data_root.layers) == []


def test_a_blob_in_use_by_a_pull_is_not_lost(
    store: Store, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same layer in another place of the image: its blob is there, its chain id is not."""
    shared = layer("shared")
    fake.add_image("old", "1", (shared,))
    fake.add_image("new", "1", (layer("below"), shared))
    pull(store, f"{fake.host}/old:1")
    for event in puller(store).pull(f"{fake.host}/new:1"):
        if isinstance(event, PullStatus) and event.status == "Download complete":
            try:
                store.images.remove(f"{fake.host}/old:1")
            except DockmagicError:
                pass  # the second of the two has come
    new = store.images.resolve(f"{fake.host}/new:1")
    assert all(store.blobs.has(store.layers.get(chain_id).blob) for chain_id in new.chain_ids)


_CHURN = """
import sys
from dockmagic_runtime.distribution import remote
from dockmagic_runtime.distribution.pull import Puller
from dockmagic_runtime.errors import DockmagicError, NotFound
from dockmagic_runtime.images import prune
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

root, what, host = sys.argv[1:]
area = DataRoot.at(root)
database = Database(area.database)
layers = LayerStore(area, database)
images = ImageStore(area, database, layers)
for turn in range(12):
    if what == "prune":
        prune.prune(images, layers, used=(), dangling_only=True, wanted=lambda *_: True)
        layers.prune()
        continue
    for name in (f"{host}/{what}:1", f"{host}/both:{what}"):
        for event in Puller(images, layers, BlobStore(area)).pull(name):
            pass
        image = images.resolve(name)  # nobody else has this name
        for chain_id in image.chain_ids:
            layers.get(chain_id)
        images.remove(name)
if what != "prune":
    for event in Puller(images, layers, BlobStore(area)).pull(f"{host}/kept:{what}"):
        pass
database.close()
"""


@pytest.mark.slow
def test_processes_that_pull_remove_and_prune_lose_nothing_that_has_a_name(
    store: Store, fake: FakeRegistry
) -> None:
    shared = layer("shared")
    for name in ("a", "b"):
        fake.add_image(name, "1", (shared, layer(name)))
        fake.add_image("both", name, (shared,))
        fake.add_image("kept", name, (shared, layer(f"kept-{name}")))
    arguments = [str(store.data_root.root), "", fake.host]
    processes = []
    for what in ("a", "b", "prune", "prune"):
        arguments[1] = what
        command = [sys.executable, "-c", _CHURN, *arguments]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    for name in ("a", "b"):
        image = store.images.resolve(f"{fake.host}/kept:{name}")
        assert store.tree(image).keys() == {"0/shared", f"1/kept-{name}"}
        assert all(store.blobs.has(store.layers.get(chain_id).blob) for chain_id in image.chain_ids)
    assert left(store) == []
    assert len(os.listdir(store.data_root.layers)) == 3


def test_a_registry_that_took_long_to_be_unreachable_is_not_asked_again_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    asked: list[float] = []

    def slow(*_: object, **__: object) -> None:
        asked.append(now[0])
        now[0] += 5
        raise RegistryUnreachable("nobody there")

    monkeypatch.setattr("dockmagic_runtime.distribution.pull.pull_from", slow)
    monkeypatch.setattr("dockmagic_runtime.distribution.pull.time.monotonic", lambda: now[0])
    item = puller(store)
    for wait in (0, 1, 50, 61):
        now[0] += wait
        with pytest.raises(RegistryUnreachable, match="nobody there"):
            list(item.pull("localhost:1/app"))
    assert asked == [100.0, 217.0]
    with pytest.raises(RegistryUnreachable):
        list(item.pull("localhost:2/app"))
    assert len(asked) == 3


def test_the_platform_that_is_asked_for(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app", "1", (layer("a"),))
    with pytest.raises(NotFound, match="does not match the specified platform"):
        list(puller(store).pull(f"{fake.host}/app:1", platform="linux/s390x"))
    *_, done = puller(store).pull(f"{fake.host}/app:1", platform="linux/amd64")
    assert isinstance(done, PullDone)


def test_manifests_are_looked_at_without_pulling(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("app", "1", (layer("1"),))
    item = remote.manifests(f"{fake.host}/app:1")
    assert isinstance(item, RemoteManifest)
    assert (item.reference, item.os) == (f"{fake.host}/app:1", "linux")
    assert item.data == remote.manifest(f"{fake.host}/app:1", insecure=True)
    assert store.images.list() == ()


def statuses(store: Store, reference: str, **more: Any) -> list[str]:
    """What a pull reports, without progress."""
    return [
        f"{event.id}: {event.status}" if event.id else event.status
        for event in puller(store).pull(reference, **more)
        if isinstance(event, PullStatus) and not event.total
    ]


def asked(fake: FakeRegistry, before: int) -> list[str]:
    return [f"{request.method} {request.path}" for request in fake.seen[before:]]


def test_a_pull_of_what_is_there_asks_what_docker_asks(store: Store, fake: FakeRegistry) -> None:
    digest = fake.add_image("app", "1", (layer("f"),))
    name, by_digest = f"{fake.host}/app:1", f"{fake.host}/app@{digest}"
    pull(store, name)
    before = len(fake.seen)
    assert statuses(store, name) == [
        "1: Pulling from app",
        f"Digest: {digest}",
        f"Status: Image is up to date for {name}",
    ]
    assert asked(fake, before) == ["GET /v2/", "HEAD /v2/app/manifests/1"]
    before = len(fake.seen)
    assert statuses(store, by_digest) == [
        f"{by_digest}: Pulling from app",
        f"Digest: {digest}",
        f"Status: Image is up to date for {by_digest}",
    ]
    assert asked(fake, before) == ["GET /v2/"]


def test_a_pull_of_an_index_that_is_there_asks_for_its_digest(
    store: Store, fake: FakeRegistry
) -> None:
    amd = fake.add_image("app", "", (layer("amd"),))
    arm = fake.add_image("app", "", (layer("arm"),), platform="linux/arm64")
    fake.add_index("app", "1", {amd: "linux/amd64", arm: "linux/arm64/v8"})
    *_, first = puller(store).pull(f"{fake.host}/app:1", platform="linux/amd64")
    before = len(fake.seen)
    *_, again = puller(store).pull(f"{fake.host}/app:1", platform="linux/amd64")
    assert isinstance(first, PullDone)
    assert isinstance(again, PullDone)
    assert again.image == first.image
    assert asked(fake, before) == ["GET /v2/", "HEAD /v2/app/manifests/1"]
    *_, other = puller(store).pull(f"{fake.host}/app:1", platform="linux/arm64")
    assert isinstance(other, PullDone)
    assert other.image.architecture == "arm64"


def test_what_was_pushed_from_here_is_not_fetched(store: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/app:1"
    image = store.built(name, {"a": "a"})
    list(Pusher(store.images, store.layers, store.blobs).push(name))
    before = len(fake.seen)
    assert pull(store, name).id == image.id
    assert asked(fake, before) == ["GET /v2/", "HEAD /v2/app/manifests/1"]


def test_a_kept_image_without_its_layer_or_its_manifest_is_fetched(
    store: Store, fake: FakeRegistry
) -> None:
    fake.add_image("app", "1", (layer("f"),))
    image = pull(store, f"{fake.host}/app:1")
    store.blobs.delete(store.images.manifest_digest(image.id))
    before = len(fake.seen)
    pull(store, f"{fake.host}/app:1")
    assert asked(fake, before)[2:] == ["GET /v2/app/manifests/1"]
    assert store.blobs.has(store.images.manifest_digest(image.id))


def test_a_tag_is_newer_if_it_did_not_name_the_image_before(
    store: Store, fake: FakeRegistry
) -> None:
    fake.add_image("app", "1", (shared := layer("f"),))
    fake.add_image("app", "2", (shared,))
    assert statuses(store, f"{fake.host}/app:1")[-1].startswith("Status: Downloaded newer image")
    *lines, last = statuses(store, f"{fake.host}/app:2")
    assert last == f"Status: Downloaded newer image for {fake.host}/app:2"
    assert not any("Already exists" in line for line in lines)  # of an image that is here


def test_all_tags_have_one_status_and_one_greeting(store: Store, fake: FakeRegistry) -> None:
    for tag in ("1", "2"):
        fake.add_image("app", tag, (layer(tag),))
    lines = statuses(store, f"{fake.host}/app", all_tags=True)
    assert [line for line in lines if line.startswith(("1: P", "2: P", "Status"))] == [
        "1: Pulling from app",
        "2: Pulling from app",
        f"Status: Downloaded newer image for {fake.host}/app",
    ]
    before = len(fake.seen)
    last = statuses(store, f"{fake.host}/app", all_tags=True)[-1]
    assert last == f"Status: Image is up to date for {fake.host}/app"
    assert asked(fake, before) == [
        "GET /v2/",
        "GET /v2/app/tags/list?n=1000",
        "HEAD /v2/app/manifests/1",
        "HEAD /v2/app/manifests/2",
    ]
