"""SCTP: whole messages through the proxy, and associations through real namespaces."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.network import associations, ports, proxy

from .conftest import HOST, NEIGHBOUR, TABLE, Guest, Host, Loop, entered, ip, nft, serve_in

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.sctp]

INITMSG, NODELAY, RECVRCVINFO = 2, 3, 32  # linux/sctp.h
SNDINFO, RCVINFO = 2, 3
UNORDERED = 1
Pair = tuple[socket.socket, socket.socket]


def new_socket(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


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


def serving(loop: Loop, action: Callable[[], object]) -> object:
    """What the action returns or raises, in a thread; meanwhile the proxy works."""
    result: list[object] = []
    reader, writer = os.pipe()

    def act() -> None:
        try:
            result.append(action())
        except OSError as error:
            result.append(error)
        finally:
            os.close(writer)

    acting = threading.Thread(target=act)
    acting.start()
    loop.run_until_end(reader)
    acting.join()
    os.close(reader)
    (one,) = result
    if isinstance(one, OSError):
        raise one
    return one


class Bench:
    """A proxy between a held port and a backend, both on this machine's loopback."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.undo = ExitStack()
        self.undo.callback(self.loop.selector.close)
        self.backend = self.undo.enter_context(new_socket())
        self.backend.bind(("127.0.0.1", 0))
        self.backend.listen()
        self.backend.settimeout(10)
        self.held = ports.hold([("127.0.0.1", 0, self.backend.getsockname()[1], "sctp")])
        self.undo.callback(ports.release, self.held)
        self.proxy = proxy.PortProxy(self.loop.selector, self.held, "127.0.0.1")
        self.undo.callback(self.proxy.close)

    @property
    def connections(self) -> set[proxy.Connection]:
        (one,) = self.proxy._proxies
        assert isinstance(one, proxy.StreamProxy)
        return one._connections

    def client(self, streams: int = 10) -> socket.socket:
        made = self.undo.enter_context(new_socket())
        made.settimeout(10)
        wished = struct.pack("=HHHH", streams, 0, 0, 0)
        made.setsockopt(socket.IPPROTO_SCTP, INITMSG, wished)
        made.connect(("127.0.0.1", self.held[0].host_port))
        return self._prepared(made)

    def connect(self, streams: int = 10) -> Pair:
        """A client, and the association that the backend sees."""
        client = self.client(streams)
        self.until(lambda: any(one._directions for one in self.connections))
        accepted = self.undo.enter_context(self.backend.accept()[0])
        accepted.settimeout(10)
        return client, self._prepared(accepted)

    @staticmethod
    def _prepared(one: socket.socket) -> socket.socket:
        one.setsockopt(socket.IPPROTO_SCTP, RECVRCVINFO, 1)
        one.setsockopt(socket.IPPROTO_SCTP, NODELAY, 1)
        return one

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.loop.turn()

    def receive(self, receiver: socket.socket) -> object:
        return serving(self.loop, lambda: receive(receiver))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with made.undo:
        yield made


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
    assert [bench.receive(backend) for _ in messages] == [(one, 1, 5, 0) for one in messages]
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
    monkeypatch.setattr(associations, "_LARGEST", 70_000)
    client, backend = bench.connect()
    sender = threading.Thread(target=send, args=(client, bytes(150_000), 0, 0))
    sender.start()
    bench.until(lambda: not bench.connections)
    sender.join()
    for one in (client, backend):
        with pytest.raises(ConnectionResetError):
            one.recv(1)


def test_who_ends_it_is_told_no_more_and_the_other_sees_the_end(bench: Bench) -> None:
    client, backend = bench.connect()
    send(client, b"all I have", 0, 0)
    client.shutdown(socket.SHUT_WR)
    assert bench.receive(backend) == (b"all I have", 0, 0, 0)
    assert serving(bench.loop, lambda: backend.recv(100)) == b""
    bench.until(lambda: not bench.connections)


def test_the_container_may_end_it(bench: Bench) -> None:
    client, backend = bench.connect()
    send(backend, b"goodbye", 0, 0)
    backend.close()
    assert bench.receive(client) == (b"goodbye", 0, 0, 0)
    assert serving(bench.loop, lambda: client.recv(100)) == b""
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
    while bench.loop.selector.select(0.05) or _sends(client):
        bench.loop.turn(0)
        sent += 1
    assert sent < 5000  # of 16 KiB: the kernel's buffers, and one message in this process
    assert bench.loop.selector.select(0) == []  # and nobody spins meanwhile


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
    for one in (client, backend):
        with pytest.raises(ConnectionResetError):
            one.recv(1)


