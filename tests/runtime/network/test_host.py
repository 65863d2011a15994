"""The host's network, read and watched through pyroute2, in a network namespace of the test."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from dockmagic_runtime.model.host_network import (
    HostAddress,
    HostLink,
    HostNetwork,
    HostObject,
    HostRoute,
    Neighbour,
    NetworkChange,
)
from dockmagic_runtime.network.host import flows, library, snapshot
from dockmagic_runtime.network.host.watch import HostWatch

from .conftest import ip

pytestmark = [pytest.mark.root, pytest.mark.network]

BRIDGE = "dmtest0"


def make_bridge() -> None:
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("address", "add", "10.9.0.1/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


def make_port(name: str = "vethtest1") -> None:
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    ip("link", "set", name, "master", BRIDGE, "up", "alias", "owner")
    ip("link", "set", f"{name}p", "up")


# reading ----------------------------------------------------------------------------------------


def test_links_have_their_kind_bridge_and_alias(bare_host: int) -> None:
    make_bridge()
    make_port()
    network = snapshot.read()
    loopback, bridge, port = (network.link(name) for name in ("lo", BRIDGE, "vethtest1"))
    assert loopback is not None
    assert bridge is not None
    assert port is not None
    assert (loopback.index, loopback.kind, loopback.is_up) == (1, "", True)
    assert (bridge.kind, bridge.is_up, bridge.bridge) == ("bridge", True, "")
    assert (port.kind, port.bridge, port.alias) == ("veth", BRIDGE, "owner")
    assert port.has_carrier
    assert len(port.mac) == 17
    assert network.link("missing") is None


def test_addresses_routes_and_neighbours_are_read(bare_host: int) -> None:
    make_bridge()
    make_port()
    ip("route", "add", "default", "via", "10.9.0.254", "metric", "5")
    ip("route", "add", "blackhole", "10.10.0.0/16")
    ip("neighbour", "add", "10.9.0.2", "lladdr", "02:42:0a:09:00:02", "dev", BRIDGE)
    network = snapshot.read()
    assert HostAddress(interface=BRIDGE, address="10.9.0.1", prefix_length=24) in network.addresses
    assert set(network.routes) >= {
        HostRoute(destination="10.9.0.0/24", interface=BRIDGE, source="10.9.0.1"),
        HostRoute(destination="0.0.0.0/0", gateway="10.9.0.254", interface=BRIDGE, metric=5),
        HostRoute(destination="10.10.0.0/16"),
    }
    assert [route.gateway for route in network.routes if route.is_default] == ["10.9.0.254"]
    mac = "02:42:0a:09:00:02"
    neighbour = Neighbour(interface=BRIDGE, address="10.9.0.2", mac=mac, state="permanent")
    assert neighbour in network.neighbours


def test_a_route_with_several_next_hops_has_the_first(bare_host: int) -> None:
    make_bridge()
    make_port()
    hops = [word for last in (3, 4) for word in ("nexthop", "via", f"10.9.0.{last}")]
    ip("route", "add", "10.11.0.0/16", *hops)
    (route,) = (each for each in snapshot.read().routes if each.destination == "10.11.0.0/16")
    assert (route.gateway, route.interface) == ("10.9.0.3", BRIDGE)


def test_uplinks_are_neither_bridges_nor_loopback_nor_down(bare_host: int) -> None:
    make_bridge()
    for name, last in (("up0", 1), ("down0", 2)):
        ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
        ip("address", "add", f"192.0.2.{last}/24", "dev", name)
        ip("address", "add", f"2001:db8::{last}/64", "dev", name, "nodad")
    ip("link", "set", "up0", "up")
    network = snapshot.read()
    assert list(map(str, network.uplinks())) == ["192.0.2.1/24"]
    assert list(map(str, network.uplinks(ipv6=True))) == ["2001:db8::1/64"]


def test_the_network_can_be_read_while_an_event_loop_runs(bare_host: int) -> None:
    """As in a cell of a notebook, where the main thread runs one."""

    async def cell() -> HostNetwork:
        return snapshot.read()

    assert asyncio.run(cell()).link("lo") is not None


def test_errors_of_the_kernel_are_os_errors() -> None:
    class KernelError(Exception):
        code = errno.EPERM

    def refuse() -> None:
        raise KernelError(errno.EPERM, "Operation not permitted")

    with pytest.raises(PermissionError, match="Operation not permitted"):
        library.call(refuse)
    with pytest.raises(ZeroDivisionError):
        library.call(lambda: 1 // 0)


def test_traffic_is_the_sum_of_both_directions(bare_host: int) -> None:
    make_bridge()
    make_port()
    before = snapshot.traffic("vethtest1")
    send_frame("vethtest1p")
    assert snapshot.traffic("vethtest1") > before
    assert snapshot.traffic("missing") == 0


def test_without_an_entry_of_connection_tracking_there_is_no_flow(bare_host: int) -> None:
    assert flows.find("tcp", ("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    assert flows.find("udp", ("::1", 1), ("::1", 2)) is None


def send_frame(interface: str) -> None:
    """One broadcast frame that leaves by the interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        sender.send(b"\xff" * 6 + bytes(60))


# watching ---------------------------------------------------------------------------------------


class Watched:
    """Changes of a watch, read until one of them is what a test waits for."""

    def __init__(self, watch: HostWatch) -> None:
        self.watch = watch
        self.limit = threading.Timer(20, watch.close)
        self.limit.start()
        self._changes = iter(watch)
        self.seen: list[NetworkChange] = []

    def until(self, action: str, is_wanted: Callable[[HostObject], bool]) -> NetworkChange:
        for change in self._changes:
            self.seen.append(change)
            if change.action == action and is_wanted(change.value):
                return change
        raise AssertionError(f"{action} was not reported within 20 s: {self.seen}")


