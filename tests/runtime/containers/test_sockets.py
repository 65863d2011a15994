"""The kernel's table of sockets, and the program that listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.trace import sockets

LINE = (
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000 "
    "    0        0 4711 1 0000000000000000 100 0 0 10 0\n"
)


def test_a_line_of_the_kernels_list() -> None:
    entry = sockets.parse(LINE)
    assert (entry.address, entry.port) == ("127.0.0.1", 8080)
    assert (entry.peer, entry.peer_port) == ("0.0.0.0", 0)
    assert (entry.state, entry.waiting, entry.inode) == ("0A", 2, "4711")
    assert entry.is_accepted


@given(st.ip_addresses(), st.integers(0, 65535))
@settings(max_examples=50, deadline=None)
def test_every_address_is_read_as_the_kernel_writes_it(address: object, port: int) -> None:
    packed = socket.inet_pton(
        socket.AF_INET6 if ":" in str(address) else socket.AF_INET, str(address)
    )
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    written = "".join(f"{int.from_bytes(word, 'little'):08X}" for word in words)
    line = LINE.replace("0100007F:1F90", f"{written}:{port:04X}")
    entry = sockets.parse(line)
    assert (
        socket.inet_pton(socket.AF_INET6 if len(packed) > 4 else socket.AF_INET, entry.address)
        == packed
    )
    assert entry.port == port


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    address, family = request.param
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        yield server


def test_a_connection_waits_until_it_is_accepted(listener: socket.socket) -> None:
    ipv6, (address, port, *_) = listener.family == socket.AF_INET6, listener.getsockname()

    def of_client() -> list[bool]:
        place = client.getsockname()[:2]
        here = sockets.table("tcp", ipv6=ipv6)
        return [entry.is_accepted for entry in here if (entry.peer, entry.peer_port) == place]

    with socket.create_connection((address, port)) as client:
        assert of_client() == [False]
        accepted, _ = listener.accept()
        assert of_client() == [True]
        accepted.close()


def test_a_datagram_waits_until_it_is_read() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as receiver,
        socket.socket(type=socket.SOCK_DGRAM) as far,
    ):
        receiver.bind(("127.0.0.1", 0))
        far.sendto(b"", receiver.getsockname())
        port = receiver.getsockname()[1]
        (entry,) = [each for each in sockets.table("udp", ipv6=False) if each.port == port]
        assert entry.waiting
        receiver.recv(1)
        (entry,) = [each for each in sockets.table("udp", ipv6=False) if each.port == port]
        assert not entry.waiting


def test_a_process_that_has_ended_has_no_sockets() -> None:
    assert list(sockets.table("tcp", ipv6=False, pid=2**22 + 1)) == []


@pytest.mark.parametrize(
    ("listening", "address", "expected"),
    [
        ("0.0.0.0", "172.17.0.2", True),
        ("::", "172.17.0.2", True),
        ("::ffff:172.17.0.2", "172.17.0.2", True),
        ("172.17.0.2", "172.17.0.2", True),
        ("127.0.0.1", "172.17.0.2", False),
        ("::1", "172.17.0.2", False),
        ("::", "fd00::2", True),
        ("0.0.0.0", "fd00::2", False),
    ],
)
def test_the_addresses_that_a_socket_accepts(listening: str, address: str, expected: bool) -> None:
    assert sockets.accepts(listening, address) is expected
