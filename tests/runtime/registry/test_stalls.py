"""Security 4: a peer that goes silent. The transfer is taken up once more, then given up."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from dockmagic_runtime.errors import InvalidInput, RemoteFailed
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.errors import Stalled
from dockmagic_runtime.registry.manifest import Descriptor
from dockmagic_runtime.registry.stall import VARIABLE, stall_limit
from dockmagic_runtime.registry.upload import RegistryWriter
from dockmagic_runtime.testing.registry import FakeRegistry, Fault
from tests.runtime.registry.conftest import Connect, Pauses

DATA = os.urandom(1_500_000)


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.2")


@pytest.fixture
def client(fake: FakeRegistry, connect: Connect) -> RegistryClient:
    return connect(fake.host)


@pytest.fixture
def blob(fake: FakeRegistry) -> Descriptor:
    digest = fake.add_blob("app", DATA)
    return Descriptor(media_type="x", digest=digest, size=len(DATA))


def read(client: RegistryClient, blob: Descriptor) -> bytes:
    with client.open_blob("app", blob) as stream:
        return stream.read()


def test_security_4_a_blob_that_stalls_is_taken_up_where_it_stood(
    fake: FakeRegistry, client: RegistryClient, blob: Descriptor, pauses: Pauses
) -> None:
    fake.fail(Fault(match="GET /v2/app/blobs/", stall_after=1_000_000))
    reported: list[float] = []
    with client.open_blob("app", blob, on_retry=reported.append) as stream:
        assert stream.read() == DATA
    assert reported == [0.5]
    (_, again) = fake.requests("GET /v2/app/blobs/")
    begin = int(again.header("range").removeprefix("bytes=").rstrip("-"))
    assert 700_000 < begin <= 1_000_000
    assert pauses == [0.5]


def test_security_4_a_blob_that_stalls_twice_is_given_up_in_one_line(
    fake: FakeRegistry, client: RegistryClient, blob: Descriptor
) -> None:
    fake.fail(Fault(match="GET /v2/app/blobs/", times=9, stall_after=100))
    with pytest.raises(Stalled, match=r"/blobs/sha256:.*no byte for 0\.2 seconds") as caught:
        read(client, blob)
    assert VARIABLE in caught.value.hint
    assert len(fake.requests("GET /v2/app/blobs/")) == 2


@pytest.mark.parametrize(
    ("match", "work"),
    [
        ("GET /v2/app/manifests", lambda client: client.manifest("app", "1").digest),
        ("GET /v2/app/tags", lambda client: list(client.tags("app"))),
        ("GET /v2/_catalog", lambda client: list(client.catalog())),
    ],
)
@pytest.mark.parametrize("fault", [{"is_silent": True}, {"stall_after": 5}, {"byte_pause": 0.1}])
def test_security_4_a_document_that_stalls_is_asked_for_again(
    fake: FakeRegistry,
    client: RegistryClient,
    match: str,
    work: Callable[[RegistryClient], object],
    fault: dict[str, float],
) -> None:
    fake.add_image("app", "1", (b"layer",))
    expected = work(client)
    fake.fail(Fault(match=match, **fault))  # type: ignore[arg-type]
    assert work(client) == expected
    fake.fail(Fault(match=match, times=2, **fault))  # type: ignore[arg-type]
    with pytest.raises(Stalled):
        work(client)


def test_security_4_a_token_service_that_stalls_is_asked_again(connect: Connect) -> None:
    with FakeRegistry(tokens=True) as fake:
        fake.add_image("app", "1", (b"layer",))
        fake.fail(Fault(match="GET /token", is_silent=True))
        assert connect(fake.host).manifest("app", "1").layers


@pytest.mark.parametrize("chunk_size", [0, 400_000])
def test_security_4_an_upload_that_stalls_is_begun_again(
    fake: FakeRegistry, client: RegistryClient, chunk_size: int
) -> None:
    descriptor = Descriptor(media_type="x", digest=fake.add_blob("other", DATA), size=len(DATA))
    match = "PATCH" if chunk_size else "PUT"
    fake.fail(Fault(match=match, is_silent=True))
    RegistryWriter(client).upload_blob("app", descriptor, io.BytesIO(DATA), chunk_size=chunk_size)
    assert fake.blobs["app"] == {descriptor.digest: DATA}
    fake.fail(Fault(match=match, times=9, is_silent=True))
    with pytest.raises(RemoteFailed, match="no byte for"):
        RegistryWriter(client).upload_blob(
            "app2", descriptor, io.BytesIO(DATA), chunk_size=chunk_size
        )


@pytest.mark.parametrize(("text", "seconds"), [("", 60), ("5", 5), ("1.5s", 1.5)])
def test_the_limit_is_a_number_of_seconds(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert stall_limit() == seconds


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "1m", "x"])
def test_a_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(InvalidInput, match=VARIABLE):
        stall_limit()