@pytest.fixture
def watched(bare_host: int) -> Iterator[Watched]:
    with HostWatch(lambda: {BRIDGE}, interval=0.05) as watch:
        watched = Watched(watch)
        yield watched
        watched.limit.cancel()


def named(name: str) -> Callable[[HostObject], bool]:
    return lambda value: isinstance(value, HostLink) and value.name == name


def to(destination: str) -> Callable[[HostObject], bool]:
    return lambda value: isinstance(value, HostRoute) and value.destination == destination


def test_a_new_bridge_its_address_and_its_route_are_reported(watched: Watched) -> None:
    make_bridge()
    watched.until("added", named(BRIDGE))
    watched.until("added", to("10.9.0.0/24"))
    address = HostAddress(interface=BRIDGE, address="10.9.0.1", prefix_length=24)
    assert NetworkChange(action="added", value=address) in watched.seen
    link = watched.watch.now.link(BRIDGE)
    assert link is not None
    assert link.is_up


def test_a_port_is_reported_when_it_joins_the_bridge(watched: Watched) -> None:
    make_bridge()
    make_port()
    watched.until(
        "changed",
        lambda value: named("vethtest1")(value) and value.bridge == BRIDGE,  # type: ignore[union-attr]
    )


def test_with_an_interface_all_that_was_on_it_is_removed(watched: Watched) -> None:
    make_bridge()
    watched.until("added", to("10.9.0.0/24"))
    ip("link", "delete", BRIDGE)
    watched.until("removed", named(BRIDGE))
    removed = {type(change.value) for change in watched.seen if change.action == "removed"}
    assert removed >= {HostLink, HostAddress, HostRoute}
    assert all(route.interface != BRIDGE for route in watched.watch.now.routes)


def test_a_route_that_goes_without_a_message_is_reported(watched: Watched) -> None:
    """The kernel removes IPv4 routes of an interface that goes down, and reports none of it."""
    make_bridge()
    ip("route", "add", "10.12.0.0/16", "via", "10.9.0.7")
    watched.until("added", to("10.12.0.0/16"))
    ip("link", "set", BRIDGE, "down")
    watched.until("removed", to("10.12.0.0/16"))


def test_a_neighbour_is_reported(watched: Watched) -> None:
    make_bridge()
    ip("neighbour", "add", "10.9.0.2", "lladdr", "02:42:0a:09:00:02", "dev", BRIDGE)
    watched.until(
        "added", lambda value: isinstance(value, Neighbour) and value.state == "permanent"
    )


def test_counters_of_our_bridges_and_ports_are_reported(watched: Watched) -> None:
    make_bridge()
    make_port()
    watched.until("added", named("vethtest1p"))
    send_frame("vethtest1p")
    change = watched.until("counted", named("vethtest1"))
    assert isinstance(change.value, HostLink)
    assert change.value.rx_bytes > 0
    counted = {change.value.name for change in watched.seen if change.action == "counted"}  # type: ignore[union-attr]
    assert counted <= {BRIDGE, "vethtest1"}


def test_after_a_loss_of_messages_everything_is_compared(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bridge()  # its messages are lost
    real = watched.watch._socket

    class Full:
        """A socket that was overrun once."""

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

        def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
            while True:
                try:
                    real.recvfrom(size)
                except BlockingIOError:
                    break
            monkeypatch.setattr(watched.watch, "_socket", real)
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    monkeypatch.setattr(watched.watch, "_socket", Full())
    watched.until("added", named(BRIDGE))
    watched.until("added", to("10.9.0.0/24"))


def test_a_watch_of_one_bridge_leaves_the_others_out(bare_host: int) -> None:
    ip("link", "add", "other0", "type", "bridge")
    with HostWatch(lambda: {BRIDGE, "other0"}, only=BRIDGE, interval=0) as watch:
        watched = Watched(watch)
        ip("address", "add", "10.8.0.1/24", "dev", "other0")
        ip("link", "set", "other0", "up")
        make_bridge()
        watched.until("added", to("10.9.0.0/24"))
        assert [link.name for link in watch.now.links] == [BRIDGE]
        assert all(BRIDGE in repr(change.value) for change in watched.seen)
        watched.limit.cancel()


def open_descriptors() -> int:
    gc.collect()  # those of earlier tests
    return len(os.listdir("/proc/self/fd"))


def test_a_watch_is_closed_by_another_thread(bare_host: int) -> None:
    before = open_descriptors()
    watch = HostWatch(set, interval=0)
    timer = threading.Timer(0.05, watch.close)
    timer.start()
    assert list(watch) == []
    timer.join()
    watch.close()  # once more does no harm
    assert list(watch) == []
    assert open_descriptors() == before


def test_a_watch_that_is_not_iterated_keeps_nothing_open(bare_host: int) -> None:
    before = open_descriptors()
    with HostWatch(set):
        pass
    with HostWatch(set, interval=0.01) as watch:
        make_bridge()
        next(iter(watch))
    assert open_descriptors() == before


def test_pyroute2_is_not_imported_before_the_network_is_read() -> None:
    script = (
        "import sys; import dockmagic_runtime.network.networks, dockmagic_runtime.engine.engine;"
        " import dockmagic_runtime.network.host.watch, dockmagic_runtime.containers.trace.trace;"
        " assert 'pyroute2' not in sys.modules, 'imported'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
