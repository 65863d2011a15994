"""How the client is let in, and what it takes along when it is sent elsewhere."""

from __future__ import annotations

import pytest

from dockmagic_runtime.errors import NotFound, RemoteFailed
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.errors import AccessDenied
from dockmagic_runtime.testing.registry import FakeRegistry, Fault

from .conftest import BIG, USER, Connect, put_blob, read_blob

ADA = Credentials(username=USER[0], password=USER[1])


# -------------------------------------------------------------------- being let in


@pytest.mark.parametrize("tokens", [False, True])
def test_a_password_lets_in(connect: Connect, tokens: bool) -> None:
    with FakeRegistry(user=USER, tokens=tokens) as fake:
        digest = fake.add_image("app", "1", (b"layer",))
        client = connect(fake.host, ADA)
        client.ping()
        manifest = client.manifest("app", "1")
        assert manifest.digest == digest
        assert read_blob(client, manifest.layers[0]) == b"layer"


def test_one_token_serves_all_requests_of_a_scope(connect: Connect) -> None:
    with FakeRegistry(tokens=True) as fake:
        fake.add_image("app", "1", (b"a", b"b"))
        client = connect(fake.host)
        for layer in client.manifest("app", "1").layers:
            read_blob(client, layer)
        assert len(fake.requests("/token")) == 1
        assert "scope=repository%3Aapp%3Apull" in fake.requests("/token")[0].path


def test_a_token_that_has_become_invalid_is_replaced(connect: Connect) -> None:
    with FakeRegistry(tokens=True) as fake:
        digest = fake.add_image("app", "1", (b"a",))
        client = connect(fake.host)
        client.manifest("app", "1")
        fake.fail(Fault(match="manifests", status=401))
        assert client.manifest("app", "1").digest == digest
        assert len(fake.requests("/token")) == 2


def test_an_identity_token_is_exchanged(connect: Connect) -> None:
    with FakeRegistry(user=USER, tokens=True) as fake:
        fake.add_image("app", "1", (b"a",))
        client = connect(fake.host, Credentials(identity_token=USER[1]))
        client.manifest("app", "1")
        assert fake.requests("POST /token")


@pytest.mark.parametrize("tokens", [False, True])
def test_a_stranger_is_refused_in_dockers_words(connect: Connect, tokens: bool) -> None:
    with FakeRegistry(user=USER, tokens=tokens) as fake:
        fake.add_image("app", "1", (b"layer",))
        with pytest.raises(AccessDenied) as caught:
            connect(fake.host).manifest("app", "1")
        assert caught.value.message == (
            f"pull access denied for {fake.host}/app, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied"
        )


def test_a_403_is_refused_in_the_same_words(fake: FakeRegistry, client: RegistryClient) -> None:
    fake.fail(Fault(match="manifests", status=403))
    with pytest.raises(AccessDenied, match="pull access denied for"):
        client.manifest("app", "1")


@pytest.mark.parametrize("tokens", [False, True])
def test_a_wrong_password_is_told(connect: Connect, tokens: bool) -> None:
    with FakeRegistry(user=USER, tokens=tokens) as fake:
        client = connect(fake.host, Credentials(username="ada", password="wrong"))
        with pytest.raises(AccessDenied) as caught:
            client.ping()
        assert "unauthorized" in caught.value.message
        assert "wrong" not in str(caught.value)


def test_credentials_of_a_helper_are_missed_only_when_the_registry_insists(
    fake: FakeRegistry, connect: Connect
) -> None:
    helper = Credentials(helper="desktop")
    digest = fake.add_image("app", "1", (b"layer",))
    assert connect(fake.host, helper).manifest("app", "1").digest == digest
    with (
        FakeRegistry(user=USER) as closed,
        pytest.raises(NotFound, match="docker-credential-desktop"),
    ):
        connect(closed.host, helper).manifest("app", "1")


def test_the_first_password_waits_until_it_is_asked_for(connect: Connect) -> None:
    with FakeRegistry(user=USER) as fake:
        connect(fake.host, ADA).ping()
        first, *later = fake.seen
        assert first.header("authorization") == ""
        assert all(request.header("authorization").startswith("Basic ") for request in later)


# -------------------------------------------------------------------- redirects


@pytest.mark.parametrize("tokens", [False, True])
def test_row_34_credentials_do_not_follow_a_redirect_to_another_host(
    connect: Connect, tokens: bool
) -> None:
    with FakeRegistry(user=USER, tokens=tokens) as fake, FakeRegistry() as storage:
        descriptor = put_blob(fake, b"contents")
        storage.add_blob("app", b"contents")
        place = f"{storage.url}/v2/app/blobs/{descriptor.digest}"
        fake.fail(Fault(match=BIG, status=307, headers={"Location": place}))
        assert read_blob(connect(fake.host, ADA), descriptor) == b"contents"
        assert fake.requests(BIG)[-1].header("authorization")
        assert [request.header("authorization") for request in storage.seen] == [""]


def test_a_redirect_on_the_same_host_keeps_them(connect: Connect) -> None:
    with FakeRegistry(user=USER) as fake:
        descriptor = put_blob(fake, b"contents")
        place = f"/v2/app/blobs/{descriptor.digest}?again"
        fake.fail(Fault(match=BIG, status=302, headers={"Location": place}))
        # the first redirect is the answer to a request that was already let in
        client = connect(fake.host, ADA)
        client.ping()
        assert read_blob(client, descriptor) == b"contents"
        assert all(request.header("authorization") for request in fake.requests(BIG))


def test_row_32_bytes_from_a_redirect_are_verified_too(
    fake: FakeRegistry, client: RegistryClient
) -> None:
    descriptor = put_blob(fake, b"contents")
    with FakeRegistry() as storage:
        place = f"{storage.url}/v2/app/blobs/{storage.add_blob('app', b'Contents')}"
        fake.fail(Fault(match=BIG, status=307, headers={"Location": place}))
        with pytest.raises(RemoteFailed, match="verification failed"):
            read_blob(client, descriptor)


def test_a_circle_of_redirects_ends(fake: FakeRegistry, client: RegistryClient) -> None:
    fake.fail(Fault(match="manifests", times=99, status=302, headers={"Location": "?x"}))
    with pytest.raises(RemoteFailed, match="stopped after 5 redirects"):
        client.manifest("app", "1")


@pytest.mark.parametrize("place", ["ftp://x.test/", "http://u:p@x.test/", "file:///etc/passwd"])
def test_a_redirect_to_what_is_no_registrys_is_refused(
    fake: FakeRegistry, client: RegistryClient, place: str
) -> None:
    fake.fail(Fault(match="manifests", status=302, headers={"Location": place}))
    with pytest.raises(RemoteFailed, match="invalid address"):
        client.manifest("app", "1")
