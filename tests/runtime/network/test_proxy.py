"""The port proxy: streams and datagrams through an event loop, against sockets of this process."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.network.port_proxy import held_ports, proxy, stream
from dockmagic_runtime.network.port_proxy import udp as udp_proxy

from .conftest import Loop

Pair = tuple[socket.socket, socket.socket]


class Bench:
    """A proxy between a held port and a backend, both on this machine's loopback."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.undo = ExitStack()
        self.undo.callback(self.loop.close)
        self.backend = self.undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.backend.settimeout(10)
        self.held = held_ports.hold([("127.0.0.1", 0, self.backend.getsockname()[1], "tcp")])
        self.undo.callback(held_ports.release, self.held)
        self.proxy = proxy.PortProxy(self.loop, self.held, "127.0.0.1")
        self.undo.callback(self.proxy.close)

    @property
    def stream(self) -> stream.StreamProxy:
        (streams,) = self.proxy._proxies
        assert isinstance(streams, stream.StreamProxy)
        return streams

    def client(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.held[0].host_port), timeout=10)
        return self.undo.enter_context(client)

    def connect(self) -> Pair:
        """A client, and the connection that the backend sees."""
        before = len(self.stream._connections)
        client = self.client()
        self.until(lambda: len(self.stream._connections) > before)
        accepted, _ = self.backend.accept()
        accepted.settimeout(10)
        self.undo.enter_context(accepted)
        self.confirm()
        return client, accepted

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.loop.turn()

    def confirm(self) -> None:
        """Until nothing is left to do."""
        while self.loop.has_events(0.01):
            self.loop.turn(0)

    def receive(self, receiver: socket.socket, size: int) -> bytes:
        """Exactly that much, or less at the end, while the proxy works."""
        receiver.setblocking(False)
        got = b""
        while len(got) < size:
            self.loop.turn(0)
            try:
                part = receiver.recv(size - len(got))
            except BlockingIOError:
                continue
            if not part:
                break
            got += part
        receiver.settimeout(10)
        return got


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.undo:
        yield bench


def test_bytes_pass_in_both_directions(bench: Bench) -> None:
    client, backend = bench.connect()
    client.sendall(b"question")
    assert bench.receive(backend, 8) == b"question"
    backend.sendall(b"answer")
    assert bench.receive(client, 6) == b"answer"


@given(st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=5))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_comes_out_is_what_went_in(bench: Bench, pieces: list[bytes]) -> None:
    client, backend = bench.connect()
    for piece in pieces:
        client.sendall(piece)
        bench.loop.turn()
    assert bench.receive(backend, sum(map(len, pieces))) == b"".join(pieces)
    client.close()
    bench.until(lambda: not bench.stream._connections or _is_at_end(backend))
    backend.close()
    bench.until(lambda: not bench.stream._connections)


def _is_at_end(receiver: socket.socket) -> bool:
    receiver.setblocking(False)
    try:
        return receiver.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_closed_half_leaves_the_other_open(bench: Bench) -> None:
    client, backend = bench.connect()
    client.sendall(b"all I have")
    client.shutdown(socket.SHUT_WR)
    assert bench.receive(backend, 100) == b"all I have"  # and the end was seen
    backend.sendall(b"x" * 100_000)
    backend.shutdown(socket.SHUT_WR)
    assert bench.receive(client, 200_000) == b"x" * 100_000
    bench.confirm()
    assert not bench.stream._connections


def test_the_backend_may_close_its_half_first(bench: Bench) -> None:
    client, backend = bench.connect()
    backend.shutdown(socket.SHUT_WR)
    assert bench.receive(client, 1) == b""
    client.sendall(b"still here")
    assert bench.receive(backend, 10) == b"still here"
    assert len(bench.stream._connections) == 1


def test_a_reader_that_does_not_read_stops_the_writer(bench: Bench) -> None:
    client, _backend = bench.connect()
    client.setblocking(False)
    sent = 0
    while True:
        try:
            sent += client.send(b"x" * 65536)
        except BlockingIOError:
            bench.confirm()
            try:
                sent += client.send(b"x" * 65536)
            except BlockingIOError:
                break
    assert sent < 32 * 1024 * 1024  # the kernel's buffers: nothing gathers in this process
    assert not bench.loop.has_events()  # the loop does not spin meanwhile


def test_a_reset_is_passed_on(bench: Bench) -> None:
    client, backend = bench.connect()
    backend.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    backend.close()
    bench.until(lambda: not bench.stream._connections)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_container_that_does_not_listen_ends_the_connection(bench: Bench) -> None:
    bench.backend.close()
    client = bench.client()
    bench.loop.turn()
    bench.until(lambda: not bench.stream._connections)
    assert client.recv(1) == b""


def test_many_connections_at_once_do_not_mix(bench: Bench) -> None:
    pairs = [bench.connect() for _ in range(50)]
    for number, (client, _) in enumerate(pairs):
        client.sendall(f"{number:04}".encode())
    assert [bench.receive(backend, 4) for _, backend in pairs] == [
        f"{number:04}".encode() for number in range(50)
    ]


