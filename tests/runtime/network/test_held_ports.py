"""Holding host ports by sockets."""

from __future__ import annotations

import contextlib
import errno
import socket

import pytest

from dockmagic_runtime.errors import Conflict, InvalidInput, Unsupported
from dockmagic_runtime.network.port_proxy import held_ports

EVERY = "tcp", "udp", pytest.param("sctp", marks=pytest.mark.sctp)


def port_of(held: list[held_ports.HeldPort]) -> int:
    (number,) = {port.host_port for port in held}
    return number


@pytest.mark.parametrize("protocol", EVERY)
def test_a_port_is_held_in_both_families(protocol: str) -> None:
    held = held_ports.hold([("", 0, 80, protocol)])
    try:
        assert [port.host_ip for port in held] == ["0.0.0.0", "::"]
        assert {port.container_port for port in held} == {80}
        assert 32768 <= port_of(held) <= 60999
    finally:
        held_ports.release(held)


def test_a_port_that_is_kept_without_a_socket_is_refused_or_passed_over() -> None:
    wish = port_of(free := held_ports.hold([("", 0, 80, "tcp")]))
    held_ports.release(free)

    def is_kept(ip: str, port: int, protocol: str) -> bool:
        return (ip, port, protocol) == ("::", wish, "tcp")

    with pytest.raises(Conflict, match=f"Bind for :::{wish} failed: port is already allocated"):
        held_ports.hold([("", wish, 80, "tcp")], is_kept)
    for asked in ("", wish, 80, "udp"), ("0.0.0.0", wish, 80, "tcp"):
        held_ports.release(
            held_ports.hold([asked], is_kept)
        )  # nothing of the refused one is held any more
    held = held_ports.hold([("", wish, 80, "tcp", wish + 10)], is_kept)
    assert wish < port_of(held) <= wish + 10
    held_ports.release(held)


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_with_an_address_it_is_held_there_alone(ip: str, protocol: str) -> None:
    held = held_ports.hold([(ip, 0, 80, protocol)])
    try:
        assert [port.host_ip for port in held] == [ip]
        assert held[0].socket.getsockname()[0] == ip
    finally:
        held_ports.release(held)


@pytest.mark.parametrize("protocol", EVERY)
@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ("", "", "0.0.0.0"),
        ("127.0.0.1", "", "0.0.0.0"),
        ("", "127.0.0.1", "127.0.0.1"),
        ("::1", "", "::"),
        ("::1", "::1", "[::1]"),
    ],
)
def test_a_port_in_use_is_refused_in_dockers_words(
    first: str, second: str, named: str, protocol: str
) -> None:
    held = held_ports.hold([(first, 0, 80, protocol)])
    number = port_of(held)
    try:
        with pytest.raises(Conflict) as caught:
            held_ports.hold([(second, number, 81, protocol)])
        text = f"Bind for {named}:{number} failed: port is already allocated"
        assert caught.value.message == text
        assert caught.value.hint
    finally:
        held_ports.release(held)


def test_a_port_that_another_program_has_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        with pytest.raises(Conflict, match="port is already allocated"):
            held_ports.hold([("", number, 80, "tcp")])


def test_all_ports_are_held_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with socket.create_server(("127.0.0.1", 0)) as free:
            number = free.getsockname()[1]
        wishes = [("", number, 80, "tcp"), ("", taken.getsockname()[1], 81, "tcp")]
        with pytest.raises(Conflict):
            held_ports.hold(wishes)
        held_ports.release(held_ports.hold(wishes[:1]))


def test_tcp_and_udp_of_one_number_are_two_ports() -> None:
    held = held_ports.hold([("", 0, 53, "tcp")])
    try:
        held_ports.release(held_ports.hold([("", port_of(held), 53, "udp")]))
    finally:
        held_ports.release(held)


def test_a_protocol_without_ports_of_ours_is_refused() -> None:
    with pytest.raises(Unsupported, match="cannot publish a port of dccp"):
        held_ports.hold([("", 0, 80, "dccp")])


