"""Forwards DNS queries to the upstream servers, in order, until one of them answers.

Each attempt has a UDP socket of its own, and so a source port that the kernel chooses at random,
and a random message id; the socket is connected, so it receives packets from that server alone. A
packet that does not repeat the id and the question is discarded. After a truncated answer the
query is repeated over TCP. Everything is bounded: queries, servers tried for each, time for each
server.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from dockmagic_runtime.linux.event_loop import READ, WRITE, EventLoop, Timer
from dockmagic_runtime.network.dns import messages
from dockmagic_runtime.network.dns.messages import Query

SERVER_TIMEOUT: Final = 2.0  # seconds for one server; clients wait for five
_MOST_QUESTIONS: Final = 256
_MOST_SERVERS: Final = 3  # as resolv.conf(5)
_MOST_DISCARDED: Final = 64  # packets on one socket that are not the answer
_LARGEST: Final = 65535


class Server(Struct, frozen=True):
    """An upstream server. `on_host`: reached only from the host's own network namespace."""

    address: str
    on_host: bool = False
    port: int = 53


Open = Callable[[Server, int], socket.socket]  # a new socket of that kind, in the namespace
Answered = Callable[[bytes], None]


class Forwarder:
    """The queries of one DNS server that are being forwarded.

    `timeout` is the time for one server, in seconds.
    """

    def __init__(self, loop: EventLoop, open_socket: Open, timeout: float = SERVER_TIMEOUT) -> None:
        self.loop = loop
        self.open_socket = open_socket
        self.timeout = timeout
        self._questions: set[Question] = set()
        self._best: Server | None = None  # the last that has answered

    def ask(self, query: Query, servers: tuple[Server, ...], answered: Answered) -> None:
        """Call `answered` once, now or later: with the answer, or a SERVFAIL if there is none."""
        if len(self._questions) >= _MOST_QUESTIONS:
            answered(messages.failure(query))
            return
        first = [server for server in servers if server == self._best]
        others = [server for server in servers if server != self._best]
        question = Question(self, query, [*first, *others][:_MOST_SERVERS], answered)
        self._questions.add(question)
        question.ask_next()

    def finished(self, question: Question, server: Server | None) -> None:
        self._questions.discard(question)
        self._best = server or self._best

    @property
    def is_busy(self) -> bool:
        return bool(self._questions)

    def close(self) -> None:
        for question in list(self._questions):
            question.give_up()


class Question:
    """One query, from the first server that is tried to the answer."""

    def __init__(
        self, forwarder: Forwarder, query: Query, servers: list[Server], answered: Answered
    ) -> None:
        self._forwarder = forwarder
        self._query = query
        self._servers = servers
        self._answered = answered
        self._attempt: Attempt | None = None
        self._poor = b""  # an answer without help, sent if no server has a better one
        self._retry = len(servers) == 1  # a single server is tried twice: packets get lost

    def ask_next(self) -> None:
        while self._servers:
            server = self._servers.pop(0)
            if self._retry:
                self._retry = False
                self._servers.append(server)
            if self._begin(server, socket.SOCK_DGRAM):
                return
        self._finish(self._poor or messages.failure(self._query), None)

    def _begin(self, server: Server, kind: int) -> bool:
        """Send the query; False when it cannot be sent, as without a route."""
        number = int.from_bytes(os.urandom(2), "big")
        packet = messages.with_id(self._query.packet, number)
        attempt = Stream if kind == socket.SOCK_STREAM else Datagram
        try:
            self._attempt = attempt(self._forwarder, server, packet, self)
        except OSError:
            return False
        return True

    def received(self, server: Server, kind: int, answer: bytes) -> None:
        """Handle an answer that passed the checks; it is empty when none came in time."""
        self._attempt = None
        if not answer:
            self.ask_next()
        elif kind == socket.SOCK_DGRAM and messages.is_truncated(answer):
            self._poor = answer  # better than nothing: the client may try TCP by itself
            if not self._begin(server, socket.SOCK_STREAM):
                self.ask_next()
        elif messages.is_poor(answer) and any(other != server for other in self._servers):
            self._poor = answer
            self.ask_next()
        else:
            self._finish(answer, server)

    def _finish(self, answer: bytes, server: Server | None) -> None:
        self._forwarder.finished(self, server)
        self._answered(messages.with_id(answer, self._query.id))

    def give_up(self) -> None:
        if self._attempt is not None:
            self._attempt.close()


class Attempt(ABC):
    """One query to one server over one socket."""

    kind: int = socket.SOCK_DGRAM

    def __init__(
        self, forwarder: Forwarder, server: Server, packet: bytes, question: Question
    ) -> None:
        self._forwarder = forwarder
        self._server = server
        self._packet = packet
        self._question = question
        self._discarded = 0
        self._timer: Timer | None = None
        self._socket = forwarder.open_socket(server, self.kind)
        try:
            self._start()
        except BaseException:
            self._socket.close()
            raise
        self._timer = forwarder.loop.after(forwarder.timeout, lambda: self._end(b""))

    @abstractmethod
    def _start(self) -> None:
        """Connect, and watch the socket. Raises OSError when the server cannot be reached."""

    def _watch(self, events: int, callback: Callable[[int], None]) -> None:
        self._forwarder.loop.watch(self._socket.fileno(), events, callback)

    def _take(self, answer: bytes) -> None:
        if messages.is_answer_to(answer, self._packet):
            self._end(answer)
            return
        self._discarded += 1
        if self._discarded >= _MOST_DISCARDED or self.kind == socket.SOCK_STREAM:
            self._end(b"")

    def _end(self, answer: bytes) -> None:
        self.close()
        self._question.received(self._server, self.kind, answer)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._forwarder.loop.forget(self._socket.fileno())
        self._socket.close()


class Datagram(Attempt):
    def _start(self) -> None:
        self._socket.connect((self._server.address, self._server.port))
        self._socket.send(self._packet)
        self._watch(READ, self._read)

    def _read(self, _events: int) -> None:
        try:
            answer = self._socket.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            self._end(b"")  # the port is closed there
            return
        self._take(answer)


class Stream(Attempt):
    kind = socket.SOCK_STREAM

    def _start(self) -> None:
        self._received = b""
        self._unsent = len(self._packet).to_bytes(2, "big") + self._packet
        try:
            self._socket.connect((self._server.address, self._server.port))
        except BlockingIOError:
            pass  # the loop reports when it is connected, or has failed
        self._watch(WRITE, self._write)

    def _write(self, _events: int) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self._end(b"")
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._watch(READ, self._read)

    def _read(self, _events: int) -> None:
        try:
            data = self._socket.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        length = 2 + int.from_bytes(self._received[:2], "big")
        if len(self._received) >= max(length, 3):
            self._take(self._received[2:length])
        elif not data:
            self._end(b"")
