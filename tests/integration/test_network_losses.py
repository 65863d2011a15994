"""Networks and what goes wrong: killed calls, flushed rules, spoofing neighbours, poor hosts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, PortMapping
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool

from .conftest import Ended, collect
from .losing import lose

pytestmark = [pytest.mark.root, pytest.mark.network]

WEB = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"


@pytest.fixture
def networks(engine: Engine, own_subnets: None) -> Iterator[Engine]:
    """The engine; networks that the test leaves are removed behind it."""
    yield engine
    for container in engine.containers.list(all=True):
        engine.containers.remove(container.id, force=True)
    engine.networks.prune()
    assert [network.name for network in engine.networks.list()] == ["bridge", "host", "none"]


def make(engine: Engine, name: str, number: int, **asked: Any) -> None:
    pools = (Pool(subnet=f"10.213.{number}.0/24"),)
    engine.networks.create(NetworkSpec(name=name, pools=pools, **asked))


def start(engine: Engine, name: str, network: str, *ports: PortMapping, **spec: Any) -> None:
    engine.containers.run(
        ContainerSpec(
            image="busybox",
            name=name,
            command=("sh", "-c", WEB),
            network=network,
            attachments=(Attachment(network=network),),
            ports=ports,
            **spec,
        ),
        detach=True,
    )


def inside(engine: Engine, name: str, *command: str) -> Ended:
    return collect(engine.containers.exec(name, ExecSpec(command=command)))


def fetched(engine: Engine, name: str, address: str) -> str:
    command = ("timeout", "1", "wget", "-q", "-O-", f"http://{address}/")
    return inside(engine, name, *command).stdout.strip()


# killed calls -----------------------------------------------------------------------------------

STEPS = """
import sys
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, PortMapping
from dockmagic_runtime.model.network import Attachment, NetworkSpec

def said(step):
    sys.stdout.write(step)
    sys.stdout.flush()

with Engine(sys.argv[1]) as engine:
    said("o")
    for turn in range(99):
        engine.networks.create(NetworkSpec(name=f"a{turn}")); said("c")
        engine.networks.create(NetworkSpec(name=f"b{turn}")); said("c")
        engine.containers.run(ContainerSpec(
            image="busybox", name=f"x{turn}", command=("sleep", "1000"), network=f"a{turn}",
            attachments=(Attachment(network=f"a{turn}"),),
            ports=(PortMapping(container_port=80),),
        ), detach=True); said("r")
        engine.networks.connect(f"b{turn}", f"x{turn}", Attachment(network=f"b{turn}")); said("j")
        engine.networks.disconnect(f"a{turn}", f"x{turn}"); said("d")
        engine.containers.remove(f"x{turn}", force=True); said("x")
        engine.networks.remove(f"a{turn}"); said("n")
        engine.networks.remove(f"b{turn}"); said("n")
