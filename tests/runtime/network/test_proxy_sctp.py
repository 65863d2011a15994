"""The port proxy for SCTP: whole messages through an event loop."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.network.port_proxy import held_ports, proxy, sctp, stream

from .conftest import (
    Loop,
    sctp_socket,
)

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.sctp]

INITMSG, NODELAY, RECVRCVINFO = 2, 3, 32  # linux/sctp.h
SNDINFO, RCVINFO = 2, 3
UNORDERED = 1
Pair = tuple[socket.socket, socket.socket]


def send(sender: socket.socket, data: bytes, stream: int, protocol: int, flags: int = 0) -> None:
    info = struct.pack("=HHIIi", stream, flags, protocol, 0, 0)
    sender.sendmsg([data], [(socket.IPPROTO_SCTP, SNDINFO, info)])


def receive(receiver: socket.socket) -> tuple[bytes, int, int, int]:
    """A whole message, its stream, its payload protocol, and whether it was unordered."""
    data, end = b"", 0
    while not end:
        piece, control, flags, _ = receiver.recvmsg(65536, socket.CMSG_SPACE(28))
        assert piece, "it has ended"
        data, end = data + piece, flags & socket.MSG_EOR
        ((_, kind, info),) = control
    assert kind == RCVINFO
    stream, _, flags, protocol = struct.unpack_from("=HHHxxI", info)
    return data, stream, protocol, flags & UNORDERED


class Bench:
    """A proxy between a held port and a backend, both on this machine's loopback."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.undo = ExitStack()
        self.undo.callback(self.loop.close)
        self.backend = self.undo.enter_context(sctp_socket())
        self.backend.bind(("127.0.0.1", 0))
        self.backend.listen()
        self.backend.settimeout(10)
        self.held = held_ports.hold([("127.0.0.1", 0, self.backend.getsockname()[1], "sctp")])
        self.undo.callback(held_ports.release, self.held)
        self.proxy = proxy.PortProxy(self.loop, self.held, "127.0.0.1")
        self.undo.callback(self.proxy.close)

    @property
    def connections(self) -> set[stream.Connection]:
        (streams,) = self.proxy._proxies
        assert isinstance(streams, stream.StreamProxy)
        return streams._connections

    def client(self, streams: int = 10) -> socket.socket:
        client = self.undo.enter_context(sctp_socket())
        client.settimeout(10)
        wished = struct.pack("=HHHH", streams, 0, 0, 0)
        client.setsockopt(socket.IPPROTO_SCTP, INITMSG, wished)
        client.connect(("127.0.0.1", self.held[0].host_port))
        return self._prepared(client)

    def connect(self, streams: int = 10) -> Pair:
        """A client, and the association that the backend sees."""
        client = self.client(streams)
        self.until(lambda: any(connection._directions for connection in self.connections))
        accepted = self.undo.enter_context(self.backend.accept()[0])
        accepted.settimeout(10)
        return client, self._prepared(accepted)

    @staticmethod
    def _prepared(end: socket.socket) -> socket.socket:
        end.setsockopt(socket.IPPROTO_SCTP, RECVRCVINFO, 1)
        end.setsockopt(socket.IPPROTO_SCTP, NODELAY, 1)
        return end

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.loop.turn()

    def receive(self, receiver: socket.socket) -> object:
        return self.loop.during(lambda: receive(receiver))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.undo:
        yield bench


def test_a_message_keeps_its_stream_its_protocol_and_its_order(bench: Bench) -> None:
    client, backend = bench.connect(streams=40)
    send(client, b"question", 39, 0x2E000000)
    assert bench.receive(backend) == (b"question", 39, 0x2E000000, 0)
    send(backend, b"answer", 9, 7, UNORDERED)
    assert bench.receive(client) == (b"answer", 9, 7, UNORDERED)


def test_a_container_may_use_as_many_streams_as_the_client_takes(bench: Bench) -> None:
    client, backend = bench.connect()
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        send(client, b"", 10, 0)  # it asked for ten
    backend.close()
    bench.until(lambda: not bench.connections)
    status = bench.client().getsockopt(socket.IPPROTO_SCTP, 14, 176)
    assert struct.unpack_from("=iiIHHHH", status)[5] == 256