# through namespaces -----------------------------------------------------------------------------

WEB = ("", 9999, 9000, "sctp")


def echo_messages(listener: socket.socket) -> None:
    """To each association: a message with the peer's address, then every message back."""
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.send(peer[0].encode())
            while message := connection.recv(65536):
                connection.send(message)


def listen(guest: Guest, port: int = 9000) -> None:
    with entered(guest.namespace):
        made = new_socket()
        made.bind(("", port))
        made.listen()
    guest.servers.append(serve_in(guest.namespace, echo_messages, made))


def web(host: Host, *wishes: tuple[str, int, int, str], address: str = "172.17.0.2") -> Guest:
    guest = host.guest(address, *(wishes or (WEB,)))
    listen(guest)
    return guest


def ask(address: str, port: int, source: str = "", source_port: int = 0) -> tuple[str, list[bytes]]:
    """What the server sees as our address, and what it sends back of two messages."""
    with new_socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as asking:
        asking.settimeout(5)
        if source or source_port:
            asking.bind((source, source_port))
        asking.connect((address, port))
        peer = asking.recv(100).decode()
        asking.send(b"one")
        asking.send(b"two")
        return peer, [asking.recv(100), asking.recv(100)]


ANSWERED = [b"one", b"two"]


def test_from_this_host_by_every_address_of_its(host: Host) -> None:
    web(host)
    for address in ("127.0.0.1", "::1", HOST, "172.17.0.1"):
        assert host.here(ask, address, 9999) == ("172.17.0.1", ANSWERED)
    assert host.here(ask, "172.17.0.2", 9000) == ("172.17.0.1", ANSWERED)


def test_from_a_neighbour_and_the_container_sees_who_it_is(host: Host) -> None:
    web(host)
    assert host.elsewhere(ask, HOST, 9999) == (NEIGHBOUR, ANSWERED)


def test_from_the_container_itself_and_another(host: Host) -> None:
    guest = web(host)
    other = host.guest("172.17.0.3")
    for one in (guest, other):
        for address in (HOST, "172.17.0.1"):
            assert one.call(ask, address, 9999) == ("172.17.0.1", ANSWERED)
    assert other.call(ask, "172.17.0.2", 9000) == ("172.17.0.3", ANSWERED)


def test_published_on_one_address(host: Host) -> None:
    web(host, (HOST, 8080, 9000, "sctp"))
    assert host.elsewhere(ask, HOST, 8080) == (NEIGHBOUR, ANSWERED)
    assert host.here(ask, HOST, 8080) == ("172.17.0.1", ANSWERED)
    for address in ("172.17.0.1", "127.0.0.1"):
        with pytest.raises(ConnectionRefusedError):
            host.here(ask, address, 8080)


def test_row_40_published_on_loopback_is_for_this_host_alone(host: Host) -> None:
    guest = web(host, ("127.0.0.1", 8080, 9000, "sctp"))
    assert host.here(ask, "127.0.0.1", 8080) == ("172.17.0.1", ANSWERED)
    for call in (host.elsewhere, guest.call):
        with pytest.raises(ConnectionRefusedError):
            call(ask, HOST, 8080)


def test_by_the_proxy_while_the_rules_are_flushed(host: Host) -> None:
    web(host)
    nft("flush", "ruleset")
    assert host.elsewhere(ask, HOST, 9999) == ("172.17.0.1", ANSWERED)


def test_a_container_reaches_others_under_the_hosts_address(host: Host) -> None:
    guest = host.guest("172.17.0.2")
    with entered(host.neighbour):
        made = new_socket()
        made.bind(("", 7777))
        made.listen()
    guest.servers.append(serve_in(host.neighbour, echo_messages, made))
    assert guest.call(ask, NEIGHBOUR, 7777) == (HOST, ANSWERED)


def test_a_client_that_keeps_its_port_is_led_to_the_next_container(host: Host) -> None:
    """Of an association that was cut off: nobody could say its end."""
    first = web(host)
    assert host.elsewhere(_ask_and_vanish, HOST, 9999) == NEIGHBOUR
    host.stop(first)
    web(host, address="172.17.0.9")
    assert host.elsewhere(ask, HOST, 9999, "", 5000) == (NEIGHBOUR, ANSWERED)