"""


@pytest.mark.parametrize("steps", range(1, 10))
def test_a_call_killed_at_any_step_leaves_what_the_next_puts_right(
    networks: Engine, steps: int
) -> None:
    """Killed within the step behind that many: nothing is left that a verb does not take away."""
    program = [sys.executable, "-c", STEPS, str(networks.data_root.root)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert len(caller.stdout.read(steps)) == steps
        caller.kill()
    with Engine(networks.data_root.root) as other:
        for container in other.containers.list(all=True):
            other.containers.remove(container.id, force=True)
        for network in other.networks.list():
            if not network.is_predefined:
                with suppress(NotFound):
                    other.networks.remove(network.name)
    _assert_nothing_is_left(networks)


def _assert_nothing_is_left(engine: Engine) -> None:
    data_root = engine.data_root
    with Engine(data_root.root) as other:
        other.system.recover()  # the next engine of the data root sweeps it
    assert engine._components.database.rows("SELECT * FROM leases") == []
    known = {network.id for network in engine.networks.list()}
    assert set(os.listdir(data_root.networks)) <= known
    links = [name for _, name in socket.if_nameindex() if name.startswith(f"dm{data_root.id}")]
    assert set(links) <= {data_root.bridge}
    for name in ("published", "bridges", "subnets", "together", "masqueraded"):
        for element in _elements(data_root.nft_table, name):
            assert data_root.bridge in str(element) or "prefix" in str(element), (name, element)
    assert len(_elements(data_root.nft_table, "subnets")) <= 1


def _elements(table: str, name: str) -> list[object]:
    done = subprocess.run(
        ["nft", "-j", "list", "set" if name != "published" else "map", "ip", table, name],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        return []  # no container has been on a network yet
    (_, entry) = json.loads(done.stdout)["nftables"]
    elements: list[object] = next(iter(entry.values())).get("elem", [])
    return elements


def test_what_is_demolished_late_takes_nothing_from_a_successor_with_its_subnet(
    networks: Engine,
) -> None:
    make(networks, "old", 1)
    old = networks.networks.get("old")
    with (
        networks._components.database.transaction() as connection
    ):  # a removal that died behind this step
        connection.execute("DELETE FROM networks WHERE id = ?", (old.id,))
    subprocess.run(["ip", "link", "del", old.bridge], check=True)
    make(networks, "new", 1)
    with Engine(networks.data_root.root) as other:
        other.system.recover()  # it sweeps
    assert not (networks.data_root.networks / old.id).exists()
    shown = str(_elements(networks.data_root.nft_table, "subnets"))
    assert "10.213.1.0" in shown
    assert networks.networks.get("new").bridge in str(
        _elements(networks.data_root.nft_table, "bridges")
    )
    assert old.bridge not in str(_elements(networks.data_root.nft_table, "bridges"))
    networks.networks.remove("new")
    assert "10.213.1.0" not in str(_elements(networks.data_root.nft_table, "subnets"))


def test_a_supervisor_killed_with_several_networks_leaves_nothing(networks: Engine) -> None:
    make(networks, "one", 1)
    make(networks, "two", 2)
    start(networks, "web", "one", PortMapping(container_port=80))
    networks.networks.connect("two", "web", Attachment(network="two"))
    lose(networks, "web")
    assert networks.containers.get("web").status == "exited"
    networks.containers.remove("web")
    networks.networks.remove("one")
    networks.networks.remove("two")
    _assert_nothing_is_left(networks)


def test_the_data_path_hangs_on_no_engine_launcher_or_other_container(networks: Engine) -> None:
    make(networks, "front", 1)
    other_engine = [sys.executable, "-c", RUN, str(networks.data_root.root)]
    with subprocess.Popen(other_engine, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.read(1) == b"r"
        caller.kill()  # and with it its launcher
    start(networks, "near", "front", PortMapping(container_port=80))
    web = networks.containers.get("web")
    urls = [f"http://{host}:{web.ports[0].host_port}/" for host in ("10.213.1.1", "127.0.0.1")]
    for url in urls:
        _await_page(url)
    lose(networks, "near")
    for url in urls * 10:
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.read() == b"hello\n"
    assert networks.containers.get("near").status == "exited"
    networks.containers.remove("near")
    for url in urls:
        _await_page(url)
    networks.containers.remove("web", force=True)
    networks.networks.remove("front")
    _assert_nothing_is_left(networks)


RUN = """
import sys
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, PortMapping
from dockmagic_runtime.model.network import Attachment

with Engine(sys.argv[1]) as engine:
    engine.containers.run(ContainerSpec(
        image="busybox", name="web", network="front",
        command=("sh", "-c", "mkdir /www; echo hello > /www/index.html; exec httpd -f -h /www"),
        attachments=(Attachment(network="front"),), ports=(PortMapping(container_port=80),),
    ), detach=True)
    sys.stdout.write("r")
    sys.stdout.flush()
    sys.stdin.read()
