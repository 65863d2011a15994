"""A host of our own for every test: a network namespace that the test process enters and leaves.

In it there is an `eth0` towards a second namespace, the neighbour. Nothing that a test does can
reach the machine's own interfaces and tables, and all of it is gone with the last descriptor.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.linux.constants import CLONE_NEWNET, PR_SET_PDEATHSIG
from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.linux.netlink import Netlink, open_for_others
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.network import rtnl
from dockmagic_runtime.network.endpoint_operations import (
    AwaitCarrier,
    ConfigureInside,
    CreateVeth,
    await_running,
)
from dockmagic_runtime.network.operations import (
    NETFILTER,
    SERVERS,
    EnsureBridge,
    EnsureTable,
    HoldPorts,
    PublishPorts,
)
from dockmagic_runtime.sandbox.operation import Context, Operation
from dockmagic_runtime.store import locks

BRIDGE, TABLE, SUBNET, GATEWAY = "dmtest0", "dockmagic-test", "172.17.0.0/16", "172.17.0.1"
HOST, NEIGHBOUR = "198.51.100.1", "198.51.100.2"


def own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def new_namespace() -> Iterator[int]:
    """Be in a new network namespace for the length of the block; its descriptor."""
    before = own_namespace()
    Kernel().unshare(CLONE_NEWNET)
    inside = own_namespace()
    try:
        yield inside
    finally:
        Kernel().setns(before, CLONE_NEWNET)
        os.close(before)
        os.close(inside)


class Loop(EventLoop):
    """The event loop of the proxies, run by a test while it waits for something."""

    def run_until_end(self, reader: int) -> bytes:
        """Everything from a pipe up to its end; meanwhile the proxies are served."""
        chunks: list[bytes] = []
        self.watch(reader, READ, lambda _events: chunks.append(os.read(reader, 65536)))
        while not chunks or chunks[-1]:
            self.turn()
        self.forget(reader)
        return b"".join(chunks)

    def during(self, action: Callable[[], object]) -> object:
        """What the action returns, or the OSError that it raises; meanwhile the proxies serve."""
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
        self.run_until_end(reader)
        acting.join()
        os.close(reader)
        (outcome,) = result
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def has_events(self, longest: float = 0) -> bool:
        """Whether a watched descriptor is ready within that many seconds."""
        return bool(self._epoll.poll(longest))

    def turn(self, longest: float | None = 10) -> None:
        assert longest == 0 or self.has_events(10), "nothing happened for ten seconds"
        super().turn(longest)


def sctp_socket(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """One-to-one style: an association for each socket."""
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


def in_namespace(
    namespace: int, function: Callable[..., Any], *arguments: Any, loop: Loop | None = None
) -> Any:
    """The function's result, from a child that runs it in that namespace."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Kernel().setns(namespace, CLONE_NEWNET)
            result: Any = function(*arguments)
        except BaseException as error:
            result = error
        with open(writer, "wb") as stream:
            pickle.dump(result, stream)
        os._exit(0)
    os.close(writer)
    result = pickle.loads((loop or Loop()).run_until_end(reader))
    os.close(reader)
    os.waitpid(pid, 0)
    if isinstance(result, BaseException):
        raise result
    return result


def serve_in(namespace: int, serve: Callable[[socket.socket], None], server: socket.socket) -> int:
    """A child that serves for ever with a socket that was made in that namespace; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            Kernel().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            Kernel().setns(namespace, CLONE_NEWNET)
            os.closerange(3, server.fileno())  # the ports of the others are not its to hold
            os.closerange(server.fileno() + 1, 1024)
            serve(server)
        finally:
            os._exit(1)
    server.close()
    return pid


@contextlib.contextmanager
def entered(namespace: int) -> Iterator[None]:
    before = own_namespace()
    Kernel().setns(namespace, CLONE_NEWNET)
    try:
        yield
    finally:
        Kernel().setns(before, CLONE_NEWNET)
        os.close(before)


def echo_streams(listener: socket.socket) -> None:
    """To each connection: a line with the peer's address, then everything back, then the end."""
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.sendall(f"{peer[0]}\n".encode())
            while data := connection.recv(65536):
                connection.sendall(data)


def echo_datagrams(port: socket.socket) -> None:
    while True:
        data, peer = port.recvfrom(65536)
        port.sendto(f"{peer[0]}\n".encode() + data, peer)


def ask(address: str, port: int, data: bytes = b"hello", source: str = "") -> tuple[str, bytes]:
    """What the echo server sees as our address, and what it sends back until its end."""
    bound = (source, 0) if source else None
    with socket.create_connection((address, port), timeout=5, source_address=bound) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            peer = stream.readline().decode().strip()
            return peer, stream.read()


