"""Networks of one's own, with real containers on them: who reaches whom, and what is left."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import (
    Container,
    ContainerSpec,
    ExecSpec,
    Mount,
    PortMapping,
    RestartPolicy,
    Status,
)
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool

from .conftest import collect
from .losing import lose

pytestmark = [pytest.mark.root, pytest.mark.network]

SERVE = ("httpd", "-f", "-p", "80", "-h", "/www")


def subnet(number: int) -> tuple[Pool, ...]:
    """One that no pool of Docker's has."""
    return (Pool(subnet=f"10.213.{number}.0/24"),)


@pytest.fixture
def networks(engine: Engine, own_subnets: None) -> Iterator[Engine]:
    """The engine; networks that the test leaves are removed behind it."""
    yield engine
    for container in engine.containers(all=True):
        engine.remove(container.id, force=True)
    engine.prune_networks()
    assert [one.name for one in engine.networks()] == ["bridge", "host", "none"]
    assert not [name for _, name in socket.if_nameindex() if name in _own_links(engine)]


def _own_links(engine: Engine) -> list[str]:
    prefix = f"dm{engine.area.id}"
    return [name for _, name in socket.if_nameindex()
            if name.startswith(prefix) and name != engine.area.bridge]  # fmt: skip


Start = Callable[..., Container]


@pytest.fixture
def start(networks: Engine) -> Start:
    """`start("web", "front", "back", …)`: a container that sleeps, on these networks."""

    def start(name: str, *names: str | Attachment, **spec: Any) -> Container:
        attached = tuple(
            one if isinstance(one, Attachment) else Attachment(network=one) for one in names
        )
        command = spec.pop("command", ("sleep", "1000"))
        return networks.run_detached(
            ContainerSpec(
                image="busybox",
                name=name,
                command=command,
                network=attached[0].network if attached else "bridge",
                attachments=attached,
                **spec,
            )
        )

    return start


def serving(text: str = "hello") -> tuple[str, ...]:
    return ("sh", "-c", f"mkdir /www; echo {text} > /www/index.html; exec {' '.join(SERVE)}")


def inside(engine: Engine, name: str, *command: str) -> str:
    ended = collect(engine.exec(name, ExecSpec(command=command)))
    return ended.stdout + ended.stderr


def addresses(engine: Engine, name: str) -> dict[str, str]:
    found = engine.inspect(name)["NetworkSettings"]["Networks"]
    return {network: one["IPAddress"] for network, one in found.items()}


def fetched_inside(engine: Engine, name: str, url: str) -> str:
    """What the container gets from there; empty when it gets nothing within a second."""
    command = ("timeout", "1", "wget", "-q", "-O-", url)
    ended = collect(engine.exec(name, ExecSpec(command=command)))
    return ended.stdout.strip() if ended.code == 0 else ""