"""


def _await_page(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.01)
    raise AssertionError(f"{url} does not answer")


def test_a_network_whose_bridge_is_away_comes_back_unless_its_subnet_is_taken(
    networks: Engine,
) -> None:
    make(networks, "front", 1)
    bridge, other = networks.networks.get("front").bridge, f"dm{networks.data_root.id}x"
    subprocess.run(["ip", "link", "del", bridge], check=True)  # as a reboot does
    start(networks, "web", "front")
    assert bridge in [name for _, name in socket.if_nameindex()]
    networks.containers.remove("web", force=True)
    subprocess.run(["ip", "link", "del", bridge], check=True)
    subprocess.run(["ip", "link", "add", other, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "10.213.1.77/25", "dev", other], check=True)
        subprocess.run(["ip", "link", "set", other, "up"], check=True)
        with pytest.raises(Conflict, match=r"cannot be made again: .* 10\.213\.1\.0/25"):
            start(networks, "web", "front")
    finally:
        subprocess.run(["ip", "link", "del", other], check=True)
    networks.containers.start("web")
    assert networks.networks.inspect("front")["Containers"]


# security ---------------------------------------------------------------------------------------


def test_row_38_bridges_of_users_take_no_router_advertisements(networks: Engine) -> None:
    make(networks, "front", 1, ipv6=True)
    bridge = networks.networks.get("front").bridge
    with open(f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra", encoding="ascii") as stream:
        assert stream.read() == "0\n"
    start(networks, "web", "front")
    assert inside(networks, "web", "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").stdout == "0\n"


def test_row_38_no_ipv6_comes_up_where_the_network_has_none(networks: Engine) -> None:
    make(networks, "front", 1)
    start(networks, "web", "front")
    assert "inet6" not in inside(networks, "web", "ip", "a", "show", "eth0").stdout


def test_row_38_a_container_without_net_raw_cannot_spoof(networks: Engine) -> None:
    make(networks, "front", 1)
    start(networks, "web", "front", cap_drop=("NET_RAW",))
    assert inside(networks, "web", "arping", "-c", "1", "10.213.1.1").code != 0


def test_row_39_an_internal_network_has_no_way_to_the_hosts_servers(networks: Engine) -> None:
    make(networks, "inner", 1, internal=True)
    start(networks, "web", "inner", cap_add=("NET_ADMIN",))
    assert inside(networks, "web", "ip", "route", "get", "192.0.2.1").code != 0
    inside(networks, "web", "ip", "route", "add", "default", "via", "10.213.1.1")
    assert inside(networks, "web", "timeout", "1", "nc", "192.0.2.1", "53").code != 0
    rules = _rules(networks)
    (counter,) = [line for line in rules.splitlines() if "internal: nothing leaves" in line]
    assert "packets 0 " not in counter


def _rules(engine: Engine) -> str:
    done = subprocess.run(
        ["nft", "list", "table", "ip", engine.data_root.nft_table], capture_output=True, text=True
    )
    return done.stdout


def test_row_40_one_network_leads_no_packet_straight_into_another(networks: Engine) -> None:
    make(networks, "front", 1)
    make(networks, "back", 2)
    start(networks, "web", "front", PortMapping(container_port=80, host_ip="127.0.0.1"))
    start(networks, "far", "back")
    port = networks.containers.get("web").ports[0].host_port
    for address in ("10.213.1.2", f"10.213.1.1:{port}", f"10.213.2.1:{port}"):
        assert fetched(networks, "far", address) == ""
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass  # this host alone


def test_row_41_the_next_run_restores_isolation_of_all_networks_after_a_flush(
    networks: Engine,
) -> None:
    make(networks, "front", 1)
    make(networks, "back", 2)
    start(networks, "web", "front", PortMapping(container_port=80))
    start(networks, "far", "back")
    before = _without_counters(_rules(networks))
    for family in ("ip", "ip6"):
        subprocess.run(["nft", "delete", "table", family, networks.data_root.nft_table],
                       capture_output=True)  # fmt: skip
    assert _rules(networks) == ""
    make(networks, "other", 3)
    networks.networks.remove("other")
    assert _without_counters(_rules(networks)) == before
    assert fetched(networks, "far", "10.213.1.2") == ""


def _without_counters(listing: str) -> list[str]:
    lines = [line.partition(" counter ")[0].strip(" \t,") for line in listing.splitlines()]
    return sorted(" ".join(lines).replace(",", " ").split())


# concurrency ------------------------------------------------------------------------------------


def test_only_one_of_two_connects_at_once_succeeds(networks: Engine) -> None:
    make(networks, "front", 1)
    networks.containers.run(
        ContainerSpec(image="busybox", name="web", command=("sleep", "99")), detach=True
    )
    connect = (
        "import sys; from dockmagic_runtime import Engine;"
        "from dockmagic_runtime.model.network import Attachment\n"
        "with Engine(sys.argv[1]) as engine:\n"
        "    engine.networks.connect('front', 'web', Attachment(network='front'))"
    )
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", connect, str(networks.data_root.root)], stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    assert sorted(caller.wait() for caller in callers) == [0, 1]
    endpoints = networks.containers.inspect("web")["NetworkSettings"]["Networks"]
    assert endpoints["front"]["IPAddress"] == "10.213.1.2"


def test_a_network_is_not_removed_under_a_container_that_starts(networks: Engine) -> None:
    make(networks, "front", 1)
    network = networks.networks.get("front")
    networks._components.networks.lease(
        "f" * 64, (Attachment(network="front", network_id=network.id),)
    )
    networks._components.networks._claims.take("f" * 64)  # it is being started
    with pytest.raises(Conflict, match="has active endpoints"):
        networks.networks.remove("front")
    assert network.bridge in [name for _, name in socket.if_nameindex()]
    networks._components.networks.release("f" * 64)


# poor hosts -------------------------------------------------------------------------------------


def _without_net_admin(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, with all of root's rights but that one."""
    less = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    return subprocess.run(
        [*less, sys.executable, "-m", "dockmagic", *words],
        env={**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)},
        capture_output=True,
        text=True,
    )


def test_without_the_right_to_networks_there_is_one_line_and_the_hosts_works(
    networks: Engine,
) -> None:
    result = _without_net_admin(networks, "network", "create", "front")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "does not let us make bridge" in result.stderr
    assert "--network host works" in result.stderr
    assert [network.name for network in networks.networks.list()] == ["bridge", "host", "none"]
    assert _without_net_admin(networks, "network", "ls", "-q").returncode == 0
    run = _without_net_admin(networks, "run", "--rm", "--network", "host", "busybox", "echo", "ok")
    assert run.stdout == "ok\n"
    refused = _without_net_admin(networks, "run", "--rm", "busybox", "true")
    assert refused.returncode == 125
    assert refused.stderr.count("\n") == 1
    _assert_nothing_is_left(networks)
