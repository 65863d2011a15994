"""The DNS server on real sockets, with upstream servers of the tests' own."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, TXT, A, DNSRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.network import endpoints
from dockmagic_runtime.network.dns import forwarder, server
from dockmagic_runtime.network.dns.forwarder import SERVER_TIMEOUT, Server
from dockmagic_runtime.network.dns.server import DnsServer
from dockmagic_runtime.network.dns.zone import Zone
from dockmagic_runtime.network.endpoints import NetworkEndpoint

ME, DB = "a" * 64, "b" * 64
HERE = ("127.0.0.1", 0)
Answers = Callable[[DNSRecord, bytes], bytes]


def plain_socket(_server: Server, kind: int) -> socket.socket:
    return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)


@dataclass
class Upstream:
    """A server that notes what it is asked. Both protocols have one port."""

    answers: Answers
    loop: EventLoop
    datagrams: socket.socket
    listener: socket.socket
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", port=self.datagrams.getsockname()[1])

    def read(self, _events: int) -> None:
        packet, client = self.datagrams.recvfrom(65535)
        self.asked.append(("udp", packet))
        self.clients.append(client)
        if answer := self.answers(DNSRecord.parse(packet), packet):
            self.datagrams.sendto(answer, client)

    def accept(self, _events: int) -> None:
        client, _ = self.listener.accept()
        self.loop.watch(client.fileno(), READ, lambda _events: self.read_stream(client))

    def read_stream(self, client: socket.socket) -> None:
        packet = client.recv(65535)[2:]  # loopback delivers what was sent at once together
        self.asked.append(("tcp", packet))
        answer = self.answers(DNSRecord.parse(packet), packet)
        client.sendall(len(answer).to_bytes(2, "big") + answer)
        self.loop.forget(client.fileno())
        client.close()

    def close(self) -> None:
        self.datagrams.close()
        self.listener.close()


def both_on_one_port() -> tuple[socket.socket, socket.socket]:
    while True:  # a port that is free for one protocol may be taken for the other
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(HERE)
        try:
            return datagrams, socket.create_server(datagrams.getsockname())
        except OSError:
            datagrams.close()


@dataclass
class World:
    """A DNS server with its clients' side and its upstreams, in one thread with the test."""

    networks: str
    server: DnsServer
    datagrams: socket.socket
    listener: socket.socket
    servers: list[Server]
    upstreams: list[Upstream]

    def upstream(self, answers: Answers) -> Upstream:
        datagrams, listener = both_on_one_port()
        upstream = Upstream(answers, self.server.loop, datagrams, listener)
        self.server.loop.watch(datagrams.fileno(), READ, upstream.read)
        self.server.loop.watch(listener.fileno(), READ, upstream.accept)
        self.servers.append(upstream.server)
        self.upstreams.append(upstream)
        return upstream

    def let_pass(self, seconds: float) -> None:
        """Let the timers see that time pass at once."""
        for timer in self.server.loop._timers:
            timer.when -= seconds

    def turn_until(self, is_true: Callable[[], bool]) -> None:
        for _ in range(1000):
            if is_true():
                return
            self.server.loop.turn(0.01)
        pytest.fail("it did not come to that")

    @contextlib.contextmanager
    def client(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(self.datagrams.getsockname())
            client.setblocking(False)
            yield client

    def send(self, packet: bytes) -> bytes:
        """The answer to one datagram."""
        with self.client() as client:
            client.send(packet)
            return self.heard(client)

    def heard(self, client: socket.socket) -> bytes:
        messages: list[bytes] = []

        def arrived() -> bool:
            with contextlib.suppress(BlockingIOError):
                messages.append(client.recv(65535))
            return bool(messages)

        self.turn_until(arrived)
        return messages[0]

    def ask(self, name: str, kind: str = "A") -> DNSRecord:
        question = DNSRecord.question(name, kind)
        answer = DNSRecord.parse(self.send(question.pack()))
        assert (answer.header.id, answer.q) == (question.header.id, question.q)
        return answer

    @contextlib.contextmanager
    def stream(self) -> Iterator[socket.socket]:
        with socket.socket() as client:
            client.connect(self.listener.getsockname())
            client.setblocking(False)
            yield client

    def heard_all(self, client: socket.socket, count: int) -> list[bytes]:
        """So many messages of a stream."""
        data, messages = bytearray(), []

        def arrived() -> bool:
            with contextlib.suppress(BlockingIOError):
                data.extend(client.recv(65535))
            while len(data) >= 2 and len(data) >= (end := 2 + int.from_bytes(data[:2], "big")):
                messages.append(bytes(data[2:end]))
                del data[:end]
            return len(messages) >= count

        self.turn_until(arrived)
        return messages


@contextlib.contextmanager
def resolving(tmp_path: Path) -> Iterator[World]:
    for container, name, address in ((ME, "me", "172.18.0.2"), (DB, "db", "172.18.0.3")):
        endpoint = NetworkEndpoint(name=name, ipv4=address, network="net")
        endpoints.write(str(tmp_path), "n1", container, endpoint)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    datagrams.bind(HERE)
    listener = socket.create_server(HERE)
    listener.setblocking(False)
    servers: list[Server] = []
    server = DnsServer(
        datagrams, listener, Zone(str(tmp_path), ME), lambda: tuple(servers), plain_socket
    )
    world = World(str(tmp_path), server, datagrams, listener, servers, [])
    with datagrams, listener, contextlib.ExitStack() as stack:
        stack.callback(server.close)
        stack.callback(lambda: [stack.callback(upstream.close) for upstream in world.upstreams])
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with resolving(tmp_path) as world:
        yield world


def answering(address: str) -> Answers:
    def answers(record: DNSRecord, _packet: bytes) -> bytes:
        reply = record.reply(aa=0)
        reply.add_answer(RR(record.q.qname, QTYPE.A, rdata=A(address), ttl=60))
        return bytes(reply.pack())

    return answers


def failing(code: str) -> Answers:
    def answers(record: DNSRecord, _packet: bytes) -> bytes:
        reply = record.reply(aa=0)
        reply.header.set_rcode(getattr(RCODE, code))
        return bytes(reply.pack())

    return answers


def data(answer: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in answer.rr]


def test_a_neighbour_is_found_without_forwarding(world: World) -> None:
    upstream = world.upstream(answering("198.51.100.7"))
    assert data(world.ask("db")) == ["172.18.0.3"]
    assert data(world.ask("db", "AAAA")) == []
    assert upstream.asked == []


def test_others_are_asked_for_and_the_answer_comes_unchanged(world: World) -> None:
    upstream = world.upstream(answering("198.51.100.7"))
    answer = world.ask("example.org")
    assert data(answer) == ["198.51.100.7"]
    assert answer.rr[0].ttl == 60
    assert [protocol for protocol, _ in upstream.asked] == ["udp"]


def test_questions_over_tcp_are_answered_in_turn_and_together(world: World) -> None:
    world.upstream(answering("198.51.100.7"))
    questions = [DNSRecord.question(name).pack() for name in ("db", "example.org", "me")]
    with world.stream() as client:
        client.sendall(
            b"".join(len(question).to_bytes(2, "big") + question for question in questions)
        )
        answers = {bytes(answer[:2]): answer for answer in world.heard_all(client, 3)}
    shown = [data(DNSRecord.parse(answers[bytes(question[:2])])) for question in questions]
    assert shown == [["172.18.0.3"], ["198.51.100.7"], ["172.18.0.2"]]


def test_a_stream_may_come_byte_by_byte(world: World) -> None:
    question = DNSRecord.question("db").pack()
    with world.stream() as client:
        for byte in len(question).to_bytes(2, "big") + question:
            client.send(bytes((byte,)))
            world.server.loop.turn(0)
        (answer,) = world.heard_all(client, 1)
    assert data(DNSRecord.parse(answer)) == ["172.18.0.3"]


def test_more_questions_than_may_wait_are_all_answered(world: World) -> None:
    world.upstream(answering("198.51.100.7"))
    questions = [DNSRecord.question(f"x{number}.org").pack() for number in range(100)]
    with world.stream() as client:
        client.sendall(
            b"".join(len(question).to_bytes(2, "big") + question for question in questions)
        )
        client.shutdown(socket.SHUT_WR)
        answers = world.heard_all(client, 100)
    assert sorted(answer[:2] for answer in answers) == sorted(
        question[:2] for question in questions
    )


def test_a_stream_of_something_else_is_closed(world: World) -> None:
    with world.stream() as client:
        client.sendall(b"\0\x05hello")
        world.turn_until(lambda: _is_closed(client))


def _is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_silent_stream_is_closed(world: World) -> None:
    with world.stream() as client:
        world.turn_until(lambda: len(world.server._streams) == 1)
        world.let_pass(11)
        world.turn_until(lambda: _is_closed(client))


def test_there_are_so_many_streams_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MOST_STREAMS", 2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(world.stream()) for _ in range(3)]
        world.turn_until(lambda: _is_closed(clients[2]))
        assert not any(map(_is_closed, clients[:2]))


def test_it_ends_without_queries(world: World) -> None:
    world.server.run(idle=0)


def test_after_a_refusal_the_next_server_is_asked(world: World) -> None:
    world.upstream(failing("REFUSED"))
    world.upstream(failing("SERVFAIL"))
    world.upstream(answering("198.51.100.7"))
    assert data(world.ask("example.org")) == ["198.51.100.7"]
    assert [len(upstream.asked) for upstream in world.upstreams] == [1, 1, 1]


def test_the_server_that_answered_last_is_asked_first(world: World) -> None:
    world.upstream(failing("REFUSED"))
    world.upstream(answering("198.51.100.7"))
    world.ask("example.org")
    world.ask("example.net")
    assert [len(upstream.asked) for upstream in world.upstreams] == [1, 2]


def test_a_name_that_does_not_exist_is_an_answer(world: World) -> None:
    world.upstream(failing("NXDOMAIN"))
    never = world.upstream(answering("198.51.100.7"))
    assert world.ask("example.org").header.rcode == RCODE.NXDOMAIN
    assert never.asked == []


def test_where_no_server_helps_the_best_answer_is_passed_on(world: World) -> None:
    world.upstream(failing("REFUSED"))
    assert world.ask("example.org").header.rcode == RCODE.REFUSED


def test_a_closed_port_is_passed_over_at_once(world: World) -> None:
    world.servers.append(Server("127.0.0.1", port=1))
    world.upstream(answering("198.51.100.7"))
    assert data(world.ask("example.org")) == ["198.51.100.7"]


@pytest.fixture
def silent(world: World) -> Upstream:
    """A server that does not answer; while it does not, the time passes that it is waited for."""

    def answers(_record: DNSRecord, _packet: bytes) -> bytes:
        world.let_pass(SERVER_TIMEOUT)
        return b""

    return world.upstream(answers)


def test_a_silent_server_is_asked_again_and_then_given_up(world: World, silent: Upstream) -> None:
    assert world.ask("example.org").header.rcode == RCODE.SERVFAIL
    assert len(silent.asked) == 2


@pytest.mark.usefixtures("silent")
def test_after_a_silent_server_the_next_one_is_asked(world: World) -> None:
    world.upstream(answering("198.51.100.7"))
    assert data(world.ask("example.org")) == ["198.51.100.7"]


def test_without_servers_there_is_an_answer_all_the_same(world: World) -> None:
    assert world.ask("example.org").header.rcode == RCODE.SERVFAIL


def test_a_truncated_answer_is_fetched_over_tcp(world: World) -> None:
    def answers(record: DNSRecord, _packet: bytes) -> bytes:
        reply = record.reply(aa=0)
        if upstream.asked[-1][0] == "udp":
            reply.header.set_tc(1)
        else:
            reply.add_answer(*(RR("example.org", QTYPE.TXT, rdata=TXT("x" * 99)) for _ in "12"))
        return bytes(reply.pack())

    upstream = world.upstream(answers)
    answer = world.ask("example.org", "TXT")
    assert (len(answer.rr), answer.header.tc) == (2, 0)
    assert [protocol for protocol, _ in upstream.asked] == ["udp", "tcp"]


def test_what_is_too_large_for_the_client_is_truncated_there_and_whole_over_tcp(
    world: World,
) -> None:
    def answers(record: DNSRecord, _packet: bytes) -> bytes:
        reply = record.reply(aa=0)
        if upstream.asked[-1][0] == "udp":
            reply.header.set_tc(1)
        else:
            reply.add_answer(*(RR("example.org", QTYPE.TXT, rdata=TXT("x" * 99)) for _ in range(9)))
        return bytes(reply.pack())

    upstream = world.upstream(answers)
    assert world.ask("example.org", "TXT").header.tc == 1
    question = DNSRecord.question("example.org", "TXT").pack()
    with world.stream() as client:
        client.sendall(len(question).to_bytes(2, "big") + question)
        (answer,) = world.heard_all(client, 1)
    assert len(DNSRecord.parse(answer).rr) == 9


def test_extensions_pass_in_both_directions(world: World) -> None:
    def answers(record: DNSRecord, _packet: bytes) -> bytes:
        assert record.ar[0].edns_len == 1232
        reply = record.reply(aa=0)
        reply.add_ar(EDNS0(udp_len=4000, flags="do"))
        return bytes(reply.pack())

    world.upstream(answers)
    question = DNSRecord.question("example.org")
    question.add_ar(EDNS0(udp_len=1232, flags="do"))
    answer = DNSRecord.parse(world.send(question.pack()))
    assert (answer.ar[0].edns_len, answer.ar[0].edns_do) == (4000, 1)


def test_at_most_so_many_questions_are_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "_MOST_QUESTIONS", 5)
    upstream = world.upstream(lambda *_: b"")
    with world.client() as client:
        for number in range(20):
            client.send(DNSRecord.question(f"x{number}.org").pack())
        refused = [DNSRecord.parse(world.heard(client)) for _ in range(15)]
        world.turn_until(lambda: len(upstream.asked) == 5)
    assert {answer.header.rcode for answer in refused} == {RCODE.SERVFAIL}
    assert data(world.ask("db")) == ["172.18.0.3"]


