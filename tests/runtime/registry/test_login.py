"""Logins: tried first, kept as Docker keeps them, or by a helper."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.registry import credential_helpers
from dockmagic_runtime.registry.client import clients_for
from dockmagic_runtime.registry.credentials import Credentials, CredentialStore
from dockmagic_runtime.registry.errors import AccessDenied, RegistryUnreachable
from dockmagic_runtime.registry.login import login, logout, registry_name
from dockmagic_runtime.testing.registry import FakeRegistry

from .conftest import USER


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


@pytest.mark.parametrize("tokens", [False, True])
def test_accepted_credentials_are_kept_and_used(config: Path, tokens: bool) -> None:
    with FakeRegistry(user=USER, tokens=tokens) as fake:
        assert login(fake.host, *USER) == config
        result = CredentialStore().find(fake.host)
    assert result is not None
    assert (result.username, result.password) == USER
    assert config.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(config.read_text())["auths"]) == [fake.host]


def test_refused_credentials_are_not_kept(config: Path) -> None:
    with FakeRegistry(user=USER) as fake, pytest.raises(AccessDenied):
        login(fake.host, USER[0], "wrong")
    assert not config.exists()


def test_a_registry_that_is_not_there_keeps_nothing(config: Path) -> None:
    with FakeRegistry() as fake:
        host = fake.host
    with pytest.raises(RegistryUnreachable):
        login(host, *USER)
    assert not config.exists()


def test_the_rest_of_the_file_stays(config: Path) -> None:
    config.parent.mkdir()
    config.write_text('{"auths": {"other": {"auth": "YTpi"}}, "proxies": {"default": {}}}')
    with FakeRegistry(user=USER) as fake:
        login(fake.host, *USER)
        document = json.loads(config.read_text())
        assert document["proxies"] == {"default": {}}
        assert set(document["auths"]) == {"other", fake.host}
        assert logout(fake.host)
        assert not logout(fake.host)
    assert list(json.loads(config.read_text())["auths"]) == ["other"]


HELPER = """#!/bin/sh
# Keeps one credential in a file beside it, and notes how it was called.
kept=$(dirname "$0")/kept
echo "$1" >> "$(dirname "$0")/calls"
case $1 in
    get)
        cat > /dev/null
        cat "$kept" 2> /dev/null || { echo "credentials not found in native keychain"; exit 1; }
        ;;
    store) cat > "$kept" ;;
    erase) cat > /dev/null; rm "$kept" ;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a helper `test`, which is on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker-credential-test").write_text(HELPER)
    (folder / "docker-credential-test").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def configure(config: Path, key: str, host: str, helper: str) -> None:
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps({key: helper if key == "credsStore" else {host: helper}}))


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_helper_keeps_gives_and_forgets(config: Path, helper: Path, key: str) -> None:
    with FakeRegistry(user=USER) as fake:
        fake.add_image("app", "1", (b"layer",))
        configure(config, key, fake.host, "test")
        assert login(fake.host, *USER) is None
        assert json.loads((helper / "kept").read_text()) == {
            "ServerURL": fake.host,
            "Username": USER[0],
            "Secret": USER[1],
        }
        assert json.loads(config.read_text())["auths"] == {fake.host: {}}
        (client,) = clients_for(fake.host)
        with client:
            client.manifest("app", "1")
            client.manifest("app", "1")
        assert (helper / "calls").read_text().split() == ["store", "get"]
        assert logout(fake.host)
        assert not (helper / "kept").exists()
        assert not logout(fake.host)
        (client,) = clients_for(fake.host)
        with client, pytest.raises(AccessDenied):
            client.manifest("app", "1")


def test_a_helper_is_not_started_for_a_registry_that_lets_everybody_in(
    config: Path, helper: Path
) -> None:
    with FakeRegistry() as fake:
        fake.add_image("app", "1", (b"layer",))
        configure(config, "credsStore", fake.host, "test")
        (client,) = clients_for(fake.host)
        with client:
            client.manifest("app", "1")
    assert not (helper / "calls").exists()


def test_a_helper_that_is_not_there_is_named_and_not_gone_around(config: Path) -> None:
    with FakeRegistry(user=USER) as fake:
        configure(config, "credsStore", fake.host, "missing")
        with pytest.raises(NotFound, match="docker-credential-missing"):
            login(fake.host, *USER)
        (client,) = clients_for(fake.host)
        with client, pytest.raises(NotFound, match="docker-credential-missing"):
            client.manifest("app", "1")
    assert "auths" not in json.loads(config.read_text())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo not json", "no credential"),
        ("echo '[]'", "no credential"),
        ("echo locked; exit 1", "docker-credential-test get failed: locked"),
        ("echo broken >&2; exit 2", "docker-credential-test get failed: broken"),
    ],
)
def test_a_helper_that_fails_is_told(config: Path, helper: Path, script: str, message: str) -> None:
    (helper / "docker-credential-test").write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(RemoteFailed, match=message):
        credential_helpers.get("test", "r.test")
    for name in ("../test", "a/b", "", "-x"):
        with pytest.raises(InvalidInput, match="invalid credential helper"):
            credential_helpers.get(name, "r.test")


def test_a_helper_may_keep_an_identity_token(helper: Path) -> None:
    (helper / "kept").write_text(json.dumps({"Username": "<token>", "Secret": "secret"}))
    result = credential_helpers.get("test", "r.test")
    assert result == Credentials(identity_token="secret")
    assert "secret" not in repr(result)


def test_an_empty_password_is_no_login(config: Path) -> None:
    with pytest.raises(InvalidInput):
        login("localhost:1", "ada", "")


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://localhost:5000/v2/", "localhost:5000"),
    ],
)
def test_what_people_call_a_registry(server: str, name: str) -> None:
    assert registry_name(server) == name
