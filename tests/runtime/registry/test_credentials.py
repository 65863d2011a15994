from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.registry.credentials import Credentials, CredentialStore, default_path

HUB = "https://index.docker.io/v1/"


def _auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _store(folder: Path, document: object) -> CredentialStore:
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return CredentialStore(path)


def test_a_login_is_read(tmp_path: Path) -> None:
    store = _store(tmp_path, {"auths": {"r.test:5000": {"auth": _auth("ada:a:b")}}})
    assert store.find("r.test:5000") == Credentials(username="ada", password="a:b")
    assert store.find("r.test") is None
    assert store.find(HUB) is None


@pytest.mark.parametrize("key", ["https://r.test", "https://r.test/v1/", "http://r.test/v2/"])
def test_a_login_under_a_url_is_found_by_its_host(tmp_path: Path, key: str) -> None:
    store = _store(tmp_path, {"auths": {key: {"auth": _auth("ada:x")}}})
    result = store.find("r.test")
    assert result is not None
    assert result.password == "x"


def test_an_identity_token_is_read(tmp_path: Path) -> None:
    entry = {"auth": _auth("00000000-0000-0000-0000-000000000000:"), "identitytoken": "t"}
    result = _store(tmp_path, {"auths": {HUB: entry}}).find(HUB)
    assert result is not None
    assert result.identity_token == "t"
    assert result.basic == ""


def test_a_helper_is_named_where_the_file_has_no_secret(tmp_path: Path) -> None:
    store = _store(
        tmp_path,
        {
            "auths": {"r.test": {}, "plain.test": {"auth": _auth("a:b")}},
            "credsStore": "desktop",
            "credHelpers": {"cloud.test": "cloud"},
        },
    )
    assert store.find("r.test") == Credentials(helper="desktop", server="r.test")
    assert store.find("cloud.test") == Credentials(helper="cloud", server="cloud.test")
    assert store.find("plain.test") == Credentials(username="a", password="b")


def test_secrets_are_not_shown() -> None:
    shown = repr(
        Credentials(username="ada", password="one", identity_token="two", registry_token="three")
    )
    assert "ada" in shown
    assert not any(secret in shown for secret in ("one", "two", "three"))


@pytest.mark.parametrize("auth", ["%%%", _auth("no colon"), base64.b64encode(b"\xff:x").decode()])
def test_a_malformed_login_names_the_file_and_not_the_secret(tmp_path: Path, auth: str) -> None:
    store = _store(tmp_path, {"auths": {"r.test": {"auth": auth}}})
    with pytest.raises(InvalidInput, match=r"config\.json") as caught:
        store.find("r.test")
    assert auth not in str(caught.value)


def test_no_file_has_no_logins(tmp_path: Path) -> None:
    assert CredentialStore(tmp_path / "none" / "config.json").find(HUB) is None


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"config\.json is not JSON"):
        CredentialStore(tmp_path / "config.json").find(HUB)


def test_the_environment_moves_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", "/elsewhere")
    assert default_path() == Path("/elsewhere/config.json")
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_path() == Path("/home/ada/.docker/config.json")