# ------------------------------------------------------------------ security


def test_row_39_on_internal_networks_nothing_is_asked_outside(world: World) -> None:
    upstream = world.upstream(answering("198.51.100.7"))
    inside = NetworkEndpoint(name="me", ipv4="172.18.0.2", network="net", internal=True)
    endpoints.write(world.networks, "n1", ME, inside)
    for name, kind in (("a.org", "A"), ("a.org", "TXT"), ("1.2.0.192.in-addr.arpa", "PTR")):
        assert world.ask(name, kind).header.rcode == RCODE.SERVFAIL
    assert data(world.ask("db")) == ["172.18.0.3"]
    assert upstream.asked == []


def test_row_39_moved_to_an_internal_network_it_stops_asking(world: World) -> None:
    upstream = world.upstream(answering("198.51.100.7"))
    assert data(world.ask("example.org")) == ["198.51.100.7"]
    inside = NetworkEndpoint(name="me", ipv4="172.19.0.2", network="closed", internal=True)
    endpoints.write(world.networks, "n2", ME, inside)
    endpoints.remove(world.networks, "n1", ME)
    assert world.ask("example.org").header.rcode == RCODE.SERVFAIL
    assert len(upstream.asked) == 1


def test_row_39_spoofed_answers_are_refused(world: World) -> None:
    forged = answering("192.0.2.66")

    def answers(record: DNSRecord, packet: bytes) -> bytes:
        wrong_id = bytearray(forged(record, packet))
        wrong_id[1] ^= 1
        other = DNSRecord.question("elsewhere.org")
        other.header.id = record.header.id
        for wrong in (bytes(wrong_id), forged(other, packet), packet, b"", b"\0"):
            upstream.datagrams.sendto(wrong, upstream.clients[-1])
        return answering("198.51.100.7")(record, packet)

    upstream = world.upstream(answers)
    assert data(world.ask("example.org")) == ["198.51.100.7"]


