"""The Authorization header of each request: Basic, or a token of the service a registry names.

Tokens are kept per scope until shortly before they end. Credentials go to the registry itself and
to the realm that it names over TLS; to a realm without TLS only from a registry without TLS.
Source: distribution, docs "Token Authentication Specification" and its OAuth 2 variant.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.registry.challenge import Challenge
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.endpoint import Url
from dockmagic_runtime.registry.error_response import error_message
from dockmagic_runtime.registry.errors import AccessDenied
from dockmagic_runtime.registry.transport import Request, Response

_LIMIT: Final = 1 << 20
_SHORTEST_LIFE: Final = 60.0
_MARGIN: Final = 10.0
_CLIENT: Final = "dockmagic"
_VALID_TOKEN = re.compile(r"[\x21-\x7e]+")

Scopes = tuple[str, ...]


class _Token(Struct, frozen=True):
    header: str
    expires: float  # time.monotonic()


class Authorizer:
    """How to be let in by one registry; thread-safe."""

    def __init__(
        self, origin: Url, credentials: Credentials | None, send: Callable[[Request], Response]
    ) -> None:
        self._origin = origin
        self._credentials = credentials or Credentials()
        self._send = send
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._lock = threading.Lock()

    def learn(self, challenges: tuple[Challenge, ...]) -> None:
        """Take the best of what the registry offers: tokens before passwords."""
        if challenges:
            self._resolve()
        offered = {challenge.scheme: challenge for challenge in reversed(challenges)}
        self._challenge = offered.get("bearer") or offered.get("basic") or self._challenge

    def _resolve(self) -> None:
        """Ask a helper for what it keeps, once, and only now that the registry asks us."""
        with self._lock:
            if helper := self._credentials.helper:
                from dockmagic_runtime.registry import credential_helpers

                server = self._credentials.server
                self._credentials = credential_helpers.get(helper, server) or Credentials()

    def header(self, scopes: Scopes) -> str:
        """For a request that needs `scopes`; empty for a stranger's. Raises AccessDenied."""
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            return self._credentials.basic
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        with self._lock:  # three layers that begin together need one token
            token = self._tokens.get(scopes)
            if token is None or token.expires <= time.monotonic():
                token = self._tokens[scopes] = self._fetch(self._challenge, scopes)
            return token.header

    def renew(self, challenges: tuple[Challenge, ...], refused: str, scopes: Scopes) -> str:
        """Another header, after `refused` has met a 401; empty if there is none to try."""
        self.learn(challenges)
        with self._lock:
            token = self._tokens.get(scopes)
            was_token = token is not None and token.header == refused
            if was_token:
                del self._tokens[scopes]
        header = self.header(scopes)
        return "" if header == refused and not was_token else header

    def _fetch(self, challenge: Challenge, scopes: Scopes) -> _Token:
        realm = challenge.parameters.get("realm", "")
        if self._origin.scheme == "https" and urlsplit(realm).scheme != "https":
            raise RemoteFailed(f"the registry names a token service without TLS: {realm!r}")
        with self._send(self._request(realm, challenge, scopes)) as response:
            if response.status in (401, 403):
                return self._stranger()
            if response.status != 200:
                raise RemoteFailed(f"no token from {realm}: {error_message(response)}")
            return _parse(realm, response.body(_LIMIT))

    def _stranger(self) -> _Token:
        """No token for us. Without credentials the registry itself will say what it thinks."""
        if self._credentials.password or self._credentials.identity_token:
            raise AccessDenied(
                f'Get "{self._origin}/v2/": unauthorized: incorrect username or password',
                hint="docker login",
            )
        return _Token("", time.monotonic() + _SHORTEST_LIFE)

    def _request(self, realm: str, challenge: Challenge, scopes: Scopes) -> Request:
        service = challenge.parameters.get("service", "")
        if self._credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": _CLIENT,
                "scope": " ".join(scopes),
                "refresh_token": self._credentials.identity_token,
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request(method="POST", url=realm, headers=kind, body=urlencode(form).encode())
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        if self._credentials.basic:
            query.append(("account", self._credentials.username))
        separator = "&" if urlsplit(realm).query else "?"
        return Request(
            method="GET",
            url=f"{realm}{separator}{urlencode(query)}",
            authorization=self._credentials.basic,
        )


def _parse(realm: str, body: bytes) -> _Token:
    try:
        document: Any = json.loads(body)
        text = document.get("token") or document.get("access_token")
        life = float(document.get("expires_in") or 0)
    except (ValueError, TypeError, AttributeError):
        text, life = None, 0.0
    if not isinstance(text, str) or not _VALID_TOKEN.fullmatch(text):
        raise RemoteFailed(f"the token service {realm} sent no token")
    seconds = max(life, _SHORTEST_LIFE) - _MARGIN
    return _Token(f"Bearer {text}", time.monotonic() + seconds)
