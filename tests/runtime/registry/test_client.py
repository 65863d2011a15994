"""The reading side against the fake registry, honest and faulty."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.endpoint import RegistryEndpoint
from dockmagic_runtime.registry.errors import ConnectionLost, RegistryUnreachable
from dockmagic_runtime.registry.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor
from dockmagic_runtime.testing.registry import FakeRegistry, Fault

from .conftest import BIG, BLOB, Connect, Pauses, put_blob, read_blob

# -------------------------------------------------------------------- manifests


def test_a_manifest_is_read_by_tag_and_by_digest(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    digest = fake.add_image("app", "1", (b"layer",))
    for reference in ("1", digest):
        manifest = client.manifest("app", reference)
        assert manifest.digest == digest
        assert manifest.media_type == OCI_MANIFEST
        assert [layer.size for layer in manifest.layers] == [5]


def test_a_missing_manifest_is_told_in_dockers_words(client: RegistryClient) -> None:
    with pytest.raises(NotFound) as caught:
        client.manifest("app", "x")
    name = f"{client.endpoint.registry}/app:x"
    expected = f"manifest for {name} not found: manifest unknown: manifest unknown"
    assert caught.value.message == expected


def test_row_32_a_manifest_with_another_digest_is_refused(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    digest = fake.add_image("app", "1", (b"layer",))
    for reference in ("1", digest):
        fake.fail(Fault(match="manifests", flip=20))
        with pytest.raises(RemoteFailed, match=f"manifest verification failed for digest {digest}"):
            client.manifest("app", reference)


def test_row_33_a_content_type_that_contradicts_the_body_is_refused(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    fake.add_image("app", "1", (b"layer",))
    fake.fail(Fault(match="manifests", content_type=OCI_INDEX))
    with pytest.raises(RemoteFailed, match="calls itself"):
        client.manifest("app", "1")


def test_row_31_a_manifest_of_more_than_4_mebibytes_is_not_read(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    fake.add_manifest("app", "1", OCI_MANIFEST, b" " * ((4 << 20) + 1))
    with pytest.raises(RemoteFailed, match="more than 4194304 bytes"):
        client.manifest("app", "1")


def test_words_of_the_registry_are_made_safe_to_show(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    body = b'{"errors":[{"code":"X","message":"a\\u001b[31m\\nb' + b"z" * 9999 + b'"}]}'
    fake.fail(Fault(match="manifests", status=404, body=body))
    with pytest.raises(NotFound) as caught:
        client.manifest("app", "1")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


# -------------------------------------------------------------------- blobs


def test_a_blob_is_read_whole_however_small_the_pieces(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake, BLOB[:1000])
    with client.open_blob("app", descriptor) as stream:
        pieces = iter(lambda: stream.read(7), b"")
        assert b"".join(pieces) == BLOB[:1000]
        assert stream.read(1) == b""


def test_an_empty_blob_needs_no_request(fake: FakeRegistry, client: RegistryClient) -> None:
    assert read_blob(client, put_blob(fake, b"")) == b""
    assert not fake.requests("blobs")


def test_a_missing_blob_is_told_when_it_is_opened(client: RegistryClient) -> None:
    missing = Descriptor(media_type="x", digest="sha256:" + "0" * 64, size=1)
    with pytest.raises(NotFound, match="blob unknown"):
        client.open_blob("app", missing)


def test_a_broken_connection_is_taken_up_where_it_broke(
    fake: FakeRegistry, client: RegistryClient, pauses: Pauses
) -> None:
    descriptor = put_blob(fake)
    fake.fail(Fault(match=BIG, drop_after=1_500_000))
    assert read_blob(client, descriptor) == BLOB
    assert [request.header("range") for request in fake.requests(BIG)] == ["", "bytes=1500000-"]
    assert pauses == [0.5]


def test_a_server_without_ranges_is_skipped_to_the_place(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    fake.fail(Fault(match=BIG, drop_after=1_500_000))
    fake.fail(Fault(match=BIG, ignore_range=True))
    assert read_blob(client, descriptor) == BLOB


def test_progress_forgives_earlier_breaks(fake: FakeRegistry, client: RegistryClient) -> None:
    data = os.urandom(8 << 20)
    fake.fail(Fault(match=BIG, times=6, drop_after=(1 << 20) + 1))
    assert read_blob(client, put_blob(fake, data)) == data


def test_breaks_without_progress_end_it_with_growing_waits(
    fake: FakeRegistry, client: RegistryClient, pauses: Pauses
) -> None:
    fake.fail(Fault(match=BIG, times=99, drop_after=10))
    with pytest.raises(ConnectionLost, match="unexpected EOF"):
        read_blob(client, put_blob(fake))
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert len(fake.requests(BIG)) == 5


def test_row_32_a_flipped_byte_is_an_error_and_not_the_end_of_the_stream(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    fake.fail(Fault(match=BIG, flip=12345))
    with client.open_blob("app", descriptor) as stream:
        assert len(b"".join(stream.read(1 << 20) for _ in range(3))) == len(BLOB)
        with pytest.raises(
            RemoteFailed, match=f"verification failed for digest {descriptor.digest}"
        ):
            stream.read(1)
        with pytest.raises(RemoteFailed):
            stream.read(1)
    assert len(fake.requests(BIG)) == 1, "wrong bytes are not asked for again"


def test_row_32_a_blob_of_another_size_is_refused_before_it_is_read(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    fake.fail(Fault(match=BIG, surplus=b"more"))
    with pytest.raises(RemoteFailed, match=f"promises {len(BLOB)}"):
        client.open_blob("app", descriptor)


def test_row_32_a_false_content_length_is_refused(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    fake.fail(Fault(match=BIG, claim=5))
    with pytest.raises(RemoteFailed, match=f"promises {len(BLOB)}"):
        client.open_blob("app", descriptor)


def test_a_range_that_was_not_asked_for_is_refused(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    answer = {"Content-Range": f"bytes 9-{len(BLOB)}/{len(BLOB)}"}
    fake.fail(Fault(match=BIG, status=206, headers=answer, body=BLOB[9:]))
    with pytest.raises(RemoteFailed, match="another range"):
        client.open_blob("app", descriptor)


def test_what_an_earlier_attempt_has_is_verified_and_not_fetched_again(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    with client.open_blob("app", descriptor, begun=io.BytesIO(BLOB[:1000])) as stream:
        assert stream.position == 1000
        assert stream.read() == BLOB[1000:]
    assert fake.requests(BIG)[0].header("range") == "bytes=1000-"
    with (
        client.open_blob("app", descriptor, begun=io.BytesIO(b"x" * 1000)) as stream,
        pytest.raises(RemoteFailed, match="verification failed"),
    ):
        stream.read()


def test_what_is_there_in_whole_is_only_verified(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake)
    with client.open_blob("app", descriptor, begun=io.BytesIO(BLOB)) as stream:
        assert stream.read() == b""
    assert not fake.seen


# -------------------------------------------------------------------- trying again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(
    fake: FakeRegistry, client: RegistryClient, pauses: Pauses, status: int
) -> None:
    digest = fake.add_image("app", "1", (b"layer",))
    fake.fail(Fault(match="manifests", times=2, status=status))
    assert client.manifest("app", "1").digest == digest
    assert pauses == [0.5, 1.0]


def test_retry_after_is_obeyed(fake: FakeRegistry, client: RegistryClient, pauses: Pauses) -> None:
    fake.add_image("app", "1", (b"layer",))
    fake.fail(Fault(match="manifests", status=429, headers={"Retry-After": "7"}))
    client.manifest("app", "1")
    assert pauses == [7.0]


def test_a_wait_of_an_hour_is_told_instead_of_waited(
    fake: FakeRegistry, client: RegistryClient, pauses: Pauses
) -> None:
    fake.fail(Fault(match="manifests", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(RemoteFailed, match="429"):
        client.manifest("app", "1")
    assert pauses == []


def test_a_registry_that_stays_broken_is_given_up_with_its_words(
    fake: FakeRegistry, client: RegistryClient, pauses: Pauses
) -> None:
    body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your limit"}]}'
    fake.fail(Fault(match="manifests", times=99, status=429, body=body))
    with pytest.raises(RemoteFailed, match="toomanyrequests: You have reached your limit"):
        client.manifest("app", "1")
    assert len(pauses) == 4


def test_no_answer_at_all_is_asked_for_again(
    fake: FakeRegistry, client: RegistryClient, pauses: Pauses
) -> None:
    digest = fake.add_image("app", "1", (b"layer",))
    fake.fail(Fault(match="manifests", drop_after=0))
    assert client.manifest("app", "1").digest == digest
    assert len(pauses) <= 1  # none where the connection had been used before: it might be stale


def test_connections_are_kept(fake: FakeRegistry, client: RegistryClient) -> None:
    fake.add_image("app", "1", (b"layer",))
    for _ in range(5):
        client.manifest("app", "1")
    assert fake.connections == 2  # the attempt at TLS, and the one that serves


def test_a_closed_client_ends_what_waits_for_it(fake: FakeRegistry, client: RegistryClient) -> None:
    stream = client.open_blob("app", put_blob(fake))
    client.close()
    with stream, pytest.raises(ConnectionLost):
        stream.read()


# -------------------------------------------------------------------- lists


def test_tags_and_repositories_are_listed_over_all_pages(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    names = [f"t{number:04}" for number in range(2500)]
    for name in names:
        fake.add_manifest("app", name, OCI_MANIFEST, b"{}")
    fake.add_image("other", "1", (b"layer",))
    assert list(client.tags("app")) == names
    assert list(client.catalog()) == ["app", "other"]
    assert len(fake.requests("tags/list")) == 3


def test_the_tags_of_nothing_are_not_found(client: RegistryClient) -> None:
    with pytest.raises(NotFound, match="name unknown: repository name not known to registry"):
        list(client.tags("none"))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"tags": 3}', b'{"tags": [3]}'])
def test_a_malformed_list_is_refused(
    fake: FakeRegistry, client: RegistryClient, body: bytes
) -> None:
    fake.fail(Fault(match="tags/list", status=200, body=body))
    with pytest.raises(RemoteFailed):
        list(client.tags("app"))


# -------------------------------------------------------------------- no registry there


def test_what_filters_on_the_way_is_no_registry(fake: FakeRegistry, connect: Connect) -> None:
    fake.fail(Fault(match="GET /v2/", status=403, body=b"blocked by policy", is_stranger=True))
    with pytest.raises(RegistryUnreachable, match="does not answer as a registry: 403"):
        connect(fake.host).manifest("app", "1")


def test_a_first_connection_that_breaks_is_tried_once_more(
    fake: FakeRegistry, connect: Connect
) -> None:
    fake.fail(Fault(match="GET /v2/", drop_after=0))
    connect(fake.host).ping()
    fake.fail(Fault(match="GET /v2/", times=2, drop_after=0))
    with pytest.raises(RegistryUnreachable):
        connect(fake.host).ping()


def test_a_registry_that_is_gone_meanwhile_is_no_longer_called_unreachable(
    connect: Connect,
) -> None:
    with FakeRegistry() as fake:
        client = connect(fake.host)
        client.ping()
    with pytest.raises(ConnectionLost, match="connection refused"):
        client.manifest("app", "1")


def test_a_mirror_below_a_path_is_asked_below_that_path(connect: Connect) -> None:
    with FakeRegistry() as fake:
        host, port = fake.host.split(":")
        endpoint = RegistryEndpoint(
            registry="docker.io", host=host, port=int(port), path="/hub", scheme="http"
        )
        with pytest.raises(NotFound, match="manifest for app:1 not found"):
            connect("", endpoint=endpoint).manifest("library/app", "1")
        assert [request.path for request in fake.seen] == [
            "/hub/v2/",
            "/hub/v2/library/app/manifests/1",
        ]


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, connect: Connect) -> None:
    with FakeRegistry() as fake:
        folder = tmp_path / fake.host
        folder.mkdir()
        (folder / "ca.crt").write_text("no certificate")
        with pytest.raises(InvalidInput, match=r"ca\.crt"):
            connect(fake.host, certificates=(tmp_path,)).ping()