def ask_datagram(address: str, port: int, data: bytes = b"hello") -> tuple[str, bytes, str]:
    """As `ask`, and the address that the answer came from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(data, (address, port))
        answer, sender = asking.recvfrom(65536)
    peer, _, rest = answer.partition(b"\n")
    return peer.decode(), rest, sender[0]


def is_unreachable(address: str, port: int) -> bool:
    """Whether a connection gets no answer at all. To be run in a namespace."""
    with socket.socket() as probe:
        probe.settimeout(0.3)
        try:
            probe.connect((address, port))
        except TimeoutError:
            return True
    return False


@dataclass
class ContainerInfo:
    """A container as far as the network sees one: a namespace that the operations plugged in."""

    id: str
    address: str
    loop: Loop
    context: Context
    undo: contextlib.ExitStack
    servers: list[int] = field(default_factory=list)

    @property
    def namespace(self) -> int:
        return self.context.netns_fd

    def listen(self, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        """Let the echo server run inside on that port."""
        with entered(self.namespace):
            listening = socket.socket(socket.AF_INET, kind)
            listening.bind(("", port))
            if kind == socket.SOCK_STREAM:
                listening.listen()
        serve = echo_streams if kind == socket.SOCK_STREAM else echo_datagrams
        self.servers.append(serve_in(self.namespace, serve, listening))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return in_namespace(self.namespace, function, *arguments, loop=self.loop)


@dataclass
class Host:
    """The test's own host: `namespace` it, `neighbour` the one behind its eth0."""

    namespace: int
    neighbour: int
    run: Path
    loop: Loop
    undo: contextlib.ExitStack

    def container(
        self, address: str, *ports: tuple[str, int, int, str], name: str = ""
    ) -> ContainerInfo:
        """Carry out a whole plan, as the supervisor does. The interface is `veth` and `name`."""
        container_id = name or address.rpartition(".")[2]
        container = ContainerInfo(
            container_id, address, self.loop, Context(Kernel()), contextlib.ExitStack()
        )
        self.undo.callback(self.stop, container)
        with new_namespace() as inside:
            container.context.netns_fd = os.dup(inside)
            container.context.inside_netlink = open_for_others()
        container.undo.callback(os.close, container.context.netns_fd)
        container.undo.callback(os.close, container.context.inside_netlink)
        self._hold_lock(container)
        for operation in operations(container_id, address, ports, str(self.run)):
            operation.execute(container.context)
            container.undo.callback(operation.undo, container.context)
        for start in SERVERS.get(container.context.slots) or ():
            start(self.loop)
        return container

    def _hold_lock(self, container: ContainerInfo) -> None:
        directory = self.run / container.id
        directory.mkdir()
        lock = locks.acquire(f"{directory}/lock")
        assert lock is not None
        container.undo.callback(directory.rmdir)
        container.undo.callback(os.close, lock)
        container.undo.callback(os.unlink, f"{directory}/lock")

    def stop(self, container: ContainerInfo) -> None:
        """End it: its processes, then the undo of every operation."""
        while container.servers:
            pid = container.servers.pop()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        container.undo.close()
        if netlink := NETFILTER.take(container.context.slots):
            netlink.close()

    def elsewhere(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, in the neighbour's namespace."""
        return in_namespace(self.neighbour, function, *arguments, loop=self.loop)

    def here(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, in this host's namespace, from a process of its own."""
        return in_namespace(self.namespace, function, *arguments, loop=self.loop)


def operations(
    container_id: str, address: str, ports: tuple[tuple[str, int, int, str], ...], run: str
) -> tuple[Operation, ...]:
    """The plan with the names of these tests."""
    published: tuple[Operation, ...] = (
        PublishPorts(
            container_id=container_id,
            address=address,
            table=TABLE,
            run=run,
        ),
    )
    return (
        EnsureBridge(bridge=BRIDGE, gateway=GATEWAY, prefix_length=16),
        EnsureTable(table=TABLE, run=run, networks=f"{run}/networks", bridge=BRIDGE, subnet=SUBNET),
        *([HoldPorts(ports=ports)] if ports else []),
        CreateVeth(
            name=f"veth{container_id}",
            bridge=BRIDGE,
            address=address,
            owner=container_id,
        ),
        ConfigureInside(address=address, prefix_length=16, gateway=GATEWAY),
        AwaitCarrier(veth=f"veth{container_id}", bridge=BRIDGE),
        *(published if ports else ()),
    )


def await_end_of(link: str) -> None:
    """Until the kernel has removed the interface: a namespace ends some time after its last fd."""
    multicast_of_links = 1
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, multicast_of_links))
        events.settimeout(10)
        while any(name == link for _, name in socket.if_nameindex()):
            events.recv(65536)


def nft(*arguments: str) -> str:
    """What the `nft` program prints in the test's host."""
    done = subprocess.run(["nft", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def nft_json(*arguments: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(nft("-j", *arguments))["nftables"]
    return listed[1:]  # the first says the format's version


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def bare_host() -> Iterator[int]:
    """A namespace with nothing but its loopback, up; the test runs in it."""
    with new_namespace() as namespace:
        with Netlink() as netlink:
            netlink.transact(rtnl.set_up(rtnl.LOOPBACK))
        yield namespace


@pytest.fixture
def host(bare_host: int, tmp_path: Path) -> Iterator[Host]:
    """A host with an eth0 and a neighbour behind it; the test runs in it."""
    with new_namespace() as inside:
        neighbour = os.dup(inside)
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", _name(neighbour))
    ip("address", "add", f"{HOST}/24", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    in_namespace(neighbour, ip, "address", "add", f"{NEIGHBOUR}/24", "dev", "eth0")
    in_namespace(neighbour, ip, "link", "set", "eth0", "up")
    with Netlink() as netlink:
        await_running(netlink, "eth0")
    run = tmp_path / "run"
    run.mkdir()
    loop = Loop()
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, neighbour)
        undo.callback(loop.close)
        yield Host(bare_host, neighbour, run, loop, undo)


def _name(namespace: int) -> str:
    return f"/proc/{os.getpid()}/fd/{namespace}"
