"""SCTP through real namespaces: to published ports, and with more addresses than one."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import (
    HOST,
    NEIGHBOUR,
    TABLE,
    ContainerInfo,
    Host,
    entered,
    ip,
    nft,
    sctp_socket,
    serve_in,
)

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.sctp]

WEB = ("", 9999, 9000, "sctp")


def echo_messages(listener: socket.socket) -> None:
    """To each association: a message with the peer's address, then every message back."""
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.send(peer[0].encode())
            while message := connection.recv(65536):
                connection.send(message)


def listen(container: ContainerInfo, port: int = 9000) -> None:
    with entered(container.namespace):
        client = sctp_socket()
        client.bind(("", port))
        client.listen()
    container.servers.append(serve_in(container.namespace, echo_messages, client))


def web(
    host: Host, *wishes: tuple[str, int, int, str], address: str = "172.17.0.2"
) -> ContainerInfo:
    container = host.container(address, *(wishes or (WEB,)))
    listen(container)
    return container


def ask(address: str, port: int, source: str = "", source_port: int = 0) -> tuple[str, list[bytes]]:
    """What the server sees as our address, and what it sends back of two messages."""
    with sctp_socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as asking:
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


def test_from_a_neighbour_and_the_container_sees_its_address(host: Host) -> None:
    web(host)
    assert host.elsewhere(ask, HOST, 9999) == (NEIGHBOUR, ANSWERED)


def test_from_the_container_itself_and_another(host: Host) -> None:
    container = web(host)
    other = host.container("172.17.0.3")
    for each in (container, other):
        for address in (HOST, "172.17.0.1"):
            assert each.call(ask, address, 9999) == ("172.17.0.1", ANSWERED)
    assert other.call(ask, "172.17.0.2", 9000) == ("172.17.0.3", ANSWERED)


def test_published_on_one_address(host: Host) -> None:
    web(host, (HOST, 8080, 9000, "sctp"))
    assert host.elsewhere(ask, HOST, 8080) == (NEIGHBOUR, ANSWERED)
    assert host.here(ask, HOST, 8080) == ("172.17.0.1", ANSWERED)
    for address in ("172.17.0.1", "127.0.0.1"):
        with pytest.raises(ConnectionRefusedError):
            host.here(ask, address, 8080)


def test_row_40_published_on_loopback_is_for_this_host_alone(host: Host) -> None:
    container = web(host, ("127.0.0.1", 8080, 9000, "sctp"))
    assert host.here(ask, "127.0.0.1", 8080) == ("172.17.0.1", ANSWERED)
    for call in (host.elsewhere, container.call):
        with pytest.raises(ConnectionRefusedError):
            call(ask, HOST, 8080)


def test_by_the_proxy_while_the_rules_are_flushed(host: Host) -> None:
    web(host)
    nft("flush", "ruleset")
    assert host.elsewhere(ask, HOST, 9999) == ("172.17.0.1", ANSWERED)


def test_a_container_reaches_others_under_the_hosts_address(host: Host) -> None:
    container = host.container("172.17.0.2")
    with entered(host.neighbour):
        client = sctp_socket()
        client.bind(("", 7777))
        client.listen()
    container.servers.append(serve_in(host.neighbour, echo_messages, client))
    assert container.call(ask, NEIGHBOUR, 7777) == (HOST, ANSWERED)


def test_a_client_that_keeps_its_port_is_led_to_the_next_container(host: Host) -> None:
    """Of an association that was cut off, so that neither end could close it."""
    first = web(host)
    assert host.elsewhere(_ask_and_vanish, HOST, 9999) == NEIGHBOUR
    host.stop(first)
    web(host, address="172.17.0.9")
    assert host.elsewhere(ask, HOST, 9999, "", 5000) == (NEIGHBOUR, ANSWERED)


def _ask_and_vanish(address: str, port: int) -> str:
    with sctp_socket() as asking:
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
        client = host.undo.enter_context(sctp_socket())
    client.settimeout(10)
    host.loop.during(lambda: client.connect((address, 9999)))
    return client


def echoes(host: Host, client: socket.socket) -> bool:
    client.send(b"hello")
    while (message := host.loop.during(lambda: client.recv(100))) != b"hello":
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
    (packets,) = re.findall(r"packets (\d+) .*containers do not probe", listed)
    return int(packets)


def _remote_addresses() -> dict[str, str]:
    """All addresses that associations of this namespace have for their peers, and how they are."""
    rows = Path("/proc/net/sctp/remaddr").read_text().splitlines()[1:]
    return {row.split()[0]: row.split()[-1] for row in rows}


ACTIVE = "2"


def test_this_host_reaches_a_container_by_all_of_its_addresses(private: Host) -> None:
    container = web(private)
    container.call(_probe_often)
    client = associate(private, private.namespace, PRIVATE)
    everywhere = {PRIVATE, "172.17.0.1", "172.17.0.2"}  # this host's, and the proxy's to it
    until(private, lambda: _remote_addresses() == dict.fromkeys(everywhere | {HOST}, ACTIVE))
    assert echoes(private, client)


def test_a_neighbour_with_an_address_that_we_have_too_keeps_its_association(private: Host) -> None:
    """As one that has a Docker of its own: both ends have 172.17.0.1."""
    container = web(private)
    container.call(_probe_often)
    private.elsewhere(ip, "link", "add", "docker0", "type", "bridge")
    private.elsewhere(ip, "address", "add", "172.17.0.1/16", "dev", "docker0")
    client = associate(private, private.neighbour, PRIVATE)
    assert echoes(private, client)
    until(private, lambda: _probes_dropped() >= 3)
    assert container.call(_remote_addresses)["172.17.0.1"] != ACTIVE
    assert echoes(private, client)


def test_a_neighbour_with_several_addresses_keeps_its_association(private: Host) -> None:
    container = web(private)
    container.call(_probe_often)
    private.elsewhere(ip, "address", "add", "192.168.55.3/24", "dev", "eth0")
    client = associate(private, private.neighbour, PRIVATE)
    assert set(container.call(_remote_addresses)) >= {"192.168.55.2", "192.168.55.3"}
    until(private, lambda: container.call(_probes) >= 10)
    assert echoes(private, client)


def _probes() -> int:
    """Heartbeats and other control chunks that this namespace has sent."""
    rows = Path("/proc/net/sctp/snmp").read_text().splitlines()
    return int(dict(row.split() for row in rows)["SctpOutCtrlChunks"])


def test_a_container_with_several_addresses_keeps_its_association(private: Host) -> None:
    container = web(private)
    container.call(ip, "address", "add", "10.9.9.9/24", "dev", "eth0")
    container.call(_probe_often)
    for namespace in (private.namespace, private.neighbour):
        with associate(private, namespace, PRIVATE) as client:
            before = container.call(_probes)
            until(private, lambda before=before: container.call(_probes) >= before + 10)  # type: ignore[misc]
            assert echoes(private, client)