def test_sctp_where_the_kernel_has_none_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = socket.socket

    def without_sctp(family: int, kind: int, protocol: int = 0) -> socket.socket:
        if protocol == socket.IPPROTO_SCTP:
            raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")
        return original(family, kind, protocol)

    monkeypatch.setattr(socket, "socket", without_sctp)
    with pytest.raises(Unsupported, match="this kernel has no sctp") as caught:
        held_ports.hold([("", 0, 80, "tcp"), ("127.0.0.1", 0, 80, "sctp")])
    assert caught.value.hint == "load its module: modprobe sctp"


@pytest.mark.sctp
def test_a_held_port_of_sctp_takes_associations_one_by_one() -> None:
    held = held_ports.hold([("127.0.0.1", 0, 80, "sctp")])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
            client.connect(("127.0.0.1", port_of(held)))
            accepted, peer = held[0].socket.accept()
            with accepted:
                assert peer == client.getsockname()
                assert accepted.proto == socket.IPPROTO_SCTP
    finally:
        held_ports.release(held)


def test_of_a_range_the_first_free_port_is_held() -> None:
    first = _run_of_free_ports(3)
    held = [held_ports.hold([("127.0.0.1", first, 80, "tcp", first + 2)]) for _ in range(3)]
    try:
        assert [port_of(each) for each in held] == [first, first + 1, first + 2]
        with pytest.raises(Conflict, match=f"{first}-{first + 2} failed: port is already alloc"):
            held_ports.hold([("127.0.0.1", first, 80, "tcp", first + 2)])
    finally:
        for port in held:
            held_ports.release(port)


def _run_of_free_ports(count: int) -> int:
    for first in range(20000, 30000, count):
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


def test_a_foreign_address_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidInput, match="cannot assign requested address") as caught:
        held_ports.hold([("203.0.113.1", 0, 80, "tcp")])
    assert caught.value.hint == "203.0.113.1 is not an address of this host"


def test_a_free_port_is_looked_for_again_when_the_other_family_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[int] = []
    real = held_ports._bind_one

    def sometimes(ip: str, port: int, protocol: str, *, required: bool) -> socket.socket | None:
        if ip == "::" and len(refused) < 3:
            refused.append(port)
            raise Conflict(f"Bind for {ip}:{port} failed: port is already allocated")
        return real(ip, port, protocol, required=required)

    monkeypatch.setattr(held_ports, "_bind_one", sometimes)
    held = held_ports.hold([("", 0, 80, "tcp")])
    held_ports.release(held)
    assert len(refused) == 3
    assert len(held) == 2


@pytest.mark.sctp
def test_associations_that_go_on_do_not_keep_a_port() -> None:
    held = held_ports.hold([("127.0.0.1", 0, 80, "sctp")])
    number = port_of(held)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
        client.connect(("127.0.0.1", number))
        with held[0].socket.accept()[0] as accepted:
            held_ports.release(held)
            held_ports.release(held_ports.hold([("127.0.0.1", number, 80, "sctp")]))
            client.send(b"still here")
            assert accepted.recv(100) == b"still here"


def test_connections_of_the_past_do_not_keep_a_port() -> None:
    held = held_ports.hold([("127.0.0.1", 0, 80, "tcp")])
    number = port_of(held)
    client = socket.create_connection(("127.0.0.1", number))
    accepted, _ = held[0].socket.accept()
    accepted.close()  # we end it first, so it is our side that stays in TIME_WAIT
    assert client.recv(1) == b""
    client.close()
    held_ports.release(held)
    held_ports.release(held_ports.hold([("127.0.0.1", number, 80, "tcp")]))


def test_held_sockets_are_not_inherited() -> None:
    held = held_ports.hold([("", 0, 80, "tcp"), ("", 0, 80, "udp")])
    try:
        assert not any(port.socket.get_inheritable() for port in held)
    finally:
        held_ports.release(held)
