"""`login` and `logout`: credentials, tried at their registry before they are kept."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY
from dockmagic_runtime.registry import credential_helpers
from dockmagic_runtime.registry.client import RegistryClient
from dockmagic_runtime.registry.credentials import Credentials, CredentialStore
from dockmagic_runtime.registry.endpoint import RegistryConfig, RegistryEndpoint


def check(server: str, username: str, password: str) -> None:
    """Asks the registry whether it accepts them. Raises AccessDenied, RegistryUnreachable."""
    if not username or not password:
        raise InvalidInput("a login needs a username and a password")
    credentials = Credentials(username=username, password=password)
    with RegistryClient(_endpoint(server), credentials) as client:
        client.ping()


def login(server: str, username: str, password: str) -> Path | None:
    """Keep a name and password once the registry has accepted them; the file they are kept in.

    None if it is a credential helper that keeps them. Raises AccessDenied, RegistryUnreachable,
    NotFound for a helper that is not installed.
    """
    check(server, username, password)
    endpoint = _endpoint(server)
    credentials = Credentials(username=username, password=password)
    store, key = CredentialStore(), endpoint.credentials_key
    helper = store.helper(key)
    if not helper:
        return store.keep(key, credentials)
    credential_helpers.store(helper, key, credentials)
    store.note(key)
    return None


def logout(server: str) -> bool:
    """Forget the credentials; whether there were any."""
    store, key = CredentialStore(), _endpoint(server).credentials_key
    helper = store.helper(key)
    was_kept = bool(helper) and credential_helpers.erase(helper, key)
    return store.erase(key) or was_kept


def _endpoint(server: str) -> RegistryEndpoint:
    """The registry itself: mirrors have no logins of their own."""
    return RegistryConfig.read().endpoints(registry_name(server))[-1]


def registry_name(server: str) -> str:
    """The registry that `server` names: a host, perhaps written as a URL; "" is Docker's."""
    host = urlsplit(server).netloc if "://" in server else server.partition("/")[0]
    return DEFAULT_REGISTRY if host in ("", "index.docker.io") else host
