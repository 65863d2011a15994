"""What `docker login` has kept in `~/.docker/config.json`.

Secrets in the file are read, and written by a login. Those kept by a helper program (`helpers`) are
values without a secret that name it: the program is started only once a registry asks for
credentials.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.selective import Selective
from dockmagic_runtime.store.atomic import write_file


class Credentials(Selective, frozen=True, kw_only=True):
    """Our identity at one registry: a password, or one of its tokens, or only a helper's name."""

    not_shown: ClassVar[frozenset[str]] = frozenset(
        {"password", "identity_token", "registry_token"}
    )

    username: str = ""
    password: str = ""
    identity_token: str = ""  # exchanged for tokens by OAuth 2
    registry_token: str = ""  # a bearer token, used as it is
    helper: str = ""
    server: str = ""  # as the helper knows it

    @property
    def basic(self) -> str:
        """The value of an Authorization header, empty without a password."""
        if not self.password:
            return ""
        secret = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(secret).decode()}"


# one that was given for this context, in a list of one; of a client of the API, for example
_given: ContextVar[list[Credentials | None] | None] = ContextVar("given", default=None)


@contextmanager
def given(credentials: Credentials | None) -> Iterator[None]:
    """While the block runs, no file is read: these are the credentials, or there are none."""
    token = _given.set([credentials])
    try:
        yield
    finally:
        _given.reset(token)


class CredentialStore:
    """One config.json, read when it is first asked."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = default_path() if path is None else path
        self._document: dict[str, Any] | None = None

    def find(self, key: str) -> Credentials | None:
        """The credentials kept under `key` (`Endpoint.credentials_key`). Raises InvalidInput."""
        if (present := _given.get()) is not None:
            return present[0]
        credentials, helper = self._from_file(key), self.helper(key)
        if credentials is None and helper:
            return Credentials(helper=helper, server=key)
        return credentials

    def helper(self, key: str) -> str:
        """The name of the program that keeps the credentials of `key`; empty if the file does."""
        helper = _section(self._read(), "credHelpers").get(hostname(key))
        if not isinstance(helper, str):
            helper = self._read().get("credsStore")
        return helper if isinstance(helper, str) else ""

    def note(self, key: str) -> Path:
        """Write that a helper keeps something for `key`, as Docker does; the file."""
        document = _read(self._path)
        _write(self._path, {**document, "auths": {**_section(document, "auths"), key: {}}})
        self._document = None
        return self._path

    def _read(self) -> dict[str, Any]:
        if self._document is None:
            self._document = _read(self._path)
        return self._document

    def keep(self, key: str, credentials: Credentials) -> Path:
        """Write a name and password into the file; the file. For what no helper keeps."""
        document = _read(self._path)
        secret = f"{credentials.username}:{credentials.password}".encode()
        entry = {"auth": base64.b64encode(secret).decode()}
        _write(self._path, {**document, "auths": {**_section(document, "auths"), key: entry}})
        self._document = None
        return self._path

    def erase(self, key: str) -> bool:
        """Take an entry out of the file; whether there was one."""
        document = _read(self._path)
        entries = _section(document, "auths")
        kept = {
            name: entry
            for name, entry in entries.items()
            if name != key and hostname(name) != hostname(key)
        }
        if len(kept) == len(entries):
            return False
        _write(self._path, {**document, "auths": kept})
        self._document = None
        return True

    def _from_file(self, key: str) -> Credentials | None:
        entries = _section(self._read(), "auths")
        entry = entries.get(key)
        if entry is None:  # older logins wrote URLs, with and without a path
            named = (name for name in entries if hostname(name) == hostname(key))
            entry = entries.get(next(named, ""))
        return self._credentials(key, entry) if isinstance(entry, dict) else None

    def _credentials(self, key: str, entry: Mapping[str, Any]) -> Credentials | None:
        username, password = str(entry.get("username", "")), str(entry.get("password", ""))
        if auth := entry.get("auth"):
            username, password = self._decode(key, str(auth))
        credentials = Credentials(
            username=username,
            password=password,
            identity_token=str(entry.get("identitytoken", "")),
            registry_token=str(entry.get("registrytoken", "")),
        )
        # a credsStore leaves empty entries behind, to list where one has logged in
        return (
            credentials
            if password or credentials.identity_token or credentials.registry_token
            else None
        )

    def _decode(self, key: str, auth: str) -> tuple[str, str]:
        try:
            username, colon, password = base64.b64decode(auth).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = ""
        if not colon:
            raise InvalidInput(f"{self._path}: invalid auth configuration for {key}")
        return username, password.rstrip("\0")


def default_path() -> Path:
    """`$DOCKER_CONFIG/config.json`, else the one below the home directory."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path("~/.docker").expanduser()) / "config.json"


def hostname(key: str) -> str:
    """The host and port of a key, which may be a URL."""
    return key.partition("://")[2].partition("/")[0] or key.partition("/")[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path} is not a JSON object")
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Atomically, and unreadable for other users: there are passwords in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(str(path.resolve()), json.dumps(document, indent="\t").encode(), sync=True)


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}
