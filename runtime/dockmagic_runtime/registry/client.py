"""`RegistryClient`: one registry's server, asked for what it has and given what it has not.

Strategy: the first request is `GET /v2/`: whether a registry answers, over TLS or not, and which
authentication it wants. It fails quickly, since an engine that reaches no registry has another way.
Everything after it is repeated with back-off. Source: OCI distribution spec 1.1.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

from msgspec.structs import replace

from dockmagic_runtime.errors import EngineBug, NotFound, RemoteFailed
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.model.reference import ImageReference, is_digest
from dockmagic_runtime.registry import challenge, error_response
from dockmagic_runtime.registry.authorization import Authorizer, Scopes
from dockmagic_runtime.registry.blob import BlobStream
from dockmagic_runtime.registry.credentials import Credentials, CredentialStore
from dockmagic_runtime.registry.dial import Deadline
from dockmagic_runtime.registry.endpoint import RegistryConfig, RegistryEndpoint, Url
from dockmagic_runtime.registry.error_response import error_message
from dockmagic_runtime.registry.errors import AccessDenied, ConnectionLost, RegistryUnreachable
from dockmagic_runtime.registry.manifest import (
    INDEXES,
    MANIFEST_LIMIT,
    MANIFESTS,
    Descriptor,
    Manifest,
)
from dockmagic_runtime.registry.retry import (
    RETRIED_STATUSES,
    Pause,
    Retries,
    RetryPolicy,
    retry_after,
)
from dockmagic_runtime.registry.text import printable
from dockmagic_runtime.registry.tls import certificate_folders
from dockmagic_runtime.registry.transport import Request, Response, Timeouts, Transport, split

T = TypeVar("T")
_ACCEPTED: Final = ", ".join(MANIFESTS + INDEXES)
_LIST_LIMIT: Final = 4 << 20
_PAGE: Final = 1000
_MAX_PAGES: Final = 1000
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class RegistryClient(Closing):
    """Thread-safe. `close` also ends, from any thread, what is on its way."""

    def __init__(
        self,
        endpoint: RegistryEndpoint,
        credentials: Credentials | None = None,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        pause: Pause | None = None,
        certificates: tuple[Path, ...] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.credentials = credentials
        self._timeouts = timeouts or Timeouts()
        self._policy = retry or RetryPolicy()
        self._ended = threading.Event()
        self._pause = self._ended.wait if pause is None else pause
        self._transport = Transport(
            timeouts=self._timeouts,
            certificate_folders=certificate_folders() if certificates is None else certificates,
            insecure=frozenset(endpoint.origins if endpoint.is_insecure else ()),
        )
        self._greeting = threading.Lock()
        self._found: tuple[Url, Authorizer] | None = None

    def close(self) -> None:
        self._ended.set()
        self._transport.close()

    # ---------------------------------------------------------------- reading

    def ping(self) -> None:
        """That the registry is there and lets us in, with our credentials if it wants some."""
        with self.send("GET", "/v2/", scopes=()) as response:
            if response.status in (401, 403):
                raise AccessDenied(
                    f'Get "{self.origin}/v2/": {error_message(response)}',
                    hint=f"docker login {self.endpoint.registry}",
                )
            self._expect(response, 200)

    def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest or index that a tag or digest names. Raises NotFound, AccessDenied."""
        name = self._familiar(repository, reference)

        def read(response: Response) -> Manifest:
            if response.status in (401, 403):
                raise error_response.pull_denied(self._familiar(repository), self.credentials)
            if response.status == 404:
                raise NotFound(f"manifest for {name} not found: {error_message(response)}")
            self._expect(response, 200)
            return _verified(name, reference, response)

        path = _manifest_path(repository, reference)
        return self._document(path, (pull_scope(repository),), read, headers={"Accept": _ACCEPTED})

    def digest(self, repository: str, tag: str) -> str:
        """Of the manifest or index that a tag names, without the document itself.

        "" if the answer is not that: `manifest` is to give the reason. Raises RegistryUnreachable.
        """
        request = Request(
            method="HEAD",
            url=self.url(_manifest_path(repository, tag)),
            headers={"Accept": _ACCEPTED},
        )
        try:
            with self.send_once(request, (pull_scope(repository),)) as response:
                stated = response.headers.get("Docker-Content-Digest") or ""
                return stated if response.status == 200 and is_digest(stated) else ""
        except ConnectionLost:
            self.check_open()
            return ""

    def _document(
        self,
        path: str,
        scopes: Scopes,
        read: Callable[[Response], T],
        *,
        headers: dict[str, str] | None = None,
    ) -> T:
        """What `read` makes of the answer. A connection that breaks inside of it is a failure too:
        the document is asked for again."""
        retries = self.retries()
        while True:
            try:
                with self.send(
                    "GET", path, scopes=scopes, headers=headers, retries=retries
                ) as response:
                    return read(response)
            except ConnectionLost as error:
                self.check_open()
                retries.failed(error)

    def open_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        *,
        begun: BinaryIO | None = None,
        on_retry: Callable[[float], object] | None = None,
    ) -> BlobStream:
        """A blob's verified bytes; close it. With `begun`, a file that holds the beginning of
        it (from an earlier attempt), only those behind: the whole is verified all the same.

        `on_retry` is called with the seconds of a pause that begins.
        """
        fetch = partial(self._fetch, repository, descriptor)
        stream = BlobStream(descriptor, fetch, self.retries(on_retry))
        if begun is not None:
            stream.skip(begun)
        if stream.position < descriptor.size:
            stream.open()
        return stream

    def _fetch(
        self, repository: str, descriptor: Descriptor, offset: int, retries: Retries
    ) -> Response:
        response = self.send(
            "GET",
            f"/v2/{quote(repository)}/blobs/{descriptor.digest}",
            scopes=(pull_scope(repository),),
            headers={"Range": f"bytes={offset}-"} if offset else {},
            retries=retries,
        )
        if response.status in (200, 206):
            return response
        with response:
            if response.status in (401, 403):
                raise error_response.pull_denied(self._familiar(repository), self.credentials)
            if response.status == 404:
                raise NotFound(f"blob {descriptor.digest} not found: {error_message(response)}")
            raise self._unexpected(response)

    def tags(self, repository: str) -> Iterator[str]:
        """All tags of a repository, as the registry sorts them. Raises NotFound."""
        name = self._familiar(repository)
        path = f"/v2/{quote(repository)}/tags/list?{urlencode({'n': _PAGE})}"
        for page in self._pages(path, (pull_scope(repository),), name):
            yield from _names(page, "tags")

    def catalog(self) -> Iterator[str]:
        """All repositories, where the registry lists them."""
        path = f"/v2/_catalog?{urlencode({'n': _PAGE})}"
        for page in self._pages(path, ("registry:catalog:*",), self.endpoint.registry):
            yield from _names(page, "repositories")

    def _pages(self, path: str, scopes: Scopes, name: str) -> Iterator[Any]:
        def read(response: Response) -> tuple[str, bytes]:
            if response.status in (401, 403):
                raise error_response.pull_denied(name, self.credentials)
            if response.status == 404:
                raise NotFound(f"repository {name} not found: {error_message(response)}")
            self._expect(response, 200)
            return _next_page(response), response.body(_LIST_LIMIT)

        for _ in range(_MAX_PAGES):
            following, body = self._document(path, scopes, read)
            try:
                yield json.loads(body)
            except ValueError:
                raise RemoteFailed(f"{self.endpoint} sent a list that is not JSON") from None
            if not following:
                return
            path = following
        raise RemoteFailed(f"{self.endpoint} lists without end")

    # ---------------------------------------------------------------- requests

    @property
    def origin(self) -> Url:
        """The server that answers for the endpoint. Raises RegistryUnreachable."""
        return self._find()[0]

    def find_server(self) -> None:
        """That a registry answers, whatever it lets us do. Raises RegistryUnreachable."""
        self._find()

    def retries(self, on_retry: Callable[[float], object] | None = None) -> Retries:
        """For one piece of work that is repeated by the caller."""
        return Retries(self._policy, self.wait, on_retry)

    def wait(self, seconds: float) -> None:
        """Until the next attempt; raises ConnectionLost once the client is closed."""
        self._pause(seconds)
        self.check_open()

    def check_open(self) -> None:
        if self._ended.is_set():
            raise ConnectionLost(f"the connection to {self.endpoint} was closed")

    def send(
        self,
        method: str,
        path: str,
        *,
        scopes: Scopes,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        retries: Retries | None = None,
    ) -> Response:
        """The answer, whatever its status, after as many attempts as it takes.

        `path` begins with /v2/ or is what the registry gave us as a URL.
        """
        request = Request(method=method, url=self.url(path), headers=headers or {}, body=body)
        retries = retries or self.retries()
        while True:
            try:
                response = self.send_once(request, scopes)
            except ConnectionLost as error:
                self.check_open()
                retries.failed(error)
                continue
            if response.status not in RETRIED_STATUSES:
                return response
            with response:
                asked = retry_after(response.headers.get("Retry-After"))
                retries.failed(self._unexpected(response), asked)

    def send_once(self, request: Request, scopes: Scopes) -> Response:
        """One attempt, two where the first was answered with a challenge (not with a stream)."""
        origin, authorizer = self._find()
        is_own = split(request.url)[0] == origin
        header = authorizer.header(scopes) if is_own else ""
        response = self._exchange(request, header)
        is_repeatable = request.body is None or isinstance(request.body, bytes)
        if response.status != 401 or not is_own or not is_repeatable:
            return response
        renewed = authorizer.renew(_challenges(response), header, scopes)
        if not renewed:
            return response
        response.close()
        return self._exchange(request, renewed)

    def _exchange(self, request: Request, authorization: str) -> Response:
        try:
            return self._transport.send(replace(request, authorization=authorization))
        except RegistryUnreachable as error:  # it was there a moment ago
            raise ConnectionLost(error.message, hint=error.hint) from None

    def url(self, path: str) -> str:
        """Absolute, from a path of the protocol or whatever a Location header gave."""
        base = self.origin
        if path.startswith("/v2/"):
            return f"{base}{self.endpoint.path}{path}"
        url = urljoin(f"{base}/", path)
        there, target = split(url)
        if there.scheme == base.scheme or base.scheme == "http":
            return url
        if there.host != base.host:
            raise RemoteFailed(f"{self.endpoint}: the upload to {url} would leave TLS")
        return f"{base}{target}"  # a registry behind a proxy that speaks TLS for it

    def _find(self) -> tuple[Url, Authorizer]:
        with self._greeting:
            if self._found is None:
                self._found = self._greet()
            return self._found

    def _greet(self) -> tuple[Url, Authorizer]:
        *insecure_last, last = self.endpoint.origins
        for origin in insecure_last:
            try:
                return self._greet_at(origin)
            except RemoteFailed:
                pass  # no TLS there; only an insecure endpoint has another origin
        return self._greet_at(last)

    def _greet_at(self, origin: Url) -> tuple[Url, Authorizer]:
        response, body = self._first_answer(origin)
        if not error_response.is_from_registry(response, body):
            raise RegistryUnreachable(
                f"{origin} does not answer as a registry: {response.status} "
                f"{printable(response.reason)}",
                hint="something between here and there may filter what goes through",
            )
        authorizer = Authorizer(origin, self.credentials, self._transport.send)
        authorizer.learn(_challenges(response))
        return origin, authorizer

    def _first_answer(self, origin: Url) -> tuple[Response, bytes]:
        """To `GET /v2/`; a connection that breaks is tried once more, if there is time."""
        seconds = self._timeouts.connect
        deadline = Deadline(seconds)
        request = Request(method="GET", url=f"{origin}{self.endpoint.path}/v2/", timeout=seconds)
        for is_last in (False, True):
            self.check_open()
            try:
                response = self._transport.send(request)
                return response, response.body(_LIST_LIMIT)
            except ConnectionLost as error:
                if is_last or deadline.is_over:
                    raise RegistryUnreachable(error.message) from None
        raise EngineBug("a loop without a last turn")

    def _expect(self, response: Response, *statuses: int) -> None:
        if response.status not in statuses:
            raise self._unexpected(response)

    def _unexpected(self, response: Response) -> RemoteFailed:
        return RemoteFailed(f"{self.endpoint}: {error_message(response)}")

    def _familiar(self, repository: str, reference: str = "") -> str:
        tag, digest = ("", reference) if is_digest(reference) else (reference, "")
        return ImageReference(self.endpoint.registry, repository, tag, digest).familiar


