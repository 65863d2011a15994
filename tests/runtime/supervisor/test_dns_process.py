"""The watch over a resolver: forked at a question, gone with the container."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import DNSRecord

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.network import endpoints
from dockmagic_runtime.network.dns.operations import ServeDns
from dockmagic_runtime.network.endpoints import NetworkEndpoint
from dockmagic_runtime.sandbox.operation import to_wire
from dockmagic_runtime.supervisor.dns_process import PROCESS_NAME, DnsProcess

pytestmark = pytest.mark.root  # it enters a network namespace

ME = "a" * 64


class Watch:
    """A loop with a resolver's sockets, in this process; the resolver is a child of it."""

    def __init__(self, networks: Path) -> None:
        self.loop = EventLoop()
        self.is_closed = False
        self.older = children()
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.datagrams.bind(("127.0.0.1", 0))
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.address = self.datagrams.getsockname()
        self.pidfd = os.pidfd_open(os.getpid())
        wire = to_wire((ServeDns(container_id=ME, networks=str(networks)),))[0]
        sockets = (os.dup(self.datagrams.fileno()), listener.detach())
        self.names = DnsProcess(Kernel(), self.loop, wire, self.pidfd, sockets)

    @property
    def children(self) -> list[int]:
        """The processes that came since the watch began: other tests may have theirs."""
        return [child for child in children() if child not in self.older]

    def ask(self, name: str) -> list[str]:
        """The addresses, with the loop running until there is an answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(self.address)
            client.send(DNSRecord.question(name).pack())
            self.loop.watch(client.fileno(), select.EPOLLIN, lambda _events: self.loop.stop())
            self.loop.run()
            self.loop.forget(client.fileno())
            return [str(child.rdata) for child in DNSRecord.parse(client.recv(9999)).rr]

    def close(self) -> None:
        self.is_closed = True
        self.names.close()
        self.loop.close()
        self.datagrams.close()
        os.close(self.pidfd)


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as stream:
        return [int(child) for child in stream.read().split()]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    endpoints.write(
        str(tmp_path), "n1", ME, NetworkEndpoint(name="me", ipv4="172.18.0.2", network="n")
    )
    watch = Watch(tmp_path)
    yield watch
    if not watch.is_closed:
        watch.close()
    assert watch.children == []


def test_nothing_is_forked_before_a_question_comes(watch: Watch) -> None:
    assert watch.children == []


def test_the_first_question_is_answered_and_the_next_by_the_same_process(watch: Watch) -> None:
    assert watch.ask("me") == ["172.18.0.2"]
    (resolver,) = watch.children
    assert watch.ask("me") == ["172.18.0.2"]
    assert watch.children == [resolver]
    assert Path(f"/proc/{resolver}/comm").read_bytes().strip() == PROCESS_NAME


def test_a_killed_resolver_is_followed_by_another_at_the_next_question(watch: Watch) -> None:
    watch.ask("me")
    for _ in range(3):
        (resolver,) = watch.children
        os.kill(resolver, signal.SIGKILL)
        assert watch.ask("me") == ["172.18.0.2"]
        assert watch.children != [resolver]


def test_the_resolver_keeps_only_what_it_needs(watch: Watch, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w"):
        watch.ask("me")
        (resolver,) = watch.children
        fds = f"/proc/{resolver}/fd"
        held = [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]
    assert str(tmp_path / "lock") not in held


def test_closing_ends_the_resolver(watch: Watch) -> None:
    watch.ask("me")
    (resolver,) = watch.children
    watch.close()
    assert not os.path.exists(f"/proc/{resolver}")
