"""/proc/net/tcp and its like: addresses, what waits, and who is found by whom."""

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
    found = sockets.parse(LINE)
    assert (found.address, found.port) == ("127.0.0.1", 8080)
    assert (found.peer, found.peer_port) == ("0.0.0.0", 0)
    assert (found.state, found.waiting, found.inode) == ("0A", 2, "4711")
    assert found.is_accepted


@given(st.ip_addresses(), st.integers(0, 65535))
@settings(max_examples=50, deadline=None)
def test_every_address_is_read_as_the_kernel_writes_it(address: object, port: int) -> None:
    packed = socket.inet_pton(
        socket.AF_INET6 if ":" in str(address) else socket.AF_INET, str(address)
    )
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    written = "".join(f"{int.from_bytes(word, 'little'):08X}" for word in words)
    line = LINE.replace("0100007F:1F90", f"{written}:{port:04X}")
    found = sockets.parse(line)
    assert (
        socket.inet_pton(socket.AF_INET6 if len(packed) > 4 else socket.AF_INET, found.address)
        == packed
    )
    assert found.port == port


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    address, family = request.param
    with socket.socket(family) as one:
        one.bind((address, 0))
        one.listen()
        yield one


def test_a_connection_waits_until_somebody_accepts_it(listener: socket.socket) -> None:
    ipv6, (address, port, *_) = listener.family == socket.AF_INET6, listener.getsockname()

    def of_client() -> list[bool]:
        place = client.getsockname()[:2]
        here = sockets.table("tcp", ipv6=ipv6)
        return [one.is_accepted for one in here if (one.peer, one.peer_port) == place]

    with socket.create_connection((address, port)) as client:
        assert of_client() == [False]
        accepted, _ = listener.accept()
        assert of_client() == [True]
        accepted.close()


def test_a_datagram_waits_until_somebody_reads_it() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as far:
        one.bind(("127.0.0.1", 0))
        far.sendto(b"", one.getsockname())
        port = one.getsockname()[1]
        (found,) = [each for each in sockets.table("udp", ipv6=False) if each.port == port]
        assert found.waiting
        one.recv(1)
        (found,) = [each for each in sockets.table("udp", ipv6=False) if each.port == port]
        assert not found.waiting


def test_who_has_ended_has_no_sockets() -> None:
    assert list(sockets.table("tcp", ipv6=False, pid=2**22 + 1)) == []


@pytest.mark.parametrize(
    ("listening", "address", "found"),
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
def test_who_is_found_under_which_address(listening: str, address: str, found: bool) -> None:
    assert sockets.accepts(listening, address) is found
