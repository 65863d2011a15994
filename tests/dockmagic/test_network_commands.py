"""`docker network …` and `--network`: the lines, what they ask for, and what they print."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic import commands
from dockmagic.commands.network.create import pools
from dockmagic.commands.options import network
from dockmagic.commands.options.container import container_spec
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.network import (
    Attachment,
    Network,
    NetworkSpec,
    Pool,
    PrunedNetworks,
)

FRONT = Network(
    id="f" * 64, name="front", driver="bridge", bridge="br-f", subnet="10.0.0.0/24",
    gateway="10.0.0.1", created=1_700_000_000, labels={"tier": "web"}, internal=True,
)  # fmt: skip
HOST = Network(id="a" * 64, name="host", driver="host", bridge="", subnet="", gateway="", created=0)


class Networks:
    """An engine that notes what its networks are asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.networks = self
        self.networks = self

    def create(self, spec: NetworkSpec) -> Network:
        self.asked.append(spec)
        return FRONT

    def warning(self, name: str) -> str:
        return ""

    def list(self, filters: Any) -> tuple[Network, ...]:
        self.asked.append(filters)
        return (FRONT, HOST)

    def inspect(self, name: str) -> dict[str, Any]:
        if name != "front":
            raise NotFound(f"network {name} not found")
        return {"Name": name, "Driver": "bridge"}

    def remove(self, name: str, *, force: bool) -> bool:
        if name != "front" and not force:
            raise NotFound(f"network {name} not found")
        self.asked.append((name, force))
        return name == "front"

    def prune(self, filters: Any) -> PrunedNetworks:
        self.asked.append(filters)
        return PrunedNetworks(names=("back", "front"))

    def connect(self, name: str, container: str, attachment: Attachment) -> None:
        self.asked.append((name, container, attachment))

    def disconnect(self, name: str, container: str, *, force: bool) -> None:
        self.asked.append((name, container, force))


def run(line: str, engine: Networks | None = None) -> tuple[Any, list[Any]]:
    """The last outcome of the line, and what the engine was asked for."""
    engine = engine or Networks()
    outcome: Any = commands.execute(engine, commands.parse(line.split()))  # type: ignore[arg-type]
    if hasattr(outcome, "__next__"):
        *_, outcome = outcome
    return outcome, engine.asked


def spec(line: str) -> ContainerSpec:
    return container_spec(commands.parse(f"run {line} busybox".split()))


# verbs ------------------------------------------------------------------------------------------


def test_create_hands_on_all_that_was_asked_for() -> None:
    outcome, (asked,) = run(
        "network create --subnet 10.0.0.0/24 --ip-range 10.0.0.128/25 --gateway 10.0.0.9 "
        "--aux-address router=10.0.0.5 --internal --attachable --label tier=web "
        "-o com.docker.network.driver.mtu=1400 front"
    )
    pool = Pool(
        subnet="10.0.0.0/24", gateway="10.0.0.9", ip_range="10.0.0.128/25",
        reserved=(("router", "10.0.0.5"),),
    )  # fmt: skip
    assert asked == NetworkSpec(
        name="front", pools=(pool,), internal=True, attachable=True, labels={"tier": "web"},
        options={"com.docker.network.driver.mtu": "1400"},
    )  # fmt: skip
    assert (outcome.text(), outcome.stable()) == ("f" * 64, "front")
    assert outcome.rows()[0]["gateway"] == "10.0.0.1"