@given(st.lists(st.binary(min_size=1, max_size=4000), min_size=1, max_size=6))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_messages_stay_what_they_were(bench: Bench, messages: list[bytes]) -> None:
    client, backend = bench.connect()
    for message in messages:
        send(client, message, 1, 5)
    assert [bench.receive(backend) for _ in messages] == [
        (message, 1, 5, 0) for message in messages
    ]
    client.close()
    bench.until(lambda: not bench.connections or _is_at_end(backend))
    backend.close()
    bench.until(lambda: not bench.connections)


def _is_at_end(receiver: socket.socket) -> bool:
    receiver.setblocking(False)
    try:
        return receiver.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_message_of_many_pieces_is_one_at_the_other_end(bench: Bench) -> None:
    client, backend = bench.connect()
    message = os.urandom(150_000)
    sender = threading.Thread(target=send, args=(client, message, 3, 0))
    sender.start()
    assert bench.receive(backend) == (message, 3, 0, 0)
    sender.join()


def test_a_message_too_large_for_the_other_end_aborts_the_association(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sctp, "_LARGEST", 70_000)
    client, backend = bench.connect()
    sender = threading.Thread(target=send, args=(client, bytes(150_000), 0, 0))
    sender.start()
    bench.until(lambda: not bench.connections)
    sender.join()
    for each in (client, backend):
        with pytest.raises(ConnectionResetError):
            each.recv(1)


def test_the_end_that_closes_receives_no_more_and_the_other_sees_the_end(bench: Bench) -> None:
    client, backend = bench.connect()
    send(client, b"all I have", 0, 0)
    client.shutdown(socket.SHUT_WR)
    assert bench.receive(backend) == (b"all I have", 0, 0, 0)
    assert bench.loop.during(lambda: backend.recv(100)) == b""
    bench.until(lambda: not bench.connections)


def test_a_client_that_has_gone_when_it_is_taken_is_still_heard(bench: Bench) -> None:
    client = bench.client(streams=40)
    send(client, b"only this", 39, 0)
    client.close()
    bench.until(lambda: bool(bench.connections))
    bench.until(lambda: not bench.connections)  # nor need the container take it for that
    with bench.backend.accept()[0] as accepted:
        accepted.settimeout(10)
        assert receive(bench._prepared(accepted)) == (b"only this", 39, 0, 0)
        assert accepted.recv(100) == b""


def test_the_container_may_end_it(bench: Bench) -> None:
    client, backend = bench.connect()
    send(backend, b"goodbye", 0, 0)
    backend.close()
    assert bench.receive(client) == (b"goodbye", 0, 0, 0)
    assert bench.loop.during(lambda: client.recv(100)) == b""
    client.close()
    bench.until(lambda: not bench.connections)


@pytest.mark.parametrize("number", [0, 1])
def test_an_abort_is_passed_on(bench: Bench, number: int) -> None:
    pair = bench.connect()
    aborting, other = pair[number], pair[1 - number]
    aborting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    aborting.close()
    bench.until(lambda: not bench.connections)
    with pytest.raises(ConnectionResetError):
        other.recv(1)


def test_a_container_that_does_not_listen_ends_the_association(bench: Bench) -> None:
    bench.backend.close()
    client = bench.client()
    bench.until(lambda: bool(bench.connections))
    bench.until(lambda: not bench.connections)
    assert client.recv(1) == b""


def test_a_reader_that_does_not_read_stops_the_writer(bench: Bench) -> None:
    client, _backend = bench.connect()
    client.setblocking(False)
    sent = 0
    while bench.loop.has_events(0.05) or _sends(client):
        bench.loop.turn(0)
        sent += 1
    assert sent < 5000  # of 16 KiB: the kernel's buffers, and one message in this process
    assert not bench.loop.has_events()  # the loop does not spin meanwhile


def _sends(client: socket.socket) -> bool:
    try:
        return client.send(bytes(16384)) > 0
    except BlockingIOError:
        return False


def test_closing_the_proxy_closes_every_descriptor_and_aborts(bench: Bench) -> None:
    client, backend = bench.connect()
    before = len(os.listdir("/proc/self/fd"))
    bench.proxy.close()
    assert len(os.listdir("/proc/self/fd")) == before - 3  # two sockets, and the spare one
    assert bench.held[0].socket.fileno() >= 0  # the port stays held
    for each in (client, backend):
        with pytest.raises(ConnectionResetError):
            each.recv(1)
