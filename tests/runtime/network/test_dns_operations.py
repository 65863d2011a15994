"""The DNS server's address in a container: port 53, which it leaves to other programs."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dockmagic_runtime.linux.netlink import Netlink
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.network import rtnl
from dockmagic_runtime.network.dns import operations
from dockmagic_runtime.network.dns.operations import SOCKETS, ServeDns
from dockmagic_runtime.sandbox.operation import Context

from .conftest import new_namespace

pytestmark = [pytest.mark.root, pytest.mark.network]

PLACE = (operations.ADDRESS, operations.PORT)
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def context() -> Iterator[Context]:
    """As in a start; the test itself is in the container's namespace."""
    with new_namespace() as inside:
        with Netlink() as netlink:
            netlink.transact(rtnl.set_up(rtnl.LOOPBACK))
        yield Context(Kernel(), netns_fd=inside)


OPERATION = ServeDns(container_id="a" * 64, networks="/nowhere")


@pytest.fixture
def pair(context: Context) -> Iterator[Pair]:
    OPERATION.execute(context)
    yield SOCKETS.require(context.slots)
    OPERATION.undo(context)
    assert SOCKETS not in context.slots


def udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@pytest.mark.parametrize("connected", [True, False])
def test_a_question_over_udp_arrives_and_its_answer_comes_from_port_53(
    pair: Pair, connected: bool
) -> None:
    with udp() as client:
        if connected:
            client.connect(PLACE)
        client.sendto(b"question", PLACE)
        question, sender = pair[0].recvfrom(99)
        pair[0].sendto(b"answer to " + question, sender)
        assert client.recvfrom(99) == (b"answer to question", PLACE)


def test_a_question_over_tcp_arrives(pair: Pair) -> None:
    with socket.create_connection(PLACE) as client:
        accepted, _ = pair[1].accept()
        with accepted:
            accepted.sendall(b"hello")
        assert client.recv(99) == b"hello"


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.11", "127.0.0.1"])
def test_a_name_server_in_the_container_can_have_port_53(pair: Pair, address: str) -> None:
    with udp() as theirs, socket.socket() as listening, udp() as client:
        theirs.bind((address, 53))
        listening.bind((address, 53))
        listening.listen()
        client.sendto(b"to the server", PLACE)
        assert pair[0].recv(99) == b"to the server"
        if address != "127.0.0.11":
            client.sendto(b"to theirs", ("127.0.0.1", 53))
            assert theirs.recv(99) == b"to theirs"


def test_nft_reads_the_rules_as_they_are_meant(pair: Pair) -> None:
    port = pair[0].getsockname()[1]
    assert pair[1].getsockname() == (operations.ADDRESS, port)
    listed = subprocess.run(
        ["nft", "-n", "list", "ruleset"], capture_output=True, text=True, check=True
    ).stdout
    for protocol in ("udp", "tcp"):
        rule = f"ip daddr 127.0.0.11 {protocol} dport 53 dnat to 127.0.0.11:{port}"
        assert rule in listed


def test_without_address_translation_it_listens_on_port_53_itself(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(2, "no such file")

    monkeypatch.setattr(Netlink, "transact_batch", refuse)
    OPERATION.execute(context)
    assert [each.getsockname() for each in SOCKETS.require(context.slots)] == [PLACE, PLACE]
    OPERATION.undo(context)


def test_other_errors_are_raised_and_leave_nothing(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(12, "no memory")

    monkeypatch.setattr(Netlink, "transact_batch", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="no memory"):
        OPERATION.execute(context)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert SOCKETS not in context.slots


def test_it_says_what_it_does() -> None:
    assert OPERATION.describe() == (
        "let a DNS server inside answer on 127.0.0.11:53 for the networks' names"
    )
