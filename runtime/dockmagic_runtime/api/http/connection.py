"""One connection of a client: requests in order, and a response for each.

h11 keeps the protocol's state; this class moves its bytes. A handler that takes over the
connection (`hijack`) gets the socket and the bytes that have already arrived on it.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

import h11

from dockmagic_runtime.api.http.errors import Disconnected, ProtocolError

HEADERS_LIMIT: Final = 64 * 1024  # bytes of a request's line and headers
IDLE_LIMIT: Final = 300.0  # seconds without a request; longer than clients keep connections
READ_LIMIT: Final = 60.0  # seconds within which the next bytes of a request must arrive
WRITE_LIMIT: Final = 120.0  # seconds within which a client must take some bytes
SKIPPED_LIMIT: Final = 1024 * 1024  # bytes of a body that are read only to go on behind it
LINGER: Final = 2.0  # seconds in which a client that still sends can read its answer
_BLOCK: Final = 256 * 1024
Headers = Sequence[tuple[str, str]]


class HttpConnection:
    """Moves the bytes of one client's connection. One thread uses it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.is_hijacked = False
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADERS_LIMIT)

    def next_request(self) -> h11.Request | None:
        """The next request's line and headers; None when the client has closed, or is idle.

        Raises ProtocolError for what is no HTTP request, Disconnected.
        """
        if self._h11.our_state is h11.DONE:
            self._skip_body()
            if self._h11.their_state is h11.DONE:
                self._h11.start_next_cycle()
        if self._h11.our_state is not h11.IDLE:
            return None  # the last response ended the connection
        try:
            event = self._next_event(IDLE_LIMIT)
        except TimeoutError:
            return None
        return event if isinstance(event, h11.Request) else None

    def _skip_body(self) -> None:
        """Reads what the last handler left of its request's body, if that is not much."""
        left = SKIPPED_LIMIT
        while left > 0 and self._h11.their_state is h11.SEND_BODY:
            left -= len(self.read())

    def read(self) -> bytes:
        """The next piece of the request's body, of any length; b"" at its end.

        Raises ProtocolError, Disconnected, TimeoutError.
        """
        if self._h11.their_state is not h11.SEND_BODY:
            return b""
        if self._h11.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
        event = self._next_event(READ_LIMIT)
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    def _next_event(self, limit: float) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise ProtocolError(error.error_status_hint, str(error)) from None
            if event is not h11.NEED_DATA:
                return event
            self.socket.settimeout(limit)
            try:
                data = self.socket.recv(_BLOCK)
            except TimeoutError:
                raise
            except OSError:  # reset by the client, or a TLS record that is none
                raise Disconnected from None
            limit = READ_LIMIT
            self._h11.receive_data(data)

    # ------------------------------------------------------------------ responses

    @property
    def has_started(self) -> bool:
        """Whether the response's status has been sent."""
        return self.is_hijacked or self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Sends a whole response, at once."""
        events: list[h11.Event] = [_head(status, [*headers, ("Content-Length", str(len(body)))])]
        if body:
            events.append(h11.Data(data=body))
        self._send(*events, h11.EndOfMessage())

    def start(self, status: int, headers: Headers) -> None:
        """Sends the status and headers; `write` and `finish` are to follow."""
        self._send(_head(status, headers))

    def write(self, data: bytes) -> None:
        """Sends a piece of the response's body. Raises Disconnected."""
        if data:
            self._send(h11.Data(data=data))

    def finish(self) -> None:
        """Ends the response. A request body that was not read ends the connection with it."""
        self._send(h11.EndOfMessage())

    def _send(self, *events: h11.Event) -> None:
        try:
            data = b"".join(self._h11.send(event) or b"" for event in events)
        except h11.LocalProtocolError:
            if self._h11.our_state is h11.ERROR:
                raise Disconnected from None  # after a failed send
            raise
        if data:
            self.send_raw(data)

    def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are. Raises Disconnected when the client is gone or takes none."""
        self.socket.settimeout(WRITE_LIMIT)
        try:
            self.socket.sendall(data)
        except (OSError, ValueError):
            self._h11.send_failed()
            raise Disconnected from None

    # -------------------------------------------------------------------- streams

    def hijack(self, head: Iterable[str]) -> bytes:
        """Sends a response's head and takes the connection out of HTTP.

        Args:
            head: The status line and the headers, without line ends.

        Returns:
            The bytes that the client has already sent after its request.
        """
        while self.read():
            pass  # a body has no place before a stream
        early = bytes(self._h11.trailing_data[0])
        self.is_hijacked = True
        self.send_raw("".join(f"{line}\r\n" for line in [*head, ""]).encode("latin-1"))
        return early

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its side."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def linger(self) -> None:
        """Lets a client that still sends read its answer: a close alone would reset both."""
        deadline = time.monotonic() + LINGER
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(_BLOCK):
                    return
        except OSError:
            return  # it has gone, or goes on sending

    def interrupt(self) -> None:
        """Ends what the connection's thread reads or writes. From any thread."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has closed it

    def close(self) -> None:
        """Closes the socket. Idempotent; only for the thread that uses it."""
        self.interrupt()
        self.socket.close()


def _head(status: int, headers: Headers) -> h11.Response:
    encoded = [(name.encode("ascii"), text.encode("latin-1")) for name, text in headers]
    reason = HTTPStatus(status).phrase
    return h11.Response(status_code=status, headers=encoded, reason=reason)
