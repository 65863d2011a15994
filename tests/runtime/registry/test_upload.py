from __future__ import annotations

import io
import os

import pytest

from dockmagic_runtime.errors import EngineBug, RemoteFailed
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.errors import AccessDenied, ConnectionLost
from dockmagic_runtime.registry.manifest import OCI_MANIFEST, Descriptor, Manifest
from dockmagic_runtime.registry.upload import RegistryWriter
from dockmagic_runtime.testing.registry import FakeRegistry, Fault, digest_of

from .conftest import USER, Connect, Pauses

DATA = os.urandom(1_000_000)
BLOB = Descriptor(media_type="x", digest=digest_of(DATA), size=len(DATA))


@pytest.fixture
def writer(client: RegistryClient) -> RegistryWriter:
    return RegistryWriter(client)


def _upload(writer: RegistryWriter, *, chunk_size: int = 0) -> None:
    writer.upload_blob("app", BLOB, io.BytesIO(DATA), chunk_size=chunk_size)


def test_a_blob_arrives_in_one_piece(fake: FakeRegistry, writer: RegistryWriter) -> None:
    assert not writer.has_blob("app", BLOB.digest)
    _upload(writer)
    assert fake.blobs["app"] == {BLOB.digest: DATA}
    assert writer.has_blob("app", BLOB.digest)
    assert [request.method for request in fake.requests("uploads")] == ["POST", "PUT"]


def test_a_blob_arrives_in_chunks(fake: FakeRegistry, writer: RegistryWriter) -> None:
    _upload(writer, chunk_size=300_000)
    assert fake.blobs["app"] == {BLOB.digest: DATA}
    ranges = [request.header("content-range") for request in fake.requests("PATCH")]
    assert ranges == ["0-299999", "300000-599999", "600000-899999", "900000-999999"]


def test_an_empty_blob_arrives(fake: FakeRegistry, writer: RegistryWriter) -> None:
    empty = Descriptor(media_type="x", digest=digest_of(b""), size=0)
    writer.upload_blob("app", empty, io.BytesIO())
    assert fake.blobs["app"] == {empty.digest: b""}


def test_a_stream_is_hashed_on_its_way(fake: FakeRegistry, writer: RegistryWriter) -> None:
    chunks = (DATA[:10], b"", DATA[10:])
    assert writer.upload_stream("app", chunks) == (BLOB.digest, BLOB.size)
    assert fake.blobs["app"] == {BLOB.digest: DATA}


def test_progress_tells_what_was_sent(writer: RegistryWriter) -> None:
    shown: list[int] = []
    writer.upload_blob("app", BLOB, io.BytesIO(DATA), progress=shown.append)
    assert shown == sorted(shown)
    assert shown[-1] == BLOB.size


@pytest.mark.parametrize("chunk_size", [0, 300_000])
def test_a_broken_upload_goes_on_where_the_registry_is(
    fake: FakeRegistry, writer: RegistryWriter, pauses: Pauses, chunk_size: int
) -> None:
    method = "PATCH" if chunk_size else "PUT"
    fake.fail(Fault(match=f"{method} /v2/app/blobs/uploads", read_at_most=200_000))
    _upload(writer, chunk_size=chunk_size)
    assert fake.blobs["app"] == {BLOB.digest: DATA}
    later = fake.requests("PATCH")[1 if chunk_size else 0]
    assert later.header("content-range").startswith("200000-")
    assert pauses == [0.5]


def test_an_upload_that_the_registry_forgot_begins_again(
    fake: FakeRegistry, writer: RegistryWriter
) -> None:
    fake.fail(Fault(match="PATCH", status=404))
    _upload(writer, chunk_size=300_000)
    assert fake.blobs["app"] == {BLOB.digest: DATA}
    assert len(fake.requests("POST")) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_given_the_blob_again(
    fake: FakeRegistry, writer: RegistryWriter, pauses: Pauses, status: int
) -> None:
    fake.fail(Fault(match="PUT", status=status, headers={"Retry-After": "3"}))
    _upload(writer)
    assert fake.blobs["app"] == {BLOB.digest: DATA}
    assert pauses == [3.0]