def clients_for(
    registry: str,
    *,
    config: RegistryConfig | None = None,
    credentials: CredentialStore | None = None,
    insecure: bool = False,
) -> tuple[RegistryClient, ...]:
    """One client for each server to ask, mirrors first, as this machine and user configure them.

    Nothing is asked yet. By default, daemon.json and `~/.docker/config.json` are read. `insecure`:
    the registry may have any certificate, or none, whatever the configuration says.
    """
    store = credentials or CredentialStore()
    endpoints = (config or RegistryConfig.read()).endpoints(registry)
    if insecure:
        endpoints = tuple(replace(endpoint, is_insecure=True) for endpoint in endpoints)
    return tuple(
        RegistryClient(endpoint, store.find(endpoint.credentials_key)) for endpoint in endpoints
    )


def _manifest_path(repository: str, reference: str) -> str:
    return f"/v2/{quote(repository)}/manifests/{quote(reference, safe=':')}"


def pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"


def _challenges(response: Response) -> tuple[challenge.Challenge, ...]:
    return challenge.parse(response.headers.get_all("WWW-Authenticate") or ())


def _verified(name: str, reference: str, response: Response) -> Manifest:
    """The manifest in an answer, if it is the one that was asked for."""
    kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    data = response.body(MANIFEST_LIMIT)
    stated = response.headers.get("Docker-Content-Digest") or ""
    promised = reference if is_digest(reference) else stated if is_digest(stated) else ""
    digest = f"sha256:{sha256(data).hexdigest()}"
    if promised and digest != promised:
        raise RemoteFailed(
            f"manifest verification failed for digest {promised}",
            hint=f"the registry sent other bytes for {name}",
        )
    return Manifest.parse(kind, data)


def _next_page(response: Response) -> str:
    """The path in `Link: <…>; rel="next"`; its host is not looked at, it is always the same."""
    match = _NEXT.search(response.headers.get("Link") or "")
    if match is None:
        return ""
    parts = urlsplit(match[1])
    return f"{parts.path}?{parts.query}"


def _names(page: object, key: str) -> list[str]:
    """A page's names; a registry without any may say null. Raises RemoteFailed."""
    names = page.get(key) if isinstance(page, dict) else ()
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RemoteFailed(f"the registry's list of {key} is malformed")
    return names
