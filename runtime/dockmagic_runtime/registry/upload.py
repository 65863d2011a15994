"""`RegistryWriter`: what a registry is given: blobs in one piece or in chunks, and manifests.

A broken upload goes on from where the registry says it is, or begins again if it does not know.
Every digest is sent before the registry keeps anything, and compared with what it says it kept.
Source: OCI distribution spec 1.1, "Push".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final
from urllib.parse import quote, urlencode

from dockmagic_runtime.errors import EngineBug, RemoteFailed
from dockmagic_runtime.registry import error_response
from dockmagic_runtime.registry.authorization import Scopes
from dockmagic_runtime.registry.client import RegistryClient, pull_scope
from dockmagic_runtime.registry.error_response import error_message
from dockmagic_runtime.registry.errors import ConnectionLost
from dockmagic_runtime.registry.manifest import Descriptor, Manifest
from dockmagic_runtime.registry.retry import RETRIED_STATUSES, Retries, retry_after
from dockmagic_runtime.registry.text import printable
from dockmagic_runtime.registry.transport import Request, Response

_PIECE: Final = 256 << 10
_BYTES: Final = "application/octet-stream"
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")


class _Refused(RemoteFailed):
    """The registry was too busy for a part of an upload."""

    retry_after: float = 0.0


class _Restart(RemoteFailed):
    """The registry does not know the upload any more."""


class RegistryWriter:
    """The writing side of a client; as thread-safe as that."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def has_blob(self, repository: str, digest: str) -> bool:
        path = f"/v2/{quote(repository)}/blobs/{digest}"
        with self._send("HEAD", path, push_scopes(repository)) as response:
            self._expect(response, 200, 404)
            return response.status == 200

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Let the registry take a blob over from its repository `source`; False if it does not."""
        query = urlencode({"mount": digest, "from": source})
        scopes = (*push_scopes(repository), pull_scope(source))
        path = f"/v2/{quote(repository)}/blobs/uploads/?{query}"
        with self._send("POST", path, scopes) as response:
            self._expect(response, 201, 202)
            location = response.headers.get("Location") or ""
            is_mounted = response.status == 201
        if not is_mounted and location:  # it has begun an upload instead
            self._send("DELETE", location, push_scopes(repository)).close()
        return is_mounted

    def upload_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        source: BinaryIO,
        *,
        chunk_size: int = 0,
        progress: Callable[[int], None] | None = None,
        on_retry: Callable[[float], object] | None = None,
    ) -> None:
        """Uploads a blob from the seekable file `source`; at once, or in chunks.

        `on_retry` is called with the seconds of a pause that begins.
        """
        upload = _Upload(self._client, repository, descriptor, source, chunk_size, progress)
        upload.run(self._client.retries(on_retry))

    def upload_stream(self, repository: str, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Give bytes that can be had only once; their digest and size. Not repeated when broken."""
        location = start(self._client, repository)
        digest, size = hashlib.sha256(), 0

        def watched() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                if chunk:  # an empty one would end a chunked body
                    yield chunk

        location = patch(self._client, repository, location, watched(), {})
        finish(self._client, repository, location, f"sha256:{digest.hexdigest()}")
        return f"sha256:{digest.hexdigest()}", size

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Name what was uploaded: `reference` is a tag, or the manifest's own digest."""
        path = f"/v2/{quote(repository)}/manifests/{quote(reference, safe=':')}"
        headers = {"Content-Type": manifest.media_type}
        with self._client.send(
            "PUT", path, scopes=push_scopes(repository), headers=headers, body=manifest.data
        ) as response:
            self._expect(response, 201)
            _check_digest(response, manifest.digest)

    def _send(self, method: str, path: str, scopes: Scopes) -> Response:
        return self._client.send(method, path, scopes=scopes)

    def _expect(self, response: Response, *statuses: int) -> None:
        expect(self._client, response, *statuses)