def _ask_and_vanish(address: str, port: int) -> str:
    with new_socket() as asking:
        asking.settimeout(5)
        asking.bind(("", 5000))
        asking.connect((address, port))
        peer = asking.recv(100).decode()
        ip("link", "set", "eth0", "down")
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ip("link", "set", "eth0", "up")
    return peer


# more addresses than one ------------------------------------------------------------------------


@pytest.fixture
def private(host: Host) -> Host:
    """The host and its neighbour with private addresses too: an association to one of those
    names all others of its end, which one to a public address does not."""
    ip("address", "add", f"{PRIVATE}/24", "dev", "eth0")
    host.elsewhere(ip, "address", "add", "192.168.55.2/24", "dev", "eth0")
    _probe_often()
    host.elsewhere(_probe_often)
    return host


PRIVATE = "192.168.55.1"


def _probe_often() -> None:
    """Let this namespace look after all addresses of its peers at once, and often."""
    for name, value in (("rto_min", 50), ("rto_initial", 100), ("hb_interval", 100)):
        Path("/proc/sys/net/sctp", name).write_text(str(value))


def associate(host: Host, namespace: int, address: str) -> socket.socket:
    with entered(namespace):
        made = host.undo.enter_context(new_socket())
    made.settimeout(10)
    serving(host.loop, lambda: made.connect((address, 9999)))
    return made


def echoes(host: Host, client: socket.socket) -> bool:
    client.send(b"hello")
    while (message := serving(host.loop, lambda: client.recv(100))) != b"hello":
        assert isinstance(message, bytes)
        assert message.count(b".") == 3  # the server's greeting
    return True


def until(host: Host, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        host.loop.turn(0)


def _probes_dropped() -> int:
    listed = nft("list", "chain", "ip", TABLE, "publish")
    (found,) = re.findall(r"packets (\d+) .*containers do not probe", listed)
    return int(found)


def _remote_addresses() -> dict[str, str]:
    """All addresses that associations of this namespace have for their peers, and how they are."""
    rows = Path("/proc/net/sctp/remaddr").read_text().splitlines()[1:]
    return {row.split()[0]: row.split()[-1] for row in rows}


ACTIVE = "2"


def test_this_host_reaches_a_container_by_all_of_its_addresses(private: Host) -> None:
    guest = web(private)
    guest.call(_probe_often)
    client = associate(private, private.namespace, PRIVATE)
    everywhere = {PRIVATE, "172.17.0.1", "172.17.0.2"}  # this host's, and the proxy's to it
    until(private, lambda: _remote_addresses() == dict.fromkeys(everywhere | {HOST}, ACTIVE))
    assert echoes(private, client)


def test_a_neighbour_with_an_address_that_we_have_too_keeps_its_association(private: Host) -> None:
    """As one that has a Docker of its own: both ends have 172.17.0.1."""
    guest = web(private)
    guest.call(_probe_often)
    private.elsewhere(ip, "link", "add", "docker0", "type", "bridge")
    private.elsewhere(ip, "address", "add", "172.17.0.1/16", "dev", "docker0")
    client = associate(private, private.neighbour, PRIVATE)
    assert echoes(private, client)
    until(private, lambda: _probes_dropped() >= 3)
    assert guest.call(_remote_addresses)["172.17.0.1"] != ACTIVE
    assert echoes(private, client)


def test_a_neighbour_with_several_addresses_keeps_its_association(private: Host) -> None:
    guest = web(private)
    guest.call(_probe_often)
    private.elsewhere(ip, "address", "add", "192.168.55.3/24", "dev", "eth0")
    client = associate(private, private.neighbour, PRIVATE)
    assert set(guest.call(_remote_addresses)) >= {"192.168.55.2", "192.168.55.3"}
    until(private, lambda: guest.call(_probes) >= 10)
    assert echoes(private, client)


def _probes() -> int:
    """Heartbeats and other control chunks that this namespace has sent."""
    rows = Path("/proc/net/sctp/snmp").read_text().splitlines()
    return int(dict(row.split() for row in rows)["SctpOutCtrlChunks"])


def test_a_container_with_several_addresses_keeps_its_association(private: Host) -> None:
    guest = web(private)
    guest.call(ip, "address", "add", "10.9.9.9/24", "dev", "eth0")
    guest.call(_probe_often)
    for namespace in (private.namespace, private.neighbour):
        with associate(private, namespace, PRIVATE) as client:
            before = guest.call(_probes)
            until(private, lambda before=before: guest.call(_probes) >= before + 10)  # type: ignore[misc]
            assert echoes(private, client)
