"""Containers that are connected to networks, and disconnected, while they run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import (
    ContainerSpec,
    Mount,
    PortMapping,
    RestartPolicy,
    Status,
)
from dockmagic_runtime.model.network import Attachment, NetworkSpec
from tests.integration.conftest import await_page
from tests.integration.waiting import eventually

from .conftest import Start, addresses, await_inside, host_address, inside, serving, subnet

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_one_more_network_while_it_runs_and_after_its_restarts(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front", command=serving(), restart=RestartPolicy(name="always"))
    start("far", "back")
    networks.networks.connect("back", "web", Attachment(network="back", aliases=("w",)))
    assert addresses(networks, "web") == {"front": "10.213.0.2", "back": "10.213.1.3"}
    assert await_inside(networks, "far", "http://10.213.1.3/") == "hello"
    before = networks.containers.get("web").pid
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: networks.containers.get("web").pid not in (0, before))
    assert addresses(networks, "web") == {"front": "10.213.0.2", "back": "10.213.1.3"}
    assert await_inside(networks, "far", "http://10.213.1.3/") == "hello"
    networks.containers.restart("web", timeout=0)
    assert await_inside(networks, "far", "http://10.213.1.3/") == "hello"


def test_the_interface_can_be_named_and_links_outlast_a_new_network(
    networks: Engine, start: Start
) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("db", command=serving())
    start(
        "web",
        Attachment(network="bridge"),
        links=(("db", "sql"),),
        restart=RestartPolicy(name="always"),
    )
    option = ("com.docker.network.endpoint.ifname", "front0")
    networks.networks.connect("front", "web", Attachment(network="front", driver_options=(option,)))
    assert "front0" in inside(networks, "web", "ip", "link")
    before = networks.containers.get("web").pid
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: networks.containers.get("web").pid not in (0, before))
    assert "front0" in inside(networks, "web", "ip", "link")
    assert b"SQL_NAME=/web/sql" in _environment(networks.containers.get("web").pid)


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_one_that_waits_for_its_next_start_is_on_all_its_networks_then(
    networks: Engine, start: Start, tmp_path: Path
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start(
        "web",
        "front",
        command=("sh", "-c", "test -e /m/go && exec sleep 1000"),
        restart=RestartPolicy(name="always"),
        mounts=(Mount(kind="bind", source=str(tmp_path), target="/m"),),
    )
    _await_status(networks, "web", Status.RESTARTING)
    networks.networks.connect("back", "web", Attachment(network="back"))
    (tmp_path / "go").touch()
    _await_status(networks, "web", Status.RUNNING)
    assert addresses(networks, "web") == {"front": "10.213.0.2", "back": "10.213.1.2"}
    shown = inside(networks, "web", "ip", "a")
    assert "10.213.0.2/24" in shown
    assert "10.213.1.2/24" in shown


def _await_status(engine: Engine, name: str, status: Status) -> None:
    """For a second look too: a container that ends at once runs for a moment."""
    assert eventually(
        lambda: engine.containers.get(name).status is engine.containers.get(name).status is status
    )


def test_names_are_resolved_from_the_first_network_of_users_on(
    networks: Engine, start: Start
) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("db", Attachment(network="front", aliases=("sql",)))
    start("web")
    networks.networks.connect("front", "web", Attachment(network="front"))
    for _ in range(2):
        assert "nameserver 127.0.0.11" in inside(networks, "web", "cat", "/etc/resolv.conf")
        assert "10.213.0.2" in inside(networks, "web", "nslookup", "sql")
        networks.networks.disconnect("front", "web")
        assert "127.0.0.11" not in inside(networks, "web", "cat", "/etc/resolv.conf")
        networks.networks.connect("front", "web", Attachment(network="front"))


def test_a_network_less_takes_interface_route_file_and_address_away(
    networks: Engine, start: Start
) -> None:
    created = [
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
        for number, name in enumerate(("back", "front"))
    ]
    web = start("web", "front", "back")
    networks.networks.disconnect("back", "web")
    shown = inside(networks, "web", "ip", "link")
    assert "eth0" in shown
    assert "eth1" not in shown
    assert "default via 10.213.1.1" in inside(networks, "web", "ip", "route")
    assert not (
        networks.data_root.networks / created[0].id / "endpoints" / f"{web.id}.json"
    ).exists()
    with pytest.raises(Conflict, match="is not connected to network back"):
        networks.networks.disconnect("back", "web")
    networks.networks.remove("back")
    networks.networks.disconnect("front", "web")
    assert addresses(networks, "web") == {}
    networks.containers.restart("web", timeout=0)
    assert "eth0" not in inside(networks, "web", "ip", "link")


def test_stats_count_all_networks(networks: Engine, start: Start) -> None:
    for number, name in enumerate(("a", "b")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "a", "b")
    inside(networks, "web", "ping", "-c", "3", "-i", "0.1", "10.213.0.1")
    sent = networks.containers.stats("web").network_tx
    inside(networks, "web", "ping", "-c", "3", "-i", "0.1", "-s", "1000", "10.213.1.1")
    assert networks.containers.stats("web").network_tx >= sent + 3000


def test_security_7_stats_go_on_when_a_veth_goes_in_between(networks: Engine, start: Start) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    web = start("web", "front")
    (end,) = networks._components.containers.state(web.id).networks.values()
    subprocess.run(["ip", "link", "delete", end["veth"]], check=True)
    sample = networks.containers.stats("web")
    assert (sample.network_rx, sample.network_tx) == (0, 0)


def test_security_7_stats_go_on_while_networks_come_and_go(networks: Engine, start: Start) -> None:
    for number, name in enumerate(("front", "back")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front")
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            networks.networks.connect("back", "web")
            networks.networks.disconnect("back", "web")

    with ThreadPoolExecutor() as pool:
        changing = pool.submit(change)
        try:
            for _ in range(10):
                assert networks.containers.stats("web").pids > 0
        finally:
            stop.set()
        changing.result()


def test_filters_of_networks(networks: Engine, start: Start) -> None:
    network = networks.networks.create(
        NetworkSpec(name="front", pools=subnet(0), labels={"tier": "web"}, internal=True)
    )
    networks.networks.create(NetworkSpec(name="back", pools=subnet(1)))
    start("web", "front")
    for filters, expected in (
        ({"driver": ["bridge"]}, ["back", "bridge", "front"]),
        ({"driver": ["null"]}, ["none"]),
        ({"name": ["^fr"]}, ["front"]),
        ({"id": [network.id[:9]]}, ["front"]),
        ({"label": ["tier=web"]}, ["front"]),
        ({"label": ["tier=db"]}, []),
        ({"type": ["builtin"]}, ["bridge", "host", "none"]),
        ({"scope": ["local"], "type": ["custom"]}, ["back", "front"]),
        ({"dangling": ["true"]}, ["back"]),
        ({"dangling": ["false"]}, ["bridge", "front", "host", "none"]),
    ):
        assert [network.name for network in networks.networks.list(filters)] == expected, filters
    with pytest.raises(InvalidInput, match="invalid filter 'colour'"):
        networks.networks.list({"colour": ["red"]})
    assert [
        container.name for container in networks.containers.list(filters={"network": ["front"]})
    ] == ["web"]
    assert networks.networks.prune({"label!": ["tier"]}).names == ("back",)


def test_published_ports_follow_the_way_out(networks: Engine, start: Start) -> None:
    for number, name in enumerate(("b", "a", "c")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "b", command=serving(), ports=(PortMapping(container_port=80),))
    port = networks.containers.get("web").ports[0].host_port
    url, other = f"http://127.0.0.1:{port}/", f"http://{host_address()}:{port}/"
    assert await_page(url) == await_page(other) == "hello"
    networks.networks.connect("a", "web", Attachment(network="a"))
    networks.networks.disconnect("b", "web")
    assert networks.containers.get("web").ports[0].host_port == port
    assert await_page(url) == await_page(other) == "hello"
    networks.networks.disconnect("a", "web")
    assert networks.containers.get("web").ports == ()
    networks.networks.connect("c", "web", Attachment(network="c"))
    port = networks.containers.get("web").ports[0].host_port
    assert await_page(f"http://127.0.0.1:{port}/") == "hello"


def test_a_stopped_container_is_on_its_networks_when_it_starts(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    networks.containers.create(ContainerSpec(image="busybox", name="web", command=("sleep", "9")))
    networks.networks.connect("front", "web", Attachment(network="front", ipv4="10.213.0.9"))
    networks.networks.connect("back", "web", Attachment(network="back"))
    networks.networks.disconnect("bridge", "web")
    assert addresses(networks, "web") == {"front": "", "back": ""}
    networks.containers.start("web")
    assert addresses(networks, "web") == {"front": "10.213.0.9", "back": "10.213.1.2"}


def test_a_refused_connect_changes_nothing(networks: Engine, start: Start) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("web")
    start("other", Attachment(network="front", ipv4="10.213.0.9"))
    before = networks.containers.inspect("web")["NetworkSettings"]
    for attached in (
        Attachment(network="front", ipv4="10.213.0.9"),
        Attachment(network="front", ipv4="10.214.0.9"),
        Attachment(network="bridge"),
    ):
        with pytest.raises((Conflict, InvalidInput)):
            networks.networks.connect(attached.network, "web", attached)
    with pytest.raises(NotFound, match="network nowhere not found"):
        networks.networks.connect("nowhere", "web", Attachment(network="nowhere"))
    assert networks.containers.inspect("web")["NetworkSettings"] == before


@pytest.mark.parametrize("mode", ["host", "none", "container:base"])
def test_without_a_namespace_of_its_own_it_gets_no_network(
    networks: Engine, start: Start, mode: str
) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("base")
    start("web", Attachment(network=mode))
    with pytest.raises(InvalidInput, match="container"):
        networks.networks.connect("front", "web", Attachment(network="front"))
    with pytest.raises((InvalidInput, Conflict)):
        networks.networks.disconnect("front", "web")
