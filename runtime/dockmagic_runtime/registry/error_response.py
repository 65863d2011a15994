"""What a registry says when it does not do what it was asked: its words, and our exceptions.

Docker's words are the code and the message of the first error: `manifest unknown: manifest
unknown`. They come from outside: one line, printable, of bounded length.
Source: OCI distribution spec, "Error codes".
"""

from __future__ import annotations

import json
from typing import Any, Final

from dockmagic_runtime.errors import DockmagicError, NotFound, RemoteFailed
from dockmagic_runtime.registry import credential_helpers
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.errors import AccessDenied
from dockmagic_runtime.registry.text import printable
from dockmagic_runtime.registry.transport import Response

_LIMIT: Final = 64 << 10
_DENIED: Final = "denied: requested access to the resource is denied"


def error_message(response: Response) -> str:
    """The registry's own words, else Docker's about the status. Reads and closes the answer."""
    try:
        body = response.body(_LIMIT)
    except RemoteFailed:
        body = b""
    if message := _first_error(body):
        return message
    return f"received unexpected HTTP status: {response.status} {printable(response.reason)}"


def is_from_registry(response: Response, body: bytes) -> bool:
    """Whether a registry answered, rather than something in between that filters or logs in."""
    if response.headers.get("Docker-Distribution-Api-Version"):
        return True
    if response.status == 401:
        return bool(response.headers.get("WWW-Authenticate"))
    return response.status == 200 or bool(_first_error(body))


def _first_error(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    errors: Any = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    code = str(first.get("code", "")).lower().replace("_", " ")
    return printable(": ".join(part for part in (code, str(first.get("message") or code)) if part))


def pull_denied(name: str, credentials: Credentials | None) -> DockmagicError:
    """401 or 403 where something was to be read."""
    return _needs_helper(credentials) or AccessDenied(
        f"pull access denied for {name}, repository does not exist or may require "
        f"'docker login': {_DENIED}"
    )


def push_denied(credentials: Credentials | None) -> DockmagicError:
    """401 or 403 where something was to be written."""
    return _needs_helper(credentials) or AccessDenied(_DENIED)


def _needs_helper(credentials: Credentials | None) -> DockmagicError | None:
    if credentials is None or not credentials.helper:
        return None
    if credential_helpers.program(credentials.helper):
        return None  # it was asked, and has nothing that helps
    return NotFound(
        f"the registry wants credentials, and docker-credential-{credentials.helper}, which keeps "
        "them, is not in $PATH",
        hint="install it, or take credsStore and credHelpers out of config.json and log in again",
    )