def test_an_upload_that_always_breaks_is_given_up(
    fake: FakeRegistry, writer: RegistryWriter, pauses: Pauses
) -> None:
    fake.fail(Fault(match="PUT", times=99, read_at_most=0))
    with pytest.raises(ConnectionLost):
        _upload(writer)
    assert len(pauses) == 4


def test_a_refusal_is_told_in_the_registrys_words(
    fake: FakeRegistry, writer: RegistryWriter
) -> None:
    wrong = Descriptor(media_type="x", digest=digest_of(b"other"), size=len(DATA))
    with pytest.raises(RemoteFailed, match="digest invalid: provided digest did not match"):
        writer.upload_blob("app", wrong, io.BytesIO(DATA))


def test_a_registry_that_keeps_something_else_is_found_out(
    fake: FakeRegistry, writer: RegistryWriter
) -> None:
    kept = {"Docker-Content-Digest": digest_of(b"other")}
    fake.fail(Fault(match="PUT", status=201, headers=kept))
    with pytest.raises(RemoteFailed, match="instead of"):
        _upload(writer)


def test_a_source_that_is_too_short_is_our_fault(writer: RegistryWriter) -> None:
    with pytest.raises(EngineBug, match="shorter than it says"):
        writer.upload_blob("app", BLOB, io.BytesIO(DATA[:5]))


def test_a_blob_is_mounted_from_another_repository(
    fake: FakeRegistry, writer: RegistryWriter
) -> None:
    fake.add_blob("base", DATA)
    assert writer.mount_blob("app", BLOB.digest, "base")
    assert fake.blobs["app"] == {BLOB.digest: DATA}


def test_a_mount_that_is_not_granted_leaves_no_upload_open(
    fake: FakeRegistry, writer: RegistryWriter
) -> None:
    assert not writer.mount_blob("app", BLOB.digest, "none")
    assert not fake.uploads


def test_a_manifest_is_named_once_its_blobs_are_there(
    fake: FakeRegistry, client: RegistryClient, writer: RegistryWriter
) -> None:
    digest = fake.add_image("other", "1", (DATA,))
    manifest = client.manifest("other", "1")
    with pytest.raises(RemoteFailed, match="manifest blob unknown"):
        writer.put_manifest("app", "1", manifest)
    for blob in fake.blobs["other"]:
        writer.mount_blob("app", blob, "other")
    writer.put_manifest("app", "1", manifest)
    assert client.manifest("app", "1").digest == digest


def test_writing_asks_for_a_token_to_push(connect: Connect) -> None:
    with FakeRegistry(user=USER, tokens=True) as fake:
        client = connect(fake.host, Credentials(username=USER[0], password=USER[1]))
        _upload(RegistryWriter(client))
        assert fake.blobs["app"] == {BLOB.digest: DATA}
        scopes = [request.path for request in fake.requests("GET /token")]
        assert any("pull%2Cpush" in path for path in scopes)


def test_a_stranger_may_not_push(connect: Connect) -> None:
    with FakeRegistry(user=USER) as fake:
        writer = RegistryWriter(connect(fake.host))
        with pytest.raises(AccessDenied) as caught:
            _upload(writer)
        assert caught.value.message == "denied: requested access to the resource is denied"
        with pytest.raises(AccessDenied):
            writer.put_manifest("app", "1", Manifest(media_type=OCI_MANIFEST, digest="", data=b""))


def test_row_34_credentials_do_not_follow_an_upload_to_another_host(connect: Connect) -> None:
    with FakeRegistry(user=USER) as fake, FakeRegistry() as storage:
        storage.uploads["abc"] = bytearray()
        place = {"Location": f"{storage.url}/v2/app/blobs/uploads/abc"}
        client = connect(fake.host, Credentials(username=USER[0], password=USER[1]))
        fake.fail(Fault(match="POST", status=202, headers=place))
        _upload(RegistryWriter(client))
        assert storage.blobs["app"] == {BLOB.digest: DATA}
        assert not any(request.header("authorization") for request in storage.seen)
