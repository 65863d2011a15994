"""User-defined networks with real containers: what they are, and which containers are reached."""

from __future__ import annotations

import json
import subprocess

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, PortMapping, Status
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool
from tests.integration.conftest import await_page

from .conftest import Start, addresses, await_inside, fetched_inside, inside, serving, subnet

pytestmark = [pytest.mark.root, pytest.mark.network]


# being on networks ------------------------------------------------------------------------------


def test_a_network_has_a_bridge_and_inspect_lists_its_containers(
    networks: Engine, start: Start
) -> None:
    front = networks.networks.create(NetworkSpec(name="front", labels={"a": "b"}))
    start("web", "front", hostname="www")
    shown = networks.networks.inspect("front")
    assert shown["Labels"] == {"a": "b"}
    assert shown["IPAM"]["Config"] == [{"Subnet": front.subnet, "Gateway": front.gateway}]
    (member,) = shown["Containers"].values()
    address = addresses(networks, "web")["front"]
    assert member["Name"] == "web"
    assert member["IPv4Address"] == f"{address}/{front.prefix_length}"
    listed = subprocess.run(
        ["ip", "-br", "a", "show", front.bridge], capture_output=True, text=True
    )
    assert front.gateway in listed.stdout


def test_several_networks_are_several_interfaces_with_one_way_out(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("two", "one")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "two", Attachment(network="one", aliases=("w",), ipv4="10.213.1.9"))
    on_networks = addresses(networks, "web")
    assert list(on_networks.items()) == [("one", "10.213.1.9"), ("two", "10.213.0.2")]  # by name
    routes = inside(networks, "web", "ip", "route")
    assert "default via 10.213.1.1 dev eth1" in routes  # the first by name
    assert "10.213.0.0/24 dev eth0" in routes
    hosts = inside(networks, "web", "cat", "/etc/hosts")
    assert "10.213.1.9" in hosts or "10.213.0.2" in hosts


def test_endpoint_files_exist_while_it_runs(networks: Engine, start: Start) -> None:
    front = networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    web = start("web", Attachment(network="front", aliases=("w", "www")), hostname="host")
    path = networks.data_root.networks / front.id / "endpoints" / f"{web.id}.json"
    assert json.loads(path.read_text()) == {
        "name": "web",
        "aliases": ["w", "www"],
        "ipv4": "10.213.0.2",
        "ipv6": "",
        "short_id": web.short_id,
        "hostname": "host",
        "network": "front",
        "internal": False,
        "links": {},
    }
    networks.containers.rename("web", "site")
    assert json.loads(path.read_text())["name"] == "site"
    networks.containers.kill("site")
    networks.containers.wait("site")
    assert not path.exists()
    networks.containers.start("site")
    assert json.loads(path.read_text())["name"] == "site"


def test_a_container_keeps_its_mac_and_its_addresses_are_its_own(
    networks: Engine, start: Start
) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    asked = Attachment(network="front", ipv4="10.213.0.7", mac_address="02:00:00:00:00:07")
    start("web", asked)
    assert "02:00:00:00:00:07" in inside(networks, "web", "ip", "link")
    with pytest.raises(Conflict, match="Address already in use"):
        start("other", Attachment(network="front", ipv4="10.213.0.7"))
    networks.containers.remove("other")


@pytest.mark.parametrize(
    ("attached", "message"),
    [
        (Attachment(network="bridge", ipv4="172.17.0.9"), "on user defined networks only"),
        (Attachment(network="auto", ipv4="172.17.0.9"), "networks with user configured subnets"),
        (Attachment(network="own", ipv4="172.17.0.9"), "no configured subnet or ip-range contain"),
        (Attachment(network="bridge", aliases=("a",)), "containers in user defined networks"),
    ],
)
def test_addresses_that_cannot_be_are_refused_at_the_start(
    networks: Engine, start: Start, attached: Attachment, message: str
) -> None:
    networks.networks.create(NetworkSpec(name="auto"))
    networks.networks.create(NetworkSpec(name="own", pools=subnet(0)))
    with pytest.raises(InvalidInput, match=message):
        start("web", attached)
    assert networks.containers.get("web").status is Status.CREATED
    with pytest.raises(InvalidInput, match=message):
        networks.containers.start("web")


def test_a_container_waits_for_a_network_that_does_not_exist_yet(networks: Engine) -> None:
    spec = ContainerSpec(
        image="busybox", name="web", command=("sleep", "100"),
        attachments=(Attachment(network="later", aliases=("w",)),), network="later",
    )  # fmt: skip
    networks.containers.create(spec)
    endpoint = networks.containers.inspect("web")["NetworkSettings"]["Networks"]["later"]
    assert endpoint["NetworkID"] == ""
    with pytest.raises(NotFound, match="network later not found"):
        networks.containers.start("web")
    network = networks.networks.create(NetworkSpec(name="later", pools=subnet(0)))
    networks.containers.start("web")
    endpoint = networks.containers.inspect("web")["NetworkSettings"]["Networks"]["later"]
    assert (endpoint["NetworkID"], endpoint["Aliases"]) == (network.id, ["w"])
    networks.networks.disconnect("later", "web")


