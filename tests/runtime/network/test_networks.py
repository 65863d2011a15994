"""`Networks`, against the machine's own network: an area of its own leaves nothing on it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.linux.netlink import Netlink, open_for_others
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import ContainerSpec, PortMapping
from dockmagic_runtime.model.network import NetworkSpec, Pool
from dockmagic_runtime.network import bridge, rtnl
from dockmagic_runtime.network.etc import host_files
from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.network.operations import HELD, NETFILTER, PORTS
from dockmagic_runtime.network.plan import ContainerInfo
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.testing.fake_linux import FakeLinux

from .conftest import await_end_of, ip, new_namespace, nft

pytestmark = [pytest.mark.root, pytest.mark.network]

ONE, TWO = "1" * 64, "2" * 64


class Rooms:
    """An area with its database and networks; `start` and `stop` do what a supervisor does."""

    def __init__(self, data_root: DataRoot) -> None:
        self.data_root = data_root
        self.database = Database(data_root.database)
        self.networks = Networks(data_root, self.database)

    def start(self, container_id: str, *ports: PortMapping) -> contextlib.ExitStack:
        """Carry the plan out and settle; closing the stack ends the container."""
        connection = self.networks.connect(ContainerInfo(id=container_id), ports)
        undo = contextlib.ExitStack()
        context = Context(Kernel())
        with new_namespace() as inside:
            context.netns_fd = os.dup(inside)
            context.inside_netlink = open_for_others()
        undo.callback(lambda: NETFILTER.require(context.slots).close())
        self._hold_lock(container_id, undo)
        undo.callback(os.close, context.netns_fd)
        undo.callback(os.close, context.inside_netlink)
        for operation in connection.operations:
            operation.execute(context)
            undo.callback(operation.undo, context)
        self.networks.confirm(container_id)
        self.context = context
        self.endpoint = connection.endpoint
        return undo

    def _hold_lock(self, container_id: str, undo: contextlib.ExitStack) -> None:
        directory = self.data_root.container_run(container_id)
        directory.mkdir()
        lock = locks.acquire(f"{directory}/lock")
        assert lock is not None
        undo.callback(shutil.rmtree, directory)
        undo.callback(os.close, lock)

    def leases(self) -> set[str]:
        return {row[0] for row in self.database.rows("SELECT container_id FROM leases")}

    def close(self) -> None:
        self.networks.remove_all()
        self.networks.close()
        self.database.close()


@pytest.fixture
def rooms(data_root: DataRoot) -> Iterator[Rooms]:
    rooms = Rooms(data_root)
    yield rooms
    rooms.close()


def table(data_root: DataRoot) -> str:
    done = subprocess.run(
        ["nft", "list", "table", "ip", data_root.nft_table],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_nothing_is_touched_before_a_container_needs_it(rooms: Rooms) -> None:
    rooms.networks.repair()
    rooms.networks.sweep()
    assert table(rooms.data_root) == ""
    assert rooms.database.rows("SELECT * FROM networks") == []


def test_the_default_network_is_chosen_once_and_its_bridge_is_up(rooms: Rooms) -> None:
    network = rooms.networks.default()
    assert network.name == "bridge"
    assert network.bridge == rooms.data_root.bridge
    assert f"inet {network.gateway}/{network.prefix_length}" in ip(
        "address", "show", network.bridge
    )
    assert rooms.networks.default() == network
    assert Networks(rooms.data_root, rooms.database).default().subnet == network.subnet


def test_the_first_pool_is_for_the_default_network(bare_host: int, rooms: Rooms) -> None:
    network = rooms.networks.store.create(NetworkSpec(name="mine"))
    assert network.subnet == "172.18.0.0/16"
    assert rooms.networks.default().subnet == "172.17.0.0/16"


def test_a_vpn_that_takes_all_traffic_leaves_the_pools(bare_host: int, rooms: Rooms) -> None:
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        ip("route", "add", half, "dev", "lo")
    assert rooms.networks.default().subnet == "172.17.0.0/16"
    chosen = NetworkSpec(name="mine", pools=(Pool(subnet="10.9.0.0/24"),))
    assert rooms.networks.store.create(chosen).subnet == "10.9.0.0/24"


def test_a_host_that_uses_all_pools_still_lists_and_makes_networks(
    bare_host: int, rooms: Rooms
) -> None:
    for pool in ("172.16.0.0/12", "192.168.0.0/16"):
        ip("route", "add", pool, "dev", "lo")
    store = rooms.networks.store
    assert [network.name for network in store.everything()] == ["host", "none"]
    store.create(NetworkSpec(name="mine", pools=(Pool(subnet="10.9.0.0/24"),)))
    with pytest.raises(Conflict, match="all predefined address pools"):
        store.create(NetworkSpec(name="another"))
    assert [network.name for network in store.everything()] == ["host", "mine", "none"]


def test_two_areas_never_share_a_subnet(rooms: Rooms, tmp_path: Path) -> None:
    other_data_root = DataRoot.at(tmp_path / "other")
    other_data_root.prepare()
    other = Rooms(other_data_root)
    try:
        first, two = rooms.networks.default(), other.networks.default()
        assert not Block.parse(first.subnet).overlaps(Block.parse(two.subnet))
    finally:
        other.close()
        shutil.rmtree(other_data_root.run)


def test_another_subnet_is_chosen_when_ours_was_taken_meanwhile(rooms: Rooms) -> None:
    network = rooms.networks.default()
    rooms.networks.remove_all()
    squatter = f"dm{rooms.data_root.id}x"
    ip("link", "add", squatter, "type", "bridge")
    try:
        ip("address", "add", f"{network.gateway}/24", "dev", squatter)
        ip("link", "set", squatter, "up")
        moved = rooms.networks.default()
        assert not Block.parse(moved.subnet).overlaps(Block.parse(network.subnet))
        assert moved.id == network.id
    finally:
        ip("link", "delete", squatter)


def test_a_container_is_plugged_in_published_and_gone_again(rooms: Rooms) -> None:
    rooms.networks.default()
    with rooms.start(ONE, PortMapping(container_port=80)):
        ports = PORTS.require(rooms.context.slots)
        assert [(host, inner, kind) for host, _, inner, kind in ports] == [
            ("0.0.0.0", 80, "tcp"),
            ("::", 80, "tcp"),
        ]
        address = rooms.endpoint["ip_address"]
        assert address.endswith(".0.2")
        assert (
            rooms.networks.connect(ContainerInfo(id=TWO)).endpoint["ip_address"]
            == address[:-1] + "3"
        )
        assert f"tcp . {ports[0][1]} : " in table(rooms.data_root)
        record = json.loads((rooms.data_root.container_run(ONE) / "ports.json").read_text())
        assert record == [["", ports[0][1], "tcp", address, 80]]
    assert f"tcp . {ports[0][1]} : " not in table(rooms.data_root)
    await_end_of(rooms.endpoint["veth"])


# claims and sweeping ----------------------------------------------------------------------------


def test_a_container_that_is_being_started_cannot_be_started_again(rooms: Rooms) -> None:
    rooms.networks.connect(ContainerInfo(id=ONE))
    with pytest.raises(Conflict, match="already being started"):
        rooms.networks.connect(ContainerInfo(id=ONE))
    with pytest.raises(Conflict, match="already being started"):
        Networks(rooms.data_root, rooms.database).connect(ContainerInfo(id=ONE))
    rooms.networks.release(ONE)
    rooms.networks.connect(ContainerInfo(id=ONE))


def test_a_sweep_leaves_what_is_being_started_and_what_is_alive(rooms: Rooms) -> None:
    other = Networks(rooms.data_root, rooms.database)  # as another process would
    with rooms.start(TWO):
        rooms.networks.connect(ContainerInfo(id=ONE))
        other.sweep()
        assert rooms.leases() == {ONE, TWO}
    rooms.networks.confirm(ONE)  # and then its supervisor was killed
    other.sweep()
    assert rooms.leases() == set()


def test_a_claim_ends_with_its_process(rooms: Rooms) -> None:
    rooms.networks.default()
    pid = os.fork()
    if pid == 0:
        rooms.networks._claims.take(ONE)
        os._exit(0)  # killed half way: no clean-up
    os.waitpid(pid, 0)
    assert not rooms.networks._claims.is_taken(ONE)
    rooms.networks.connect(ContainerInfo(id=ONE))


def test_nothing_of_a_start_is_left_in_the_run_directory(rooms: Rooms) -> None:
    rooms.networks.connect(ContainerInfo(id=ONE))
    rooms.networks.confirm(ONE)
    rooms.networks.connect(ContainerInfo(id=TWO))
    rooms.networks.release(TWO)
    assert list(rooms.data_root.run.iterdir()) == []


def test_a_full_network_is_swept_before_it_is_given_up(rooms: Rooms) -> None:
    network = rooms.networks.default()
    block = Block.parse(network.subnet)
    with rooms.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO leases VALUES (?, ?, ?, '')",
            [(network.id, str(n), n) for n in range(block.first + 2, block.last)],
        )
    endpoint = rooms.networks.connect(ContainerInfo(id=ONE)).endpoint
    assert endpoint["ip_address"] == network.gateway[:-1] + "2"
    assert rooms.leases() == {ONE}


def test_what_a_killed_supervisor_published_is_taken_back(rooms: Rooms) -> None:
    undo = rooms.start(ONE, PortMapping(container_port=80))
    port = PORTS.require(rooms.context.slots)[0][1]
    held = HELD.require(rooms.context.slots)
    os.unlink(rooms.data_root.container_run(ONE) / "lock")  # a missing lock is held by no process
    assert f"tcp . {port} : " in table(rooms.data_root)
    rooms.networks.sweep()
    assert f"tcp . {port} : " not in table(rooms.data_root)
    assert held[0].socket.fileno() >= 0
    undo.close()


def test_row_41_a_flushed_table_is_back_with_the_next_call(rooms: Rooms) -> None:
    with rooms.start(ONE, PortMapping(container_port=80)):
        before = table(rooms.data_root)
        nft("delete", "table", "ip", rooms.data_root.nft_table)
        rooms.networks.repair()
        assert table(rooms.data_root) == before


@pytest.mark.parametrize("flushed", [("ip",), ("ip6",), ("ip", "ip6")])
def test_row_41_a_flushed_table_of_ipv6_is_back_whatever_the_first_network_has(
    bare_host: int, rooms: Rooms, flushed: tuple[str, ...]
) -> None:
    rooms.networks.default()
    six = NetworkSpec(name="six", ipv6=True)
    bridge = rooms.networks.store.create(six).bridge
    for family in flushed:
        nft("delete", "table", family, rooms.data_root.nft_table)
    assert rooms.networks.repair()
    for family in ("ip", "ip6"):
        assert f'"{bridge}"' in nft("list", "set", family, rooms.data_root.nft_table, "bridges")
    assert not rooms.networks.repair()


def test_elements_that_were_flushed_are_back_too(rooms: Rooms) -> None:
    with rooms.start(ONE, PortMapping(container_port=80)):
        before = table(rooms.data_root)
        nft("flush", "map", "ip", rooms.data_root.nft_table, "published")
        assert table(rooms.data_root) != before
        rooms.networks.repair()
        assert table(rooms.data_root) == before


# hosts that refuse -----------------------------------------------------------------------------

_SYSCTLS = "/proc/sys/net"
_BRIDGE = bridge.Bridge(name="br0", gateway="10.9.0.1", prefix_length=24)


def read_only(forwards: bytes, **ipv6: bytes) -> FakeLinux:
    """A host with a read-only /proc/sys."""
    files = {f"{_SYSCTLS}/ipv6/conf/br0/{name}": value for name, value in ipv6.items()}
    linux = FakeLinux(files={f"{_SYSCTLS}/ipv4/ip_forward": forwards, **files})
    for number in range(1, 5):
        linux.fail("write_file", errno.EROFS, on_call=number)
    return linux


@pytest.mark.parametrize(
    "linux",
    [
        read_only(b"0\n", accept_ra=b"0\n"),
        read_only(b"1\n", accept_ra=b"1\n", disable_ipv6=b"0\n"),
    ],
    ids=["no forwarding", "listens to routers"],
)
def test_a_bridge_that_the_host_does_not_let_us_set_up_does_not_stay(
    bare_host: int, linux: FakeLinux
) -> None:
    with Netlink() as netlink:
        with pytest.raises((OSError, Unsupported)):
            bridge.ensure(linux, netlink, _BRIDGE)
        assert rtnl.find_link(netlink, "br0") is None


@pytest.mark.parametrize(
    "ipv6", [{"accept_ra": b"0\n"}, {"accept_ra": b"1\n", "disable_ipv6": b"1\n"}]
)
def test_a_read_only_proc_sys_will_do_where_nothing_is_to_be_set(
    bare_host: int, ipv6: dict[str, bytes]
) -> None:
    with Netlink() as netlink:
        bridge.ensure(read_only(b"1\n", **ipv6), netlink, _BRIDGE)
        assert bridge.is_ready(netlink, "br0", "10.9.0.1")


# none, files ------------------------------------------------------------------------------------


def test_an_isolated_container_has_its_loopback(bare_host: int) -> None:
    context = Context(Kernel())
    with new_namespace() as inside:
        context.netns_fd, context.inside_netlink = inside, open_for_others()
        (operation,) = Networks.isolate().operations
        operation.execute(context)
        shown = ip("-o", "link")
    os.close(context.inside_netlink)
    assert "LOOPBACK,UP" in shown


def test_the_stubs_own_servers_are_read(
    rooms: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\nsearch lan\n")
    (tmp_path / "behind").write_text("nameserver 192.0.2.53\nsearch lan\n")
    monkeypatch.setattr(host_files, "RESOLV_CONF", str(tmp_path / "stub"))
    monkeypatch.setattr(host_files, "RESOLVED_UPSTREAMS", str(tmp_path / "behind"))
    spec = ContainerSpec(image="x")
    assert rooms.networks.resolv_conf(spec) == "nameserver 192.0.2.53\nsearch lan\n"
    on_host = ContainerSpec(image="x", network="host")
    assert rooms.networks.resolv_conf(on_host) == "nameserver 127.0.0.53\nsearch lan\n"


def test_a_host_without_resolv_conf_has_public_servers(
    rooms: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_files, "RESOLV_CONF", str(tmp_path / "missing"))
    assert "8.8.8.8" in rooms.networks.resolv_conf(ContainerSpec(image="x"))


def test_the_hosts_file_names_the_container(rooms: Rooms) -> None:
    spec = ContainerSpec(image="x", domainname="example.org", extra_hosts=("up:host-gateway",))
    connection = rooms.networks.connect(ContainerInfo(id=ONE))
    text = rooms.networks.hosts("abc", spec, connection)
    gateway = connection.endpoint["gateway"]
    assert text.endswith(f"{gateway}\tup\n{gateway[:-1]}2\tabc.example.org abc\n")
    assert rooms.networks.hosts("abc", ContainerSpec(image="x"), None).count("\n") == 6