def test_each_gateway_goes_to_the_subnet_it_lies_in() -> None:
    result = pools(["10.0.0.0/24", "fd00::/64"], [], ["fd00::9", "10.0.0.9"], ["a=fd00::5"])
    assert result == (
        Pool(subnet="10.0.0.0/24", gateway="10.0.0.9"),
        Pool(subnet="fd00::/64", gateway="fd00::9", reserved=(("a", "fd00::5"),)),
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--gateway 10.0.0.1", "every ip-range or gateway must have a corresponding subnet"),
        ("--ip-range 10.0.0.0/25", "every ip-range or gateway must have a corresponding subnet"),
        ("--subnet 10.0.0.0/8 --subnet 10.1.0.0/16", "multiple overlapping subnet configuration"),
        ("--subnet 10.0.0.0/24 --gateway 10.1.0.1", "no matching subnet for gateway 10.1.0.1"),
        ("--subnet 10.0.0.0/24 --ip-range 10.1.0.0/25", "no matching subnet for range"),
        ("--subnet 10.0.0.0/24 --aux-address a=10.1.0.1", "no matching subnet for aux-address"),
        (
            "--subnet 10.0.0.0/24 --subnet fd00::/64 --gateway 10.0.0.1 --gateway 10.0.0.2",
            "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) on the same subnet",
        ),
        (
            "--subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2",
            "every ip-range or gateway must have a corresponding subnet",
        ),
        ("--subnet 10.0.0.0/24 --gateway ten", "no matching subnet for gateway ten"),
        ("--subnet 10.0.0.0", "Invalid subnet 10.0.0.0 : invalid CIDR address: 10.0.0.0"),
        ("--subnet ten", "invalid CIDR address: ten"),
        ("--ipv4=false", "IPv4 cannot be switched off"),
        ("--ipam-driver dhcp", "invalid ipam driver: dhcp"),
        ("--scope swarm", "invalid scope: swarm"),
        ("--ingress", "it belongs to swarms"),
        ("--config-only --scope local", "configuration network can only contain"),
    ],
)
def test_create_refuses(flags: str, message: str) -> None:
    with pytest.raises(DockmagicError) as caught:
        run(f"network create {flags} front")
    assert message in str(caught.value)


def test_ls_shows_dockers_columns_and_hides_what_varies() -> None:
    outcome, asked = run("network ls -f driver=bridge -f label=a -f label=b=c")
    assert asked == [{"driver": ["bridge"], "label": ["a", "b=c"]}]
    assert outcome.text().splitlines() == [
        "NETWORK ID     NAME      DRIVER    SCOPE",
        "ffffffffffff   front     bridge    local",
        "aaaaaaaaaaaa   host      host      local",
    ]
    assert outcome.stable().splitlines()[0].split() == ["NAME", "DRIVER", "SCOPE"]
    assert outcome.rows()[0]["subnet"] == "10.0.0.0/24"


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ("-q", "ffffffffffff"),
        ("-q --no-trunc", "f" * 64),
        ("--format {{.Name}}:{{.Internal}}:{{.IPv6}}", "front:true:false"),
    ],
)
def test_ls_in_other_forms(flags: str, first: str) -> None:
    assert run(f"network ls {flags}")[0].text().splitlines()[0] == first


def test_inspect_and_rm_go_on_behind_one_that_is_missing() -> None:
    shown, _ = run("network inspect nope front -f {{.Driver}}")
    assert shown.text() == "bridge"
    assert [error.message for error in shown.errors] == ["network nope not found"]
    removed, asked = run("network rm nope front")
    assert (removed.text(), asked) == ("front", [("front", False)])
    assert [error.message for error in removed.errors] == ["network nope not found"]
    removed, asked = run("network remove -f nope front")
    assert (removed.text(), asked) == ("front", [("nope", True), ("front", True)])


def test_prune_names_what_has_gone_and_asks_before() -> None:
    outcome, asked = run("network prune -f --filter until=1h")
    assert outcome.text() == "Deleted Networks:\nback\nfront\n"
    assert asked == [{"until": ["1h"]}]
    question, asked = run("network prune")
    assert asked == []
    assert question.text.startswith("WARNING! This will remove all custom networks not used")


def test_connect_and_disconnect() -> None:
    _, asked = run(
        "network connect --ip 10.0.0.7 --ip6 fd00::7 --alias a --alias b --gw-priority 3 "
        "--driver-opt com.docker.network.endpoint.ifname=f0 front web"
    )
    attachment = Attachment(
        network="front", aliases=("a", "b"), ipv4="10.0.0.7", ipv6="fd00::7", gw_priority=3,
        driver_options=(("com.docker.network.endpoint.ifname", "f0"),),
    )  # fmt: skip
    assert asked == [("front", "web", attachment)]
    assert run("network disconnect -f front web")[1] == [("front", "web", True)]


