"""Credential helpers: the programs that `credsStore` and `credHelpers` of config.json name.

A helper `pass` is a program docker-credential-pass on the PATH. The protocol is a word as its
argument and text on stdin and stdout; what it says about an error comes on stdout too.
Source: docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Final

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.registry.credentials import Credentials
from dockmagic_runtime.registry.text import printable

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_TIMEOUT: Final = 60.0  # seconds: it may ask its user to unlock a key ring
_LIMIT: Final = 1 << 20
_MISSING: Final = ("credentials not found", "no credentials server URL", "item could not be found")
_TOKEN: Final = "<token>"  # the user's name where the secret is an identity token


def program(helper: str) -> str:
    """The path of a helper's program; empty if it is not installed. Raises InvalidInput."""
    if not _NAME.fullmatch(helper):
        raise InvalidInput(f"invalid credential helper: {printable(helper)!r}")
    return shutil.which(f"docker-credential-{helper}") or ""


def get(helper: str, server: str) -> Credentials | None:
    """What it keeps for a server; None if nothing, or if it is not installed. Raises RemoteFailed.

    A helper that is not installed matters only if the registry insists on credentials.
    """
    if not program(helper):
        return None
    try:
        answer = _run(helper, "get", server)
    except RemoteFailed as error:
        if any(words in error.message for words in _MISSING):
            return None
        raise
    try:
        document = json.loads(answer)
        username, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, TypeError, KeyError):
        raise RemoteFailed(f"docker-credential-{helper} answered what is no credential") from None
    if username == _TOKEN:
        return Credentials(identity_token=secret)
    return Credentials(username=username, password=secret)


def store(helper: str, server: str, credentials: Credentials) -> None:
    """Let it keep a name and password. Raises NotFound if it is not installed, RemoteFailed."""
    document = {
        "ServerURL": server,
        "Username": credentials.username,
        "Secret": credentials.password,
    }
    _run(helper, "store", json.dumps(document))


def erase(helper: str, server: str) -> bool:
    """Let it forget what it keeps for a server; whether there was something."""
    was_there = get(helper, server) is not None
    if was_there:
        _run(helper, "erase", server)
    return was_there


def _run(helper: str, action: str, text: str) -> bytes:
    path = program(helper)
    if not path:
        raise NotFound(
            f"docker-credential-{helper}: executable file not found in $PATH",
            hint="install it, or take credsStore and credHelpers out of config.json",
        )
    try:
        ended = subprocess.run(
            [path, action],
            input=text.encode(),
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RemoteFailed(f"docker-credential-{helper} {action} failed: {error}") from None
    if ended.returncode:
        said = (ended.stdout.strip() or ended.stderr.strip()).decode(errors="replace")
        raise RemoteFailed(f"docker-credential-{helper} {action} failed: {printable(said)[:500]}")
    return ended.stdout[:_LIMIT]