class _Upload:
    """One blob on its way, from wherever the registry has got to."""

    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        descriptor: Descriptor,
        source: BinaryIO,
        chunk_size: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._client = client
        self._repository = repository
        self._descriptor = descriptor
        self._source = source
        self._chunk_size = chunk_size
        self._progress = progress
        self._location = ""
        self._offset = 0

    def run(self, retries: Retries) -> None:
        while True:
            try:
                if not self._location:
                    self._location = start(self._client, self._repository)
                    self._offset = 0
                self._send_rest(retries)
                return
            except _Restart as error:
                self._location = ""
                retries.failed(error)
            except _Refused as error:
                retries.failed(error, error.retry_after)
                self._ask_offset()
            except ConnectionLost as error:
                self._client.check_open()
                retries.failed(error)
                self._ask_offset()

    def _send_rest(self, retries: Retries) -> None:
        digest, size = self._descriptor.digest, self._descriptor.size
        if not self._chunk_size and not self._offset:
            body = self._pieces(0, size)
            finish(self._client, self._repository, self._location, digest, body, size)
            return
        while self._offset < size:
            end = min(self._offset + (self._chunk_size or size), size)
            headers = {
                "Content-Length": str(end - self._offset),
                "Content-Range": f"{self._offset}-{end - 1}",
            }
            body = self._pieces(self._offset, end)
            self._location = patch(self._client, self._repository, self._location, body, headers)
            self._offset = end
            retries.succeeded()
        finish(self._client, self._repository, self._location, digest)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        self._source.seek(start)
        while start < end:
            piece = self._source.read(min(_PIECE, end - start))
            if not piece:
                raise EngineBug(f"blob {self._descriptor.digest} is shorter than it says")
            start += len(piece)
            yield piece
            if self._progress is not None:
                self._progress(start)

    def _ask_offset(self) -> None:
        """Where the registry is, after a failure; from the beginning if it does not say."""
        with self._client.send(
            "GET", self._location, scopes=push_scopes(self._repository)
        ) as response:
            match = _RANGE.fullmatch(response.headers.get("Range") or "")
            if response.status not in (200, 204) or match is None:
                self._location = ""
                return
            self._location = response.headers.get("Location") or self._location
        self._offset = int(match[1]) + 1
        if self._offset == 1:  # registries say 0-0 of an upload without bytes, too
            self._location = ""


def push_scopes(repository: str) -> Scopes:
    return (f"repository:{repository}:pull,push",)


def start(client: RegistryClient, repository: str) -> str:
    """Begin an upload; the location of its first part."""
    path = f"/v2/{quote(repository)}/blobs/uploads/"
    with client.send("POST", path, scopes=push_scopes(repository)) as response:
        expect(client, response, 202)
        return _location(client, response)


def patch(
    client: RegistryClient,
    repository: str,
    location: str,
    body: Iterator[bytes],
    headers: dict[str, str],
) -> str:
    """Send a part; the location of the next."""
    request = Request(
        method="PATCH",
        url=client.url(location),
        headers={"Content-Type": _BYTES, **headers},
        body=body,
    )
    with client.send_once(request, push_scopes(repository)) as response:
        _check_part(client, response)
        expect(client, response, 202, 201, 204)
        return _location(client, response)


def finish(
    client: RegistryClient,
    repository: str,
    location: str,
    digest: str,
    body: Iterator[bytes] | None = None,
    size: int = 0,
) -> None:
    """Send the last part, which may be all of it or nothing, and let the registry verify."""
    url = client.url(location)
    separator = "&" if "?" in url else "?"
    request = Request(
        method="PUT",
        url=f"{url}{separator}{urlencode({'digest': digest})}",
        headers={"Content-Type": _BYTES, "Content-Length": str(size)},
        body=b"" if body is None else body,
    )
    with client.send_once(request, push_scopes(repository)) as response:
        _check_part(client, response)
        expect(client, response, 201, 204)
        _check_digest(response, digest)


def expect(client: RegistryClient, response: Response, *statuses: int) -> None:
    """Raises AccessDenied or RemoteFailed in the registry's words."""
    if response.status in statuses:
        return
    if response.status in (401, 403):
        raise error_response.push_denied(client.credentials)
    raise RemoteFailed(f"{client.endpoint}: {error_message(response)}")


def _check_part(client: RegistryClient, response: Response) -> None:
    if response.status in RETRIED_STATUSES:
        error = _Refused(f"{client.endpoint}: {error_message(response)}")
        error.retry_after = retry_after(response.headers.get("Retry-After"))
        raise error
    if response.status in (404, 416):
        raise _Restart(f"{client.endpoint}: {error_message(response)}")


def _location(client: RegistryClient, response: Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise RemoteFailed(f"{client.endpoint} began an upload and does not say where")
    return client.url(location)


def _check_digest(response: Response, digest: str) -> None:
    kept = response.headers.get("Docker-Content-Digest")
    if kept and kept != digest:
        raise RemoteFailed(f"the registry keeps {printable(kept)} instead of {digest}")
