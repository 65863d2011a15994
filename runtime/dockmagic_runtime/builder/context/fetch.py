"""Files over HTTP for ADD and for contexts. http and https only, wherever a redirect leads.

The standard library's client is used without its other schemes: file:// in a Dockerfile, or as the
target of a redirect, would read the host's files.
"""

from __future__ import annotations

import contextlib
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
from dockmagic_runtime.registry.stall import HINT, silence, stall_limit

_CHUNK: Final = 1 << 16  # what a silence inside of one has brought is asked for again
_NOT_MODIFIED: Final = 304
_PARTIAL_CONTENT: Final = 206
_PARTIAL: Final = ".partial"


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
    name in the result. A server that goes silent is asked once more, for what is missing. Raises
    NotFound, RemoteFailed.
    """
    with contextlib.closing(_Download(directory)) as download:
        try:
            return _fetched(url, download, known)
        except _Silent:
            pass
        try:
            return _fetched(url, download, known)
        except _Silent:
            reason = silence(stall_limit())
            raise RemoteFailed(f"failed to load {_safe(url)}: {reason}", hint=HINT) from None


class _Silent(Exception):
    """No byte came for as long as is waited."""


def _fetched(url: str, download: _Download, known: Fetched | None) -> Fetched | None:
    try:
        request = _request(url, known)
        for name, value in download.rest().items():
            request.add_header(name, value)
        with _opener().open(request, timeout=stall_limit()) as answer:
            download.take(answer)
        return download.finish(url)
    except TimeoutError:
        raise _Silent from None
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NOT_MODIFIED and known is not None:
            return None
        kind = NotFound if error.code in (404, 410) else RemoteFailed
        raise kind(f"failed to load {_safe(url)}: {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise _Silent from None
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


class _Download:
    """One file as it comes, perhaps in two pieces."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._stream = open(f"{directory}/{_PARTIAL}", "w+b")  # noqa: PTH123, SIM115 - closed below
        self._headers = email.message.Message()
        self._size = 0

    def close(self) -> None:
        self._stream.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{_PARTIAL}")  # noqa: PTH108

    def rest(self) -> dict[str, str]:
        """The headers that ask for what is missing, if the server has named what it gave."""
        etag = self._headers.get("ETag", "")
        if not self._size or not etag or etag.startswith("W/"):
            return {}
        return {"Range": f"bytes={self._size}-", "If-Range": etag}

    def take(self, answer: Any) -> None:
        """The bytes of an answer: the rest that was asked for, or all of it."""
        if answer.status != _PARTIAL_CONTENT:
            self._headers, self._size = answer.headers, 0
            self._stream.seek(0)
            self._stream.truncate()
        while data := answer.read(_CHUNK):
            self._stream.write(data)
            self._size += len(data)

    def finish(self, url: str) -> Fetched:
        """The whole file under its name. Raises RemoteFailed when the end is missing."""
        expected = self._headers.get("Content-Length")
        if expected and expected.isdigit() and int(expected) != self._size:
            raise RemoteFailed(f"failed to load {_safe(url)}: unexpected end of file")
        name, modified = _file_name(self._headers) or "download", _modified(self._headers)
        self._stream.flush()
        self._stream.seek(0)
        digest = hashlib.file_digest(self._stream, "sha256").hexdigest()
        fd = self._stream.fileno()
        os.fchmod(fd, 0o600)
        os.utime(fd, (modified, modified))
        os.rename(f"{self._directory}/{_PARTIAL}", os.path.join(self._directory, name))  # noqa: PTH104, PTH118
        return Fetched(
            digest=f"sha256:{digest}",
            name=name,
            etag=self._headers.get("ETag") or "",
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
