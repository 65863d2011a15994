"""Pushes: to a registry of ours that fails on demand, and to Debian's; pulled again by others."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.distribution.pull import Puller
from dockmagic_runtime.distribution.push import Pusher
from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullStatus, PushDone
from dockmagic_runtime.registry.login import login
from dockmagic_runtime.registry.search import search
from dockmagic_runtime.testing.registry import FakeRegistry, Fault
from tests.runtime.registry.conftest import RealRegistry, serve

from .conftest import Store

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_configured")]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with serve(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


def push(store: Store, name: str, *, all_tags: bool = False) -> list[PullStatus | PushDone]:
    return list(Pusher(store.images, store.layers, store.blobs).push(name, all_tags=all_tags))


def pull(store: Store, name: str) -> Image:
    *_, done = Puller(store.images, store.layers, store.blobs).pull(name)
    return done.image  # type: ignore[union-attr]


def lines(events: list[PullStatus | PushDone]) -> list[str]:
    """As a terminal shows them, without the steps of a bar."""
    return [
        f"{event.id}: {event.status}" if event.id else event.status
        for event in events
        if isinstance(event, PullStatus) and not event.total
    ]


def short(diff_id: str) -> str:
    return diff_id.removeprefix("sha256:")[:12]


def test_docker_s_lines_about_a_push(store: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/team/app:1"
    image = store.built(name, {"a": "1"})
    events = push(store, name)
    (layer,) = map(short, image.diff_ids)
    done = events[-1]
    assert isinstance(done, PushDone)
    assert lines(events) == [
        f"The push refers to repository [{fake.host}/team/app]",
        f"{layer}: Preparing",
        f"{layer}: Pushed",
        f"1: digest: {done.digest} size: {done.size}",
    ]


def test_what_was_pushed_is_pulled_the_same(store: Store, other: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/app:1"
    image = store.built(name, {"a": "1"}, {"b/c": "x" * 3_000_000}, {"a": "3"})
    push(store, name)
    pulled = pull(other, name)
    assert (pulled.id, pulled.diff_ids) == (image.id, image.diff_ids)
    assert other.tree(pulled) == store.tree(image)


def test_a_registry_at_an_ipv6_address(store: Store, other: Store) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("optional: this host has no IPv6")
    with FakeRegistry(address="::1", user=("ada", "word"), tokens=True) as fake:
        name = f"{fake.host}/team/app:1"
        assert name.startswith("[::1]:")
        assert login(fake.host, "ada", "word") is not None
        image = store.built(name, {"a": "1"})
        push(store, name)
        assert pull(other, name).id == image.id
        assert [result.name for result in search(fake.host, "app", 5)] == [f"{fake.host}/team/app"]


def test_a_second_push_sends_nothing(store: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/app:1"
    image = store.built(name, {"a": "1"})
    first = push(store, name)[-1]
    before = len(fake.requests("POST"))
    events = push(store, name)
    assert f"{short(image.diff_ids[0])}: Layer already exists" in lines(events)
    assert len(fake.requests("POST")) == before
    assert events[-1] == first


def test_a_layer_is_compressed_once_and_always_to_the_same_bytes(
    store: Store, other: Store, fake: FakeRegistry
) -> None:
    name = f"{fake.host}/app:1"
    image = store.built(name, {"a": "1" * 2_000_000})
    digest = push(store, name)[-1].digest  # type: ignore[union-attr]
    record = store.layers.get(image.chain_ids[0])
    data = Path(store.blobs.path(record.blob)).read_bytes()
    assert f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}" == record.diff_id
    other.built(name, {"a": "1" * 2_000_000})
    assert push(other, name)[-1].digest == digest  # type: ignore[union-attr]


def test_what_was_pulled_keeps_its_digest_in_another_registry(
    store: Store, fake: FakeRegistry, tmp_path: Path
) -> None:
    digest = fake.add_image("app", "1", (b"\0" * 1024,))
    image = pull(store, f"{fake.host}/app:1")
    with FakeRegistry() as second:
        store.images.tag(image.id, f"{second.host}/copy:2")
        done = push(store, f"{second.host}/copy:2")[-1]
        assert isinstance(done, PushDone)
        assert done.digest == digest
        assert second.manifests["copy"]["2"] == fake.manifests["app"]["1"]


def test_a_layer_is_mounted_from_another_repository(store: Store, fake: FakeRegistry) -> None:
    image = store.built(f"{fake.host}/one:1", {"a": "1"})
    push(store, f"{fake.host}/one:1")
    store.images.tag(image.id, f"{fake.host}/two:1")
    events = push(store, f"{fake.host}/two:1")
    assert f"{short(image.diff_ids[0])}: Mounted from one" in lines(events)


def test_all_tags_are_pushed(store: Store, fake: FakeRegistry) -> None:
    image = store.built(f"{fake.host}/app:1", {"a": "1"})
    store.images.tag(image.id, f"{fake.host}/app:2")
    events = push(store, f"{fake.host}/app", all_tags=True)
    done = [event.reference for event in events if isinstance(event, PushDone)]
    assert done == [f"{fake.host}/app:1", f"{fake.host}/app:2"]
    assert {"1", "2"} <= set(fake.manifests["app"])


def test_layers_beyond_the_fifth_are_told_to_wait(store: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/app:1"
    store.built(name, *({f"f{n}": "x"} for n in range(7)))
    shown = lines(push(store, name))
    assert len([line for line in shown if line.endswith(": Waiting")]) == 2
    assert len([line for line in shown if line.endswith(": Pushed")]) == 7


def test_what_is_not_here_cannot_be_pushed(store: Store, fake: FakeRegistry) -> None:
    with pytest.raises(NotFound, match=r"An image does not exist locally with the tag: .*/app"):
        push(store, f"{fake.host}/app:1")
    with pytest.raises(InvalidInput, match="cannot push a digest reference"):
        push(store, f"{fake.host}/app@sha256:{'a' * 64}")
    assert fake.requests() == []


def test_a_registry_that_refuses_leaves_no_tag(store: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/app:1"
    store.built(name, {"a": "1"}, {"b": "2"})
    fake.fail(Fault(match="PUT", status=400, times=99))
    with pytest.raises(RemoteFailed):
        push(store, name)
    assert "app" not in fake.manifests


def test_a_push_that_is_left_early_ends_its_connections(store: Store, fake: FakeRegistry) -> None:
    name = f"{fake.host}/app:1"
    store.built(name, {"a": "1"})
    events = Pusher(store.images, store.layers, store.blobs).push(name)
    for event in events:
        if isinstance(event, PullStatus) and event.status == "Preparing":
            break
    events.close()  # type: ignore[attr-defined]
    assert "app" not in fake.manifests


def test_debians_registry_keeps_it_and_skopeo_reads_it(
    store: Store, other: Store, real: RealRegistry, tmp_path: Path
) -> None:
    name = f"{real.host}/team/app:1"
    image = store.built(name, {"a": "1"}, {"b/c": "x" * 900_000})
    done = push(store, name)[-1]
    assert isinstance(done, PushDone)
    assert pull(other, name).id == image.id
    copied = tmp_path / "copied"
    command = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false"]
    subprocess.run([*command, f"docker://{name}", f"dir:{copied}"], check=True, timeout=60)
    manifest = (copied / "manifest.json").read_bytes()
    assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == done.digest
    layers = json.loads(manifest)["layers"]
    unpacked = [gzip.decompress((copied / layer["digest"][7:]).read_bytes()) for layer in layers]
    digests = tuple(f"sha256:{hashlib.sha256(item).hexdigest()}" for item in unpacked)
    assert digests == image.diff_ids


def test_debians_registry_mounts(store: Store, real: RealRegistry) -> None:
    image = store.built(f"{real.host}/from:1", {"m": "1"})
    push(store, f"{real.host}/from:1")
    store.images.tag(image.id, f"{real.host}/to:1")
    assert f"{short(image.diff_ids[0])}: Mounted from from" in lines(
        push(store, f"{real.host}/to:1")
    )
