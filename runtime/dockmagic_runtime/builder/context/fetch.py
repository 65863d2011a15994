"""Files over HTTP for ADD and for contexts. http and https only, wherever a redirect leads.

The standard library's client is used without its other schemes: file:// in a Dockerfile, or as the
target of a redirect, would read the host's files.
"""

from __future__ import annotations

import email.message
import email.utils
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed

_TIMEOUT: Final = 60.0  # seconds of silence
_CHUNK: Final = 1 << 18
_NOT_MODIFIED: Final = 304


class Fetched(Struct, frozen=True, kw_only=True):
    """What a server gave. `digest` is "sha256:…"; `modified` seconds since the epoch, 0 unknown."""

    digest: str
    name: str
    etag: str = ""
    modified: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "name": self.name,
            "etag": self.etag,
            "modified": self.modified,
        }


def fetch(url: str, directory: str, known: Fetched | None = None) -> Fetched | None:
    """Get `url` into a file in `directory`; None when it still is what `known` says.

    The file has mode 0600, the modification time from the server (else the epoch), and the
    name in the result. Raises NotFound, RemoteFailed.
    """
    try:
        with _opener().open(_request(url, known), timeout=_TIMEOUT) as answer:
            return _saved(url, answer, directory)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NOT_MODIFIED and known is not None:
            return None
        kind = NotFound if error.code in (404, 410) else RemoteFailed
        raise kind(f"failed to load {_safe(url)}: {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise RemoteFailed(f"failed to load {_safe(url)}: {reason}") from None


def _request(url: str, known: Fetched | None) -> urllib.request.Request:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInput(f"{url} is neither http nor https")
    headers = {"User-Agent": "dockmagic", "Accept-Encoding": "identity"}
    if known is not None and known.etag:
        headers["If-None-Match"] = known.etag
    elif known is not None and known.modified:
        headers["If-Modified-Since"] = email.utils.formatdate(known.modified, usegmt=True)
    return urllib.request.Request(url, headers=headers)


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _saved(url: str, answer: Any, directory: str) -> Fetched:
    headers: email.message.Message = answer.headers
    name = _file_name(headers) or "download"
    modified = _modified(headers)
    digest = hashlib.sha256()
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(os.path.join(directory, name), flags, 0o600)  # noqa: PTH118 - a name of one part
    with os.fdopen(fd, "wb") as stream:
        while data := answer.read(_CHUNK):
            digest.update(data)
            stream.write(data)
            size += len(data)
        stream.flush()
        os.utime(fd, (modified, modified))
    expected = headers.get("Content-Length")
    if expected and expected.isdigit() and int(expected) != size:
        raise RemoteFailed(f"failed to load {_safe(url)}: unexpected end of file")
    return Fetched(
        digest=f"sha256:{digest.hexdigest()}",
        name=name,
        etag=headers.get("ETag") or "",
        modified=modified,
    )


def _file_name(headers: email.message.Message) -> str:
    """What the server wants it called, as a name of one part."""
    name = headers.get_filename() or ""
    name = name.replace("\\", "/").rpartition("/")[2]
    return "" if name in (".", "..") or "\0" in name else name


def _modified(headers: email.message.Message) -> int:
    try:
        return max(0, int(email.utils.parsedate_to_datetime(headers["Last-Modified"]).timestamp()))
    except (TypeError, ValueError, OverflowError):
        return 0


def _safe(url: str) -> str:
    """The address without a password."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]  # no address at all
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