# --network --------------------------------------------------------------------------------------


def test_without_flags_there_is_the_default_network() -> None:
    assert (spec("").network, spec("").attachments) == ("bridge", ())
    assert spec("--network default").network == "bridge"


def test_networks_with_their_options() -> None:
    mac = "02:42:AC:11:00:02"
    parsed = spec(f"--network name=a,alias=x,alias=y,ip=10.0.0.7,ip6=fd00::7,mac-address={mac} "
                 "--network b --network name=c,gw-priority=2")  # fmt: skip
    assert parsed.network == "a"
    assert parsed.attachments == (
        Attachment(
            network="a", aliases=("x", "y"), ipv4="10.0.0.7", ipv6="fd00::7",
            mac_address=mac.lower(),
        ),
        Attachment(network="b"),
        Attachment(network="c", gw_priority=2),
    )  # fmt: skip


def test_flags_of_their_own_are_the_first_networks() -> None:
    mac = "02-03-04-05-06-07"
    parsed = spec(f"--network a --network b --network-alias x --ip 10.0.0.7 --mac-address {mac}")
    first = Attachment(
        network="a", aliases=("x",), ipv4="10.0.0.7", mac_address="02:03:04:05:06:07"
    )
    assert parsed.attachments == (first, Attachment(network="b"))
    assert spec("--mac-address 02:03:04:05:06:07").attachments[0].network == "bridge"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--network a --network a", 'network "a" is specified multiple times'),
        ("--network host --network a", "cannot attach both user-defined and non-user-defined"),
        ("--network bridge --network a", "cannot attach both user-defined and non-user-defined"),
        ("--network name=a,ip=10.0.0.1 --ip 10.0.0.2", "both --ip and per-network IPv4 address"),
        ("--network name=a,alias=x --network-alias y", "--network-alias and per-network alias"),
        ("--network alias=x", "network name/id is not specified"),
        ("--network name=a,colour=red", "invalid field key colour"),
        ("--network name=a,alias", "invalid field alias"),
        ("--network name=a,driver-opt=x=y", "the driver option x of an endpoint is not supported"),
        (
            "--network name=a,driver-opt=com.docker.network.endpoint.ifname=a/b",
            "invalid interface name: 'a/b'",
        ),
        ("--network container:x --ip 10.0.0.1", "supported on user defined networks only"),
        (
            "--network-alias x",
            "network-scoped aliases are only supported for user-defined networks",
        ),
        ("--network host --mac-address 02:00:00:00:00:01", "mac-address and the network mode"),
        ("--ip fd00::1", "invalid IPv4 address"),
        ("--ip6 10.0.0.1", "invalid IPv6 address"),
        ("--mac-address 02:00", "is not a valid mac address"),
        ("--mac-address 01:00:00:00:00:01", "is not an address of one interface"),
    ],
)
def test_what_contradicts_is_refused(flags: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        spec(flags)
    assert message in caught.value.message


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
def test_an_address_that_a_network_cannot_give_is_refused_at_the_start(mode: str) -> None:
    (attachment,) = spec(f"--network {mode} --ip 10.0.0.1").attachments
    assert attachment.ipv4 == "10.0.0.1"


def test_a_host_range_for_one_port_is_the_first_that_is_free() -> None:
    (port,) = spec("-p 127.0.0.1:8000-8010:80").ports
    assert (port.host_port, port.host_port_end, port.container_port) == (8000, 8010, 80)
    assert [port.host_port for port in spec("-p 8000-8002:80-82/udp").ports] == [8000, 8001, 8002]
    (six,) = spec("-p [::1]:8080:80/sctp").ports
    assert (six.host_ip, six.protocol) == ("::1", "sctp")


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_network_or_refused(text: str) -> None:
    try:
        parsed = network.parse_network(text)
    except (ValueError, InvalidInput):
        return
    assert parsed.network
