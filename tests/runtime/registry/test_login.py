"""Logins: tried first, kept as Docker keeps them, and never where a helper does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.registry.credentials import CredentialStore
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
        found = CredentialStore().find(fake.host)
    assert found is not None
    assert (found.username, found.password) == USER
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


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_helper_is_named_and_not_gone_around(config: Path, key: str) -> None:
    with FakeRegistry(user=USER) as fake:
        config.parent.mkdir()
        value = "pass" if key == "credsStore" else {fake.host: "pass"}
        config.write_text(json.dumps({key: value}))
        with pytest.raises(Unsupported, match="docker-credential-pass"):
            login(fake.host, *USER)
        with pytest.raises(Unsupported, match="docker-credential-pass"):
            logout(fake.host)
    assert "auths" not in json.loads(config.read_text())


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