def test_row_39_answers_of_others_than_the_server_are_refused(world: World) -> None:
    def answers(record: DNSRecord, packet: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(HERE)
            stranger.sendto(answering("192.0.2.66")(record, packet), upstream.clients[-1])
        return answering("198.51.100.7")(record, packet)

    upstream = world.upstream(answers)
    assert data(world.ask("example.org")) == ["198.51.100.7"]


def test_row_39_ids_and_ports_cannot_be_foreseen(world: World) -> None:
    upstream = world.upstream(answering("198.51.100.7"))
    packet = bytearray(DNSRecord.question("example.org").pack())
    for number in range(40):
        packet[:2] = number.to_bytes(2, "big")
        assert world.send(bytes(packet))[:2] == packet[:2]
    ids = [int.from_bytes(packet[:2], "big") for _, packet in upstream.asked]
    ports = [port for _, port in upstream.clients]
    for values in (ids, ports):
        steps = {later - earlier for earlier, later in itertools.pairwise(values)}
        assert len(set(values)) > 30
        assert len(steps) > 30


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=60), max_size=6), st.binary(max_size=200))
def test_row_39_no_packet_ends_the_server(
    world: World, packets: list[bytes], stream: bytes
) -> None:
    with world.client() as client, world.stream() as other:
        for packet in packets:
            client.send(packet)
            client.send(bytes(4) + b"\0\1" + bytes(6) + packet)
        other.sendall(stream)
        world.server.loop.turn(0)
    assert data(world.ask("db")) == ["172.18.0.3"]
