"""HTTP over kept connections, thread-safe: one request, its redirects, one answer to be streamed.

Authorization is given for one origin and leaves with no request to another (CVE-2020-15157). TLS
is never given up on the way. A kept connection that the server has closed meanwhile is replaced
without a word; every other failure is `ConnectionLost`, for the caller to retry.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field

import dockmagic_runtime.registry.tls as certificates
from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.model.selective import Selective
from dockmagic_runtime.registry.dial import dial
from dockmagic_runtime.registry.endpoint import Url
from dockmagic_runtime.registry.errors import ConnectionLost, Stalled
from dockmagic_runtime.registry.proxies import Proxy, proxy_for
from dockmagic_runtime.registry.stall import HINT, silence, stall_limit
from dockmagic_runtime.registry.text import error_text

if TYPE_CHECKING:
    import ssl

USER_AGENT: Final = "dockmagic/1 (+linux)"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MAX_REDIRECTS: Final = 5
_SLOWEST: Final = 4  # times the stall limit, for all of a document

Body = bytes | Iterable[bytes]


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds: to be connected at all, TLS and proxy included; of silence in an answer."""

    connect: float = 5.0
    read: float = field(default_factory=stall_limit)


class Request(Selective, frozen=True, kw_only=True):
    """`url` is absolute. An iterable body needs its Content-Length, else it is sent in chunks."""

    not_shown: ClassVar[frozenset[str]] = frozenset({"authorization"})

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str = ""
    body: Body | None = None
    timeout: float = 0  # of silence, when other than the transport's


class _PooledConnection(Struct, eq=False):
    """One connection and whether it has served before."""

    origin: Url
    proxy: Proxy | None
    socket: socket.socket
    http: HTTPConnection
    was_used: bool = False

    def abort(self) -> None:
        """Wakes a thread that waits for this connection."""
        try:
            # not SSLSocket's own, which takes the TLS object away under a reader
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def stalled(self, what: str) -> Stalled:
        """The error after a wait that was too long."""
        return Stalled(f"{what}: {silence(self.socket.gettimeout() or 0)}", hint=HINT)

    @contextmanager
    def in_time(self, what: str) -> Iterator[None]:
        """Raises Stalled for what comes so slowly, byte by byte, that no read is too long."""
        seconds = _SLOWEST * (self.socket.gettimeout() or 0)
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            self.abort()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (ConnectionLost, OSError, HTTPException):
            if not is_over.is_set():
                raise
            raise Stalled(f"{what}: not complete after {seconds:g} seconds", hint=HINT) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        self.http.close()
        self.socket.close()