def test_a_created_container_starts_on_a_network_that_was_created_again(networks: Engine) -> None:
    networks.networks.create(NetworkSpec(name="net", pools=subnet(0)))
    spec = ContainerSpec(image="busybox", name="web", command=("true",), network="net")
    networks.containers.create(spec)
    networks.networks.remove("net")
    network = networks.networks.create(NetworkSpec(name="net", pools=subnet(0)))
    networks.containers.start("web")
    networks.containers.wait("web")
    endpoint = networks.containers.inspect("web")["NetworkSettings"]["Networks"]["net"]
    assert endpoint["NetworkID"] == network.id
    networks.networks.remove("net")
    networks.networks.create(NetworkSpec(name="net", pools=subnet(0)))
    with pytest.raises(NotFound, match=f"network {network.id} not found"):
        networks.containers.start("web")


# reachability ----------------------------------------------------------------------------------


def test_containers_of_one_network_reach_each_other_and_no_others(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front", command=serving())
    start("near", "front")
    start("far", "back")
    web = f"http://{addresses(networks, 'web')['front']}/"
    assert await_inside(networks, "near", web) == "hello"
    assert fetched_inside(networks, "far", web) == ""


def test_an_internal_network_leads_nowhere(networks: Engine, start: Start) -> None:
    networks.networks.create(NetworkSpec(name="inner", internal=True, pools=subnet(0)))
    networks.networks.create(NetworkSpec(name="outer", pools=subnet(1)))
    ports, powers = (PortMapping(container_port=80),), ("NET_ADMIN",)
    start("in", "inner", command=serving("inside"), ports=ports, cap_add=powers)
    start("mate", "inner")
    start("out", "outer", command=serving("outside"), ports=(PortMapping(container_port=80),))
    assert networks.containers.get("in").ports == ()
    assert await_inside(networks, "mate", "http://10.213.0.2/") == "inside"
    assert "default" not in inside(networks, "in", "ip", "route")
    inside(networks, "in", "ip", "route", "add", "default", "via", "10.213.0.1")
    port = networks.containers.get("out").ports[0].host_port
    assert await_page(f"http://127.0.0.1:{port}/") == "outside"
    for url in ("http://10.213.1.2/", f"http://10.213.0.1:{port}/"):
        assert fetched_inside(networks, "in", url) == ""
    assert fetched_inside(networks, "out", "http://10.213.0.2/") == ""


def test_without_icc_neighbours_do_not_reach_each_other_but_the_host_does(
    networks: Engine, start: Start
) -> None:
    options = {"com.docker.network.bridge.enable_icc": "false"}
    networks.networks.create(NetworkSpec(name="apart", pools=subnet(0), options=options))
    start("web", "apart", command=serving(), ports=(PortMapping(container_port=80),))
    start("near", "apart")
    assert await_page("http://10.213.0.2/") == "hello"
    assert fetched_inside(networks, "near", "http://10.213.0.2/") == ""
    port = networks.containers.get("web").ports[0].host_port
    assert fetched_inside(networks, "near", f"http://10.213.0.1:{port}/") == "hello"


def test_another_networks_container_is_reached_through_its_published_port(
    networks: Engine, start: Start
) -> None:
    for number, name in enumerate(("front", "back")):
        networks.networks.create(NetworkSpec(name=name, pools=subnet(number)))
    start("web", "front", command=serving(), ports=(PortMapping(container_port=80),))
    start("far", "back")
    port = networks.containers.get("web").ports[0].host_port
    for url in (f"http://10.213.0.1:{port}/", f"http://10.213.1.1:{port}/"):
        assert await_inside(networks, "far", url) == "hello"
    assert fetched_inside(networks, "web", f"http://10.213.0.1:{port}/") == "hello"  # itself


def test_ipv6_inside_and_through_a_published_port(networks: Engine, start: Start) -> None:
    pools = (*subnet(0), Pool(subnet="fd00:213::/64"))
    networks.networks.create(NetworkSpec(name="six", ipv6=True, pools=pools))
    start("web", "six", command=serving(), ports=(PortMapping(container_port=80),))
    start("near", Attachment(network="six", ipv6="fd00:213::99"))
    assert await_inside(networks, "near", "http://[fd00:213::2]/") == "hello"
    assert "default via fd00:213::1" in inside(networks, "web", "ip", "-6", "route")
    port = next(
        port.host_port for port in networks.containers.get("web").ports if port.host_ip == "::"
    )
    for host in ("[::1]", "127.0.0.1", "[fd00:213::1]"):
        assert await_page(f"http://{host}:{port}/") == "hello"
    endpoint = networks.containers.inspect("near")["NetworkSettings"]["Networks"]["six"]
    assert endpoint["GlobalIPv6Address"] == "fd00:213::99"
    assert endpoint["IPv6Gateway"] == "fd00:213::1"


def test_the_hosts_address_of_published_ports_can_be_the_networks_choice(
    networks: Engine, start: Start
) -> None:
    options = {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}
    networks.networks.create(NetworkSpec(name="local", pools=subnet(0), options=options))
    start("web", "local", ports=(PortMapping(container_port=80),))
    assert [port.host_ip for port in networks.containers.get("web").ports] == ["127.0.0.1"]


def test_mtu_and_names_of_interfaces_are_the_networks_choice(
    networks: Engine, start: Start
) -> None:
    options = {
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.container_iface_prefix": "net",
        "com.docker.network.bridge.name": f"dm{networks.data_root.id}own",
    }
    own = networks.networks.create(NetworkSpec(name="own", pools=subnet(0), options=options))
    start("web", "own")
    assert "net0" in (shown := inside(networks, "web", "ip", "link"))
    assert "mtu 1400" in shown.partition("net0")[2]
    assert own.bridge == f"dm{networks.data_root.id}own"