def await_page(url: str) -> str:
    """The page, as soon as the server listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode()).strip()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def await_inside(engine: Engine, name: str, url: str) -> str:
    deadline = time.monotonic() + 20
    while not (found := fetched_inside(engine, name, url)):
        assert time.monotonic() < deadline
    return found


# being on networks ------------------------------------------------------------------------------


def test_a_network_has_a_bridge_and_its_containers_are_told_in_inspect(
    networks: Engine, start: Start
) -> None:
    made = networks.create_network(NetworkSpec(name="front", labels={"a": "b"}))
    start("web", "front", hostname="www")
    found = networks.inspect_network("front")
    assert found["Labels"] == {"a": "b"}
    assert found["IPAM"]["Config"] == [{"Subnet": made.subnet, "Gateway": made.gateway}]
    (member,) = found["Containers"].values()
    address = addresses(networks, "web")["front"]
    assert member["Name"] == "web"
    assert member["IPv4Address"] == f"{address}/{made.prefix_length}"
    shown = subprocess.run(["ip", "-br", "a", "show", made.bridge], capture_output=True, text=True)
    assert made.gateway in shown.stdout


def test_several_networks_are_several_interfaces_with_one_way_out(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("two", "one")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "two", Attachment(network="one", aliases=("w",), ipv4="10.213.1.9"))
    found = addresses(networks, "web")
    assert list(found.items()) == [("one", "10.213.1.9"), ("two", "10.213.0.2")]  # by name
    routes = inside(networks, "web", "ip", "route")
    assert "default via 10.213.1.1 dev eth1" in routes  # the first by name
    assert "10.213.0.0/24 dev eth0" in routes
    hosts = inside(networks, "web", "cat", "/etc/hosts")
    assert "10.213.1.9" in hosts or "10.213.0.2" in hosts


def test_the_endpoints_are_told_by_files_while_it_runs(networks: Engine, start: Start) -> None:
    made = networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    one = start("web", Attachment(network="front", aliases=("w", "www")), hostname="host")
    path = networks.area.networks / made.id / "endpoints" / f"{one.id}.json"
    assert json.loads(path.read_text()) == {
        "name": "web",
        "aliases": ["w", "www"],
        "ipv4": "10.213.0.2",
        "ipv6": "",
        "short_id": one.short_id,
        "hostname": "host",
        "network": "front",
        "internal": False,
        "links": {},
    }
    networks.rename("web", "site")
    assert json.loads(path.read_text())["name"] == "site"
    networks.kill("site")
    networks.wait("site")
    assert not path.exists()
    networks.start("site")
    assert json.loads(path.read_text())["name"] == "site"


def test_a_container_keeps_its_mac_and_its_addresses_are_its_own(
    networks: Engine, start: Start
) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    asked = Attachment(network="front", ipv4="10.213.0.7", mac_address="02:00:00:00:00:07")
    start("web", asked)
    assert "02:00:00:00:00:07" in inside(networks, "web", "ip", "link")
    with pytest.raises(Conflict, match="Address already in use"):
        start("other", Attachment(network="front", ipv4="10.213.0.7"))
    networks.remove("other")


@pytest.mark.parametrize(
    ("attached", "message"),
    [
        (Attachment(network="bridge", ipv4="172.17.0.9"), "on user defined networks only"),
        (Attachment(network="auto", ipv4="172.17.0.9"), "networks with user configured subnets"),
        (Attachment(network="own", ipv4="172.17.0.9"), "no configured subnet or ip-range contain"),
        (Attachment(network="bridge", aliases=("a",)), "containers in user defined networks"),
    ],
)
def test_addresses_that_cannot_be(
    networks: Engine, start: Start, attached: Attachment, message: str
) -> None:
    networks.create_network(NetworkSpec(name="auto"))
    networks.create_network(NetworkSpec(name="own", pools=subnet(0)))
    with pytest.raises(InvalidInput, match=message):
        start("web", attached)
    assert networks.containers(all=True) == ()


# who reaches whom -------------------------------------------------------------------------------


def test_containers_of_one_network_reach_each_other_and_no_others(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front", command=serving())
    start("near", "front")
    start("far", "back")
    web = f"http://{addresses(networks, 'web')['front']}/"
    assert await_inside(networks, "near", web) == "hello"
    assert fetched_inside(networks, "far", web) == ""


def test_an_internal_network_leads_nowhere(networks: Engine, start: Start) -> None:
    networks.create_network(NetworkSpec(name="inner", internal=True, pools=subnet(0)))
    networks.create_network(NetworkSpec(name="outer", pools=subnet(1)))
    ports, powers = (PortMapping(container_port=80),), ("NET_ADMIN",)
    start("in", "inner", command=serving("inside"), ports=ports, cap_add=powers)
    start("mate", "inner")
    start("out", "outer", command=serving("outside"), ports=(PortMapping(container_port=80),))
    assert networks.container("in").ports == ()
    assert await_inside(networks, "mate", "http://10.213.0.2/") == "inside"
    assert "default" not in inside(networks, "in", "ip", "route")
    inside(networks, "in", "ip", "route", "add", "default", "via", "10.213.0.1")
    port = networks.container("out").ports[0].host_port
    assert await_page(f"http://127.0.0.1:{port}/") == "outside"
    for url in ("http://10.213.1.2/", f"http://10.213.0.1:{port}/"):
        assert fetched_inside(networks, "in", url) == ""
    assert fetched_inside(networks, "out", "http://10.213.0.2/") == ""


def test_without_icc_neighbours_do_not_reach_each_other_but_the_host_does(
    networks: Engine, start: Start
) -> None:
    options = {"com.docker.network.bridge.enable_icc": "false"}
    networks.create_network(NetworkSpec(name="apart", pools=subnet(0), options=options))
    start("web", "apart", command=serving(), ports=(PortMapping(container_port=80),))
    start("near", "apart")
    assert await_page("http://10.213.0.2/") == "hello"
    assert fetched_inside(networks, "near", "http://10.213.0.2/") == ""
    port = networks.container("web").ports[0].host_port
    assert fetched_inside(networks, "near", f"http://10.213.0.1:{port}/") == "hello"


def test_another_networks_container_is_reached_through_its_published_port(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front", command=serving(), ports=(PortMapping(container_port=80),))
    start("far", "back")
    port = networks.container("web").ports[0].host_port
    for url in (f"http://10.213.0.1:{port}/", f"http://10.213.1.1:{port}/"):
        assert await_inside(networks, "far", url) == "hello"
    assert fetched_inside(networks, "web", f"http://10.213.0.1:{port}/") == "hello"  # itself


def test_ipv6_inside_and_through_a_published_port(networks: Engine, start: Start) -> None:
    pools = (*subnet(0), Pool(subnet="fd00:213::/64"))
    networks.create_network(NetworkSpec(name="six", ipv6=True, pools=pools))
    start("web", "six", command=serving(), ports=(PortMapping(container_port=80),))
    start("near", Attachment(network="six", ipv6="fd00:213::99"))
    assert await_inside(networks, "near", "http://[fd00:213::2]/") == "hello"
    assert "default via fd00:213::1" in inside(networks, "web", "ip", "-6", "route")
    port = next(one.host_port for one in networks.container("web").ports if one.host_ip == "::")
    for host in ("[::1]", "127.0.0.1", "[fd00:213::1]"):
        assert await_page(f"http://{host}:{port}/") == "hello"
    found = networks.inspect("near")["NetworkSettings"]["Networks"]["six"]
    assert found["GlobalIPv6Address"] == "fd00:213::99"
    assert found["IPv6Gateway"] == "fd00:213::1"


def test_the_hosts_address_of_published_ports_can_be_the_networks_choice(
    networks: Engine, start: Start
) -> None:
    options = {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}
    networks.create_network(NetworkSpec(name="local", pools=subnet(0), options=options))
    start("web", "local", ports=(PortMapping(container_port=80),))
    assert [port.host_ip for port in networks.container("web").ports] == ["127.0.0.1"]


def test_mtu_and_names_of_interfaces_are_the_networks_choice(
    networks: Engine, start: Start
) -> None:
    options = {
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.container_iface_prefix": "net",
        "com.docker.network.bridge.name": f"dm{networks.area.id}own",
    }
    made = networks.create_network(NetworkSpec(name="own", pools=subnet(0), options=options))
    start("web", "own")
    assert "net0" in (shown := inside(networks, "web", "ip", "link"))
    assert "mtu 1400" in shown.partition("net0")[2]
    assert made.bridge == f"dm{networks.area.id}own"


# while it runs ----------------------------------------------------------------------------------


def test_one_more_network_while_it_runs_and_after_its_restarts(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front", command=serving(), restart=RestartPolicy(name="always"))
    start("far", "back")
    networks.connect_network("back", "web", Attachment(network="back", aliases=("w",)))
    assert addresses(networks, "web") == {"front": "10.213.0.2", "back": "10.213.1.3"}
    assert await_inside(networks, "far", "http://10.213.1.3/") == "hello"
    before = networks.container("web").pid
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while networks.container("web").pid in (0, before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert addresses(networks, "web") == {"front": "10.213.0.2", "back": "10.213.1.3"}
    assert await_inside(networks, "far", "http://10.213.1.3/") == "hello"
    networks.restart("web", timeout=0)
    assert await_inside(networks, "far", "http://10.213.1.3/") == "hello"


def test_the_interface_can_be_named_and_links_outlast_a_new_network(
    networks: Engine, start: Start
) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("db", command=serving())
    start(
        "web",
        Attachment(network="bridge"),
        links=(("db", "sql"),),
        restart=RestartPolicy(name="always"),
    )
    option = ("com.docker.network.endpoint.ifname", "front0")
    networks.connect_network("front", "web", Attachment(network="front", driver_options=(option,)))
    assert "front0" in inside(networks, "web", "ip", "link")
    before = networks.container("web").pid
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while networks.container("web").pid in (0, before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "front0" in inside(networks, "web", "ip", "link")
    assert b"SQL_NAME=/web/sql" in _environment(networks.container("web").pid)


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_one_that_waits_for_its_next_start_is_on_all_its_networks_then(
    networks: Engine, start: Start, tmp_path: Path
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start(
        "web",
        "front",
        command=("sh", "-c", "test -e /m/go && exec sleep 1000"),
        restart=RestartPolicy(name="always"),
        mounts=(Mount(kind="bind", source=str(tmp_path), target="/m"),),
    )
    _await_status(networks, "web", Status.RESTARTING)
    networks.connect_network("back", "web", Attachment(network="back"))
    (tmp_path / "go").touch()
    _await_status(networks, "web", Status.RUNNING)
    assert addresses(networks, "web") == {"front": "10.213.0.2", "back": "10.213.1.2"}
    shown = inside(networks, "web", "ip", "a")
    assert "10.213.0.2/24" in shown
    assert "10.213.1.2/24" in shown


def _await_status(engine: Engine, name: str, status: Status) -> None:
    """For a second look too: a container that ends at once runs for a moment."""
    deadline = time.monotonic() + 20
    while not engine.container(name).status is engine.container(name).status is status:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_names_are_resolved_from_the_first_network_of_users_on(
    networks: Engine, start: Start
) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("db", Attachment(network="front", aliases=("sql",)))
    start("web")
    networks.connect_network("front", "web", Attachment(network="front"))
    for _ in range(2):
        assert "nameserver 127.0.0.11" in inside(networks, "web", "cat", "/etc/resolv.conf")
        assert "10.213.0.2" in inside(networks, "web", "nslookup", "sql")
        networks.disconnect_network("front", "web")
        assert "127.0.0.11" not in inside(networks, "web", "cat", "/etc/resolv.conf")
        networks.connect_network("front", "web", Attachment(network="front"))


def test_a_network_less_takes_interface_route_file_and_address_away(
    networks: Engine, start: Start
) -> None:
    made = [
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
        for number, name in enumerate(("back", "front"))
    ]
    one = start("web", "front", "back")
    networks.disconnect_network("back", "web")
    shown = inside(networks, "web", "ip", "link")
    assert "eth0" in shown
    assert "eth1" not in shown
    assert "default via 10.213.1.1" in inside(networks, "web", "ip", "route")
    assert not (networks.area.networks / made[0].id / "endpoints" / f"{one.id}.json").exists()
    with pytest.raises(Conflict, match="is not connected to network back"):
        networks.disconnect_network("back", "web")
    networks.remove_network("back")
    networks.disconnect_network("front", "web")
    assert addresses(networks, "web") == {}
    networks.restart("web", timeout=0)
    assert "eth0" not in inside(networks, "web", "ip", "link")


def test_stats_count_all_networks(networks: Engine, start: Start) -> None:
    for number, name in enumerate(("a", "b")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "a", "b")
    inside(networks, "web", "ping", "-c", "3", "-i", "0.1", "10.213.0.1")
    one = networks.stats("web").network_tx
    inside(networks, "web", "ping", "-c", "3", "-i", "0.1", "-s", "1000", "10.213.1.1")
    assert networks.stats("web").network_tx >= one + 3000


def test_filters_of_networks(networks: Engine, start: Start) -> None:
    made = networks.create_network(
        NetworkSpec(name="front", pools=subnet(0), labels={"tier": "web"}, internal=True)
    )
    networks.create_network(NetworkSpec(name="back", pools=subnet(1)))
    start("web", "front")
    for filters, expected in (
        ({"driver": ["bridge"]}, ["back", "bridge", "front"]),
        ({"driver": ["null"]}, ["none"]),
        ({"name": ["^fr"]}, ["front"]),
        ({"id": [made.id[:9]]}, ["front"]),
        ({"label": ["tier=web"]}, ["front"]),
        ({"label": ["tier=db"]}, []),
        ({"type": ["builtin"]}, ["bridge", "host", "none"]),
        ({"scope": ["local"], "type": ["custom"]}, ["back", "front"]),
        ({"dangling": ["true"]}, ["back"]),
        ({"dangling": ["false"]}, ["bridge", "front", "host", "none"]),
    ):
        assert [one.name for one in networks.networks(filters)] == expected, filters
    with pytest.raises(InvalidInput, match="invalid filter 'colour'"):
        networks.networks({"colour": ["red"]})
    assert [one.name for one in networks.containers(filters={"network": ["front"]})] == ["web"]
    assert networks.prune_networks({"label!": ["tier"]}).names == ("back",)


def test_published_ports_follow_the_way_out(networks: Engine, start: Start) -> None:
    for number, name in enumerate(("b", "a", "c")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "b", command=serving(), ports=(PortMapping(container_port=80),))
    port = networks.container("web").ports[0].host_port
    url, other = f"http://127.0.0.1:{port}/", f"http://{_host_address()}:{port}/"
    assert await_page(url) == await_page(other) == "hello"
    networks.connect_network("a", "web", Attachment(network="a"))
    networks.disconnect_network("b", "web")
    assert networks.container("web").ports[0].host_port == port
    assert await_page(url) == await_page(other) == "hello"
    networks.disconnect_network("a", "web")
    assert networks.container("web").ports == ()
    networks.connect_network("c", "web", Attachment(network="c"))
    port = networks.container("web").ports[0].host_port
    assert await_page(f"http://127.0.0.1:{port}/") == "hello"


def _host_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def test_a_stopped_container_is_on_its_networks_when_it_starts(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.create_network(NetworkSpec(name=name, pools=subnet(number)))
    networks.create(ContainerSpec(image="busybox", name="web", command=("sleep", "9")))
    networks.connect_network("front", "web", Attachment(network="front", ipv4="10.213.0.9"))
    networks.connect_network("back", "web", Attachment(network="back"))
    networks.disconnect_network("bridge", "web")
    assert addresses(networks, "web") == {"front": "", "back": ""}
    networks.start("web")
    assert addresses(networks, "web") == {"front": "10.213.0.9", "back": "10.213.1.2"}


def test_a_refused_connect_changes_nothing(networks: Engine, start: Start) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("web")
    start("other", Attachment(network="front", ipv4="10.213.0.9"))
    before = networks.inspect("web")["NetworkSettings"]
    for attached in (
        Attachment(network="front", ipv4="10.213.0.9"),
        Attachment(network="front", ipv4="10.214.0.9"),
        Attachment(network="bridge"),
    ):
        with pytest.raises((Conflict, InvalidInput)):
            networks.connect_network(attached.network, "web", attached)
    with pytest.raises(NotFound, match="network nowhere not found"):
        networks.connect_network("nowhere", "web", Attachment(network="nowhere"))
    assert networks.inspect("web")["NetworkSettings"] == before


@pytest.mark.parametrize("mode", ["host", "none", "container:base"])
def test_who_shares_a_namespace_or_has_none_gets_no_network(
    networks: Engine, start: Start, mode: str
) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("base")
    start("web", Attachment(network=mode))
    with pytest.raises(InvalidInput, match="container"):
        networks.connect_network("front", "web", Attachment(network="front"))
    with pytest.raises((InvalidInput, Conflict)):
        networks.disconnect_network("front", "web")


# the end of networks ----------------------------------------------------------------------------


def test_a_network_in_use_stays_and_one_that_is_not_goes_without_a_trace(
    networks: Engine, start: Start
) -> None:
    made = networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front")
    with pytest.raises(Conflict, match=r'has active endpoints \(name:"web" id:"[0-9a-f]{12}"'):
        networks.remove_network("front")
    assert networks.prune_networks().names == ()
    networks.kill("web")
    networks.wait("web")
    networks.remove_network(made.short_id)
    assert made.bridge not in dict(map(reversed, socket.if_nameindex()))  # type: ignore[arg-type]
    assert not (networks.area.networks / made.id).exists()
    listing = subprocess.run(
        ["nft", "list", "table", "ip", networks.area.nft_table], capture_output=True, text=True
    ).stdout
    assert made.bridge not in listing
    assert "10.213.0.0" not in listing
    with pytest.raises(NotFound, match=r"network .* not found"):
        networks.start("web")
    assert networks.container("web").status == "exited"


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_the_three_that_are_always_there_stay(networks: Engine, name: str) -> None:
    with pytest.raises(Conflict, match=f"{name} is a pre-defined network and cannot be removed"):
        networks.remove_network(name)
    with pytest.raises(Conflict, match=f"not permitted on predefined {name} network"):
        networks.create_network(NetworkSpec(name=name))


def test_overlaps_and_names_in_use_are_refused_with_nothing_made(networks: Engine) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    before = sorted(os.listdir(networks.area.networks)), socket.if_nameindex()
    for spec, message in (
        (NetworkSpec(name="front"), "network with name front already exists"),
        (NetworkSpec(name="b", pools=(Pool(subnet="10.213.0.128/25"),)), "Pool overlaps"),
        (NetworkSpec(name="b", pools=(Pool(subnet="127.0.0.0/8"),)), "Pool overlaps"),
    ):
        with pytest.raises(Conflict, match=message):
            networks.create_network(spec)
    assert (sorted(os.listdir(networks.area.networks)), socket.if_nameindex()) == before


def test_what_a_killed_create_or_rm_has_left_is_taken_away(networks: Engine) -> None:
    made = networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    with networks._database.transaction() as connection:  # killed between the row and the rest
        connection.execute("DELETE FROM networks WHERE id = ?", (made.id,))
    with Engine(networks.area.root):
        pass
    assert not (networks.area.networks / made.id).exists()
    assert made.bridge not in [name for _, name in socket.if_nameindex()]


def test_a_killed_supervisor_leaves_no_endpoint_and_no_lease(
    networks: Engine, start: Start
) -> None:
    made = networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front", ports=(PortMapping(container_port=80),))
    lose(networks, "web")
    assert networks.container("web").status == "exited"
    assert list((networks.area.networks / made.id / "endpoints").iterdir()) == []
    told = [
        (event.action, event.attributes["name"])
        for event in networks.events(filters={"type": ["network"]})
    ]
    assert told[-2:] == [("connect", "front"), ("disconnect", "front")]
    networks.remove_network("front")


def test_engines_that_make_and_remove_at_once_never_meet(networks: Engine) -> None:
    """Each network gets a subnet of its own, and nothing is left."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        found = pool.map(_make_and_remove, [(str(networks.area.root), n) for n in range(3)])
    assert found == [4, 4, 4]
    assert [one.name for one in networks.networks()] == ["bridge", "host", "none"]