def test_a_large_transfer_through_a_loop_in_its_own_thread(bench: Bench) -> None:
    client, backend = bench.connect()
    payload = os.urandom(1024) * 20_000
    sender = threading.Thread(target=_send_all, args=(client, payload))
    sender.start()
    assert bench.receive(backend, len(payload) + 1) == payload
    sender.join()


def _send_all(client: socket.socket, payload: bytes) -> None:
    client.sendall(payload)
    client.close()


def test_closing_the_proxy_closes_every_descriptor(bench: Bench) -> None:
    before = len(os.listdir("/proc/self/fd"))
    pairs = [bench.connect() for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before + 5 * 8
    bench.proxy.close()
    for pair in pairs:
        for each in pair:
            each.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the spare one too
    assert bench.held[0].socket.fileno() >= 0  # the port stays held


def test_out_of_descriptors_a_client_is_refused_and_the_loop_does_not_spin(bench: Bench) -> None:
    clients = [bench.client() for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = [os.dup(0) for _ in range(20)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest, *fillers) + 1, hard))
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                break
        bench.loop.turn()
        assert not bench.loop.has_events()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)
    assert [_ended(client) for client in clients] == [True] * 3
    client, backend = bench.connect()
    client.sendall(b"later")
    assert bench.receive(backend, 5) == b"later"


def _ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


# datagrams --------------------------------------------------------------------------------------


class DatagramBench:
    def __init__(self) -> None:
        self.loop = Loop()
        self.undo = ExitStack()
        self.undo.callback(self.loop.close)
        self.backend = self.undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.backend.bind(("127.0.0.1", 0))
        self.backend.settimeout(10)
        self.held = held_ports.hold([("", 0, self.backend.getsockname()[1], "udp")])
        self.undo.callback(held_ports.release, self.held)
        self.proxy = proxy.PortProxy(self.loop, self.held, "127.0.0.1")
        self.undo.callback(self.proxy.close)

    def client(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        client = self.undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        client.settimeout(10)
        return client

    def ask(self, client: socket.socket, data: bytes, address: str = "127.0.0.1") -> socket.socket:
        """Send it and let it pass; the proxy's own address for this client comes back."""
        client.sendto(data, (address, self.held[0].host_port))
        self.loop.turn()
        return client

    @property
    def proxies(self) -> list[udp_proxy.DatagramProxy]:
        """One for each address family."""
        assert all(isinstance(each, udp_proxy.DatagramProxy) for each in self.proxy._proxies)
        return cast("list[udp_proxy.DatagramProxy]", self.proxy._proxies)

    @property
    def sessions(self) -> int:
        return sum(len(each._clients) for each in self.proxies)

    def expire(self, now: float) -> None:
        for each in self.proxies:
            each.expire(now)


@pytest.fixture
def udp() -> Iterator[DatagramBench]:
    bench = DatagramBench()
    with bench.undo:
        yield bench


def test_each_client_gets_its_own_answer(udp: DatagramBench) -> None:
    first, second = udp.client(), udp.client()
    seen = []
    for client, data in ((first, b"one"), (second, b"two")):
        udp.ask(client, data)
        got, sender = udp.backend.recvfrom(100)
        assert got == data
        seen.append(sender)
    assert seen[0] != seen[1]
    for sender, data in zip(seen, (b"to one", b"to two"), strict=True):
        udp.backend.sendto(data, sender)
        udp.loop.turn()
    assert (first.recv(100), second.recv(100)) == (b"to one", b"to two")


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.9.9.9"), (socket.AF_INET6, "::1")],
)
def test_the_answer_comes_from_where_the_question_went(
    udp: DatagramBench, family: socket.AddressFamily, address: str
) -> None:
    client = udp.ask(udp.client(family), b"?", address)
    _, sender = udp.backend.recvfrom(100)
    udp.backend.sendto(b"!", sender)
    udp.loop.turn()
    data, source = client.recvfrom(100)
    assert (data, source[0]) == (b"!", address)


def test_an_empty_datagram_is_one_too(udp: DatagramBench) -> None:
    udp.ask(udp.client(), b"")
    assert udp.backend.recvfrom(100)[0] == b""


def test_the_largest_datagram_passes_whole(udp: DatagramBench) -> None:
    data = os.urandom(65507)
    udp.ask(udp.client(), data)
    assert udp.backend.recvfrom(70000)[0] == data


def test_silent_clients_are_forgotten(udp: DatagramBench) -> None:
    udp.ask(udp.client(), b"x")
    now = time.monotonic()
    udp.expire(now + 89)
    assert udp.sessions == 1
    udp.expire(now + 91)
    assert udp.sessions == 0


def test_the_number_of_clients_is_bounded(
    udp: DatagramBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_proxy, "_MOST_CLIENTS", 4)
    before = len(os.listdir("/proc/self/fd"))
    clients = [udp.ask(udp.client(), b"x") for _ in range(10)]
    assert udp.sessions == 4
    assert len(os.listdir("/proc/self/fd")) == before + len(clients) + 4


def test_a_container_that_does_not_listen_is_no_error_of_ours(udp: DatagramBench) -> None:
    udp.backend.close()
    client = udp.client()
    for _ in range(3):
        udp.ask(client, b"x")
        while udp.loop.has_events():
            udp.loop.turn(0)
    assert udp.sessions == 1