class Response(Closing):
    """One answer; read it to its end or close it, then its connection is free again."""

    def __init__(
        self, transport: Transport, line: _PooledConnection, inner: HTTPResponse, url: str
    ) -> None:
        self._transport = transport
        self._line = line
        self._inner = inner
        self._is_closed = False
        self.url = url
        self.status = inner.status
        self.reason = inner.reason
        self.headers: HTTPMessage = inner.headers

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end. Raises ConnectionLost."""
        try:
            return self._inner.read(size)
        except TimeoutError:
            raise self._line.stalled(f'Get "{self.url}"') from None
        except (OSError, HTTPException, ValueError) as error:  # ValueError: closed meanwhile
            raise ConnectionLost(f'Get "{self.url}": {error_text(error)}') from None

    def body(self, limit: int) -> bytes:
        """All of it. Raises RemoteFailed if it is more than `limit` bytes or ends early.

        A document is short: sent byte by byte, it is given up like one that stalls.
        """
        with self, self._line.in_time(f'Get "{self.url}"'):
            data = bytearray()
            while len(data) <= limit and (piece := self.read(limit + 1 - len(data))):
                data += piece
            if len(data) > limit:
                raise RemoteFailed(f'Get "{self.url}": the answer has more than {limit} bytes')
            if self._inner.length:
                raise ConnectionLost(f'Get "{self.url}": unexpected EOF')
            return bytes(data)

    def close(self) -> None:
        if self._is_closed:  # giving a connection back twice would let two requests share it
            return
        self._is_closed = True
        inner = self._inner
        is_whole = inner.isclosed() and not inner.will_close and not inner.length
        inner.close()
        self._transport.give_back(self._line, reusable=is_whole)


class Transport:
    """Connections to whomever it takes to serve one registry."""

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        certificate_folders: tuple[Path, ...],
        insecure: frozenset[Url],
    ) -> None:
        self._timeouts = timeouts
        self._folders = certificate_folders
        self._insecure = insecure
        self._contexts: dict[Url, ssl.SSLContext] = {}
        self._idle: dict[Url, list[_PooledConnection]] = {}
        self._live: set[_PooledConnection] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Ends all connections; a thread that waits for one gets ConnectionLost."""
        with self._lock:
            self._is_closed = True
            idle = [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
            for line in self._live:
                line.abort()
        for line in idle:
            line.close()

    def send(self, request: Request) -> Response:
        """The answer after all redirects. Raises RegistryUnreachable, ConnectionLost."""
        first, _ = split(request.url)
        url = request.url
        for _ in range(_MAX_REDIRECTS + 1):
            origin, _ = split(url)
            response = self._exchange(request, url, with_authorization=origin == first)
            location = response.headers.get("Location")
            if request.method not in ("GET", "HEAD") or response.status not in _REDIRECTS:
                return response
            response.close()
            url = _redirected(url, location)
        raise RemoteFailed(f'Get "{request.url}": stopped after {_MAX_REDIRECTS} redirects')

    def give_back(self, line: _PooledConnection, *, reusable: bool) -> None:
        """What `Response` does with its connection at the end."""
        with self._lock:
            self._live.discard(line)
            if reusable and not self._is_closed:
                line.was_used = True
                self._idle.setdefault(line.origin, []).append(line)
                return
        line.close()

    def _exchange(self, request: Request, url: str, *, with_authorization: bool) -> Response:
        origin, target = split(url)
        is_repeatable = request.body is None or isinstance(request.body, bytes)
        while True:
            line = self._line(origin, fresh=not is_repeatable)
            headers = self._headers(request, line, with_authorization=with_authorization)
            path = f"{origin}{target}" if line.proxy and origin.scheme == "http" else target
            line.socket.settimeout(request.timeout or self._timeouts.read)
            try:
                self._put(line, request, path, headers)
                with line.in_time(f'{request.method} "{url}"'):
                    inner = line.http.getresponse()
                return Response(self, line, inner, url)
            except (OSError, HTTPException) as error:
                self.give_back(line, reusable=False)
                if isinstance(error, TimeoutError):
                    raise line.stalled(f'{request.method} "{url}"') from None
                if line.was_used:
                    continue  # the server had closed it: others of that age go the same way
                raise ConnectionLost(f'{request.method} "{url}": {error_text(error)}') from None
            except BaseException:
                self.give_back(line, reusable=False)
                raise

    def _put(
        self, line: _PooledConnection, request: Request, path: str, headers: dict[str, str]
    ) -> None:
        is_stream = not isinstance(request.body, bytes | None)
        is_chunked = is_stream and "Content-Length" not in headers
        if is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        try:
            line.http.request(
                request.method, path, request.body, headers, encode_chunked=is_chunked
            )
        except (BrokenPipeError, ConnectionResetError):
            if not is_stream:
                raise
            # a server that refuses what we send says why and hangs up: that is there by now
            line.socket.settimeout(self._timeouts.connect)

    def _headers(
        self, request: Request, line: _PooledConnection, *, with_authorization: bool
    ) -> dict[str, str]:
        headers = {
            "Host": line.origin.authority,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",  # a blob's digest is that of its bytes as stored
            **request.headers,
        }
        if request.authorization and with_authorization:
            headers["Authorization"] = request.authorization
        if line.proxy and line.proxy.authorization and line.origin.scheme == "http":
            headers["Proxy-Authorization"] = line.proxy.authorization
        return headers

    def _line(self, origin: Url, *, fresh: bool) -> _PooledConnection:
        with self._lock:
            idle = self._idle.get(origin)
            line = idle.pop() if idle and not fresh else None
            if line:
                self._live.add(line)
        return line or self._dial(origin)

    def _dial(self, origin: Url) -> _PooledConnection:
        proxy = proxy_for(origin.scheme, origin.host, origin.port)
        tls = partial(self._context, origin) if origin.scheme == "https" else None
        connection = dial(origin, proxy, tls, self._timeouts.connect)
        http = HTTPConnection(origin.host, origin.port)
        http.sock = connection
        http.auto_open = 0  # it is dialled here, or not at all
        line = _PooledConnection(origin, proxy, connection, http)
        with self._lock:
            if not self._is_closed:
                self._live.add(line)
                return line
        line.close()
        raise ConnectionLost(f'Get "{origin}": the connection was closed')

    def _context(self, origin: Url) -> ssl.SSLContext:
        with self._lock:
            if origin not in self._contexts:
                self._contexts[origin] = certificates.context(
                    origin, self._folders, insecure=origin in self._insecure
                )
            return self._contexts[origin]


def split(url: str) -> tuple[Url, str]:
    """The server and the path of a URL. Raises RemoteFailed: URLs come from the other side."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RemoteFailed(f"the registry names an invalid address: {url!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise RemoteFailed(f"the registry names an invalid address: {url!r}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Url(parts.scheme, parts.hostname, port or default), target


def _redirected(url: str, location: str | None) -> str:
    if not location:
        raise RemoteFailed(f'Get "{url}": a redirect without a Location')
    target = urljoin(url, location)
    if url.startswith("https:") and not target.startswith("https:"):
        raise RemoteFailed(f'Get "{url}": the redirect to {target} would leave TLS')
    return target