def _make_and_remove(work: tuple[str, int]) -> int:
    root, number = work
    made = 0
    with Engine(root) as engine:
        for turn in range(4):
            name = f"n{number}-{turn}"
            engine.create_network(NetworkSpec(name=name))
            engine.run_detached(
                ContainerSpec(image="busybox", name=name, network=name, command=("sleep", "99"))
            )
            made += len(engine.inspect_network(name)["Containers"])
            engine.remove(name, force=True)
            engine.remove_network(name)
    return made


def test_a_thousand_requests_and_none_is_lost_while_others_come_and_go(
    networks: Engine, start: Start
) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front", command=serving(), ports=(PortMapping(container_port=80),))
    port = networks.container("web").ports[0].host_port
    hosts = ("127.0.0.1", "[::1]", _host_address(), "10.213.0.1")
    urls = [f"http://{host}:{port}/" for host in hosts]
    assert [await_page(url) for url in urls] == ["hello"] * 4

    def fetch(number: int) -> str:
        with urllib.request.urlopen(urls[number % 4], timeout=30) as answer:
            return str(answer.read().decode()).strip()

    with ThreadPoolExecutor(24) as many:
        answers = [many.submit(fetch, number) for number in range(1000)]
        for number in range(6):
            other = start(f"other{number}", "front", ports=(PortMapping(container_port=80),))
            networks.remove(other.id, force=True)
        assert [one.result() for one in answers] == ["hello"] * 1000


def test_the_data_path_survives_its_engine(networks: Engine, start: Start) -> None:
    networks.create_network(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front", command=serving(), ports=(PortMapping(container_port=80),))
    port = networks.container("web").ports[0].host_port
    with suppress(ProcessLookupError), Engine(networks.area.root) as other:
        other.containers()
    assert await_page(f"http://127.0.0.1:{port}/") == "hello"
    assert await_page(f"http://{_host_address()}:{port}/") == "hello"
