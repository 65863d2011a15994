"""Credentials for registries, which clients send with each request that needs them."""

from __future__ import annotations

import base64
import json

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.registry.credentials import Credentials


def registry_auth(request: Request) -> Credentials | None:
    """`X-Registry-Auth`: JSON in base64 for URLs. None without it. Raises HttpError (400)."""
    text = request.headers.get("x-registry-auth", "")
    if not text:
        return None
    try:
        source = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"{}")
        if not isinstance(source, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise HttpError(400, f"invalid X-Registry-Auth header: {error}") from None
    if not any(source.values()):
        return None
    return Credentials(
        username=str(source.get("username") or ""),
        password=str(source.get("password") or ""),
        identity_token=str(source.get("identitytoken") or ""),
        registry_token=str(source.get("registrytoken") or ""),
    )
