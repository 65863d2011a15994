"""The server: listens on sockets, gives each connection a thread, and answers its requests."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

import h11

from dockmagic_runtime.api.errors import status_of
from dockmagic_runtime.api.handlers import ROUTES
from dockmagic_runtime.api.http.connection import HttpConnection
from dockmagic_runtime.api.http.errors import Disconnected, HttpError, ProtocolError
from dockmagic_runtime.api.http.query import Query
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.api.http.response import failure
from dockmagic_runtime.api.listeners import Listener
from dockmagic_runtime.api.origins import check_origin
from dockmagic_runtime.api.routes import NEWEST, Router, split_version
from dockmagic_runtime.api.service import Service
from dockmagic_runtime.errors import DockmagicError

CONNECTIONS: Final = 1000  # at the same time; more wait to be accepted
_SHUTDOWN: Final = 10.0  # seconds for connections to end
log = logging.getLogger(__name__)


class Server:
    """Serves one `Service` on several listeners until `shutdown`.

    `idle_timeout` is the number of seconds without a connection after which it ends by itself.
    """

    def __init__(
        self, service: Service, listeners: Sequence[Listener], *, idle_timeout: float | None = None
    ) -> None:
        self.service = service
        self.listeners = listeners
        self._idle_timeout = idle_timeout
        self._router = Router(ROUTES)
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._open: set[HttpConnection] = set()
        self._idle_since = time.monotonic()
        self._is_over = threading.Event()
        self._common = [
            ("Api-Version", f"{NEWEST[0]}.{NEWEST[1]}"),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", f"dockmagic/{service.release} (linux)"),
        ]

    # --------------------------------------------------------------- connections

    def serve(self) -> None:
        """Accepts connections; returns after `shutdown`, or when it was idle for long enough."""
        with selectors.DefaultSelector() as selector:
            for listener in self.listeners:
                listener.socket.setblocking(False)
                selector.register(listener.socket, selectors.EVENT_READ, listener)
            while not self._is_over.is_set() and not self._is_idle():
                for key, _ in selector.select(timeout=0.5):
                    self._accept(key.data)

    def _is_idle(self) -> bool:
        if self._idle_timeout is None:
            return False
        with self._lock:
            return not self._open and time.monotonic() - self._idle_since > self._idle_timeout

    def _accept(self, listener: Listener) -> None:
        if not self._slots.acquire(timeout=0.5):
            return
        try:
            accepted, _ = listener.socket.accept()
        except (BlockingIOError, ConnectionError):
            self._slots.release()
            return
        accepted.setblocking(True)
        threading.Thread(
            target=self._run, args=(listener, accepted), name="api-connection", daemon=True
        ).start()

    def _run(self, listener: Listener, accepted: socket.socket) -> None:
        try:
            connection = HttpConnection(listener.secure(accepted))
        except OSError as error:  # no TLS client, or one without a certificate of ours
            log.info("refused a client: %s", error)
            accepted.close()
            self._slots.release()
            return
        with self._lock:
            self._open.add(connection)
        try:
            self._talk(connection, listener)
            if not connection.is_hijacked:
                connection.linger()
        except Disconnected:
            pass  # there is no client to answer any more
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)
                self._idle_since = time.monotonic()
            self._slots.release()

    def shutdown(self) -> None:
        """Ends `serve` and all connections; waits for their threads. Idempotent; any thread."""
        self._is_over.set()
        deadline = time.monotonic() + _SHUTDOWN
        while time.monotonic() < deadline:
            with self._lock:
                connections = list(self._open)
            if not connections:
                return
            for connection in connections:
                connection.interrupt()
            time.sleep(0.01)
        log.warning("%d connections did not end", len(connections))

    # ------------------------------------------------------------------ requests

    def _talk(self, connection: HttpConnection, listener: Listener) -> None:
        """Answers the requests of one connection, in order."""
        while not self._is_over.is_set() and not connection.is_hijacked:
            try:
                event = connection.next_request()
                if event is None:
                    return
                self._answer(connection, event, listener)
            except ProtocolError as error:
                self._refuse(connection, error.status, str(error))
                return
            except TimeoutError:
                self._refuse(connection, 408, "the request did not arrive in time")
                return

    def _refuse(self, connection: HttpConnection, status: int, message: str) -> None:
        if not connection.has_started:
            response = failure(status, message)
            response.send(connection, [*self._common, ("Connection", "close")], head_only=False)

    def _answer(self, connection: HttpConnection, event: h11.Request, listener: Listener) -> None:
        head_only = event.method == b"HEAD"
        try:
            request = _request(connection, event)
            check_origin(request, listener)
            answer = self._router.find(request)(self.service, request)
        except (DockmagicError, HttpError) as error:
            if connection.has_started:
                raise Disconnected from error  # half an answer: only its end can say so
            status = error.status if isinstance(error, HttpError) else status_of(error)
            answer = failure(status, error.message)
        except (Disconnected, ProtocolError, TimeoutError):
            raise
        except Exception:
            log.exception("%s %s", event.method.decode(), event.target.decode("latin-1"))
            if connection.has_started:
                raise Disconnected from None
            answer = failure(500, "an error of dockmagic's: see the server's log")
        if answer is not None:
            answer.send(connection, self._common, head_only=head_only)


def _request(connection: HttpConnection, event: h11.Request) -> Request:
    """Raises HttpError (400)."""
    headers = {name.decode("ascii"): text.decode("latin-1") for name, text in event.headers}
    try:
        parts = urlsplit(event.target.decode("ascii"))
    except ValueError as error:
        raise HttpError(400, f"invalid address: {error}") from None
    version, path = split_version(unquote(parts.path))
    if "\0" in path:
        raise HttpError(400, "invalid address: null character")
    return Request(
        connection, event.method.decode("ascii"), path, Query(parts.query), headers, version
    )
