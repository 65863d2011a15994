"""What is left when networks, their containers and their engines end."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import (
    ContainerSpec,
    PortMapping,
)
from dockmagic_runtime.model.network import NetworkSpec, Pool
from tests.integration.conftest import await_page
from tests.integration.losing import lose

from .conftest import Start, host_address, serving, subnet

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_a_network_in_use_stays_and_one_that_is_not_goes_without_a_trace(
    networks: Engine, start: Start
) -> None:
    front = networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front")
    with pytest.raises(Conflict, match=r'has active endpoints \(name:"web" id:"[0-9a-f]{12}"'):
        networks.networks.remove("front")
    assert networks.networks.prune().names == ()
    networks.containers.kill("web")
    networks.containers.wait("web")
    networks.networks.remove(front.short_id)
    assert front.bridge not in dict(map(reversed, socket.if_nameindex()))  # type: ignore[arg-type]
    assert not (networks.data_root.networks / front.id).exists()
    listing = subprocess.run(
        ["nft", "list", "table", "ip", networks.data_root.nft_table], capture_output=True, text=True
    ).stdout
    assert front.bridge not in listing
    assert "10.213.0.0" not in listing
    with pytest.raises(NotFound, match=r"network .* not found"):
        networks.containers.start("web")
    assert networks.containers.get("web").status == "exited"


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_the_three_that_are_always_there_stay(networks: Engine, name: str) -> None:
    with pytest.raises(Conflict, match=f"{name} is a pre-defined network and cannot be removed"):
        networks.networks.remove(name)
    with pytest.raises(Conflict, match=f"not permitted on predefined {name} network"):
        networks.networks.create(NetworkSpec(name=name))


def test_overlaps_and_names_in_use_are_refused_with_nothing_made(networks: Engine) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    before = sorted(os.listdir(networks.data_root.networks)), socket.if_nameindex()
    for spec, message in (
        (NetworkSpec(name="front"), "network with name front already exists"),
        (NetworkSpec(name="b", pools=(Pool(subnet="10.213.0.128/25"),)), "Pool overlaps"),
        (NetworkSpec(name="b", pools=(Pool(subnet="127.0.0.0/8"),)), "Pool overlaps"),
    ):
        with pytest.raises(Conflict, match=message):
            networks.networks.create(spec)
    assert (sorted(os.listdir(networks.data_root.networks)), socket.if_nameindex()) == before


def test_what_a_killed_create_or_rm_has_left_is_taken_away(networks: Engine) -> None:
    front = networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    with (
        networks._components.database.transaction() as connection
    ):  # killed between the row and the rest
        connection.execute("DELETE FROM networks WHERE id = ?", (front.id,))
    with Engine(networks.data_root.root) as other:
        other.system.recover()
    assert not (networks.data_root.networks / front.id).exists()
    assert front.bridge not in [name for _, name in socket.if_nameindex()]


def test_a_killed_supervisor_leaves_no_endpoint_and_no_lease(
    networks: Engine, start: Start
) -> None:
    front = networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front", ports=(PortMapping(container_port=80),))
    lose(networks, "web")
    assert networks.containers.get("web").status == "exited"
    assert list((networks.data_root.networks / front.id / "endpoints").iterdir()) == []
    events = [
        (event.action, event.attributes["name"])
        for event in networks.system.events(filters={"type": ["network"]})
    ]
    assert events[-2:] == [("connect", "front"), ("disconnect", "front")]
    networks.networks.remove("front")


def test_engines_that_make_and_remove_at_once_never_meet(networks: Engine) -> None:
    """Each network gets a subnet of its own, and nothing is left."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        results = pool.map(_make_and_remove, [(str(networks.data_root.root), n) for n in range(3)])
    assert results == [4, 4, 4]
    assert [network.name for network in networks.networks.list()] == ["bridge", "host", "none"]


def _make_and_remove(work: tuple[str, int]) -> int:
    root, number = work
    connected = 0
    with Engine(root) as engine:
        for turn in range(4):
            name = f"n{number}-{turn}"
            engine.networks.create(NetworkSpec(name=name))
            engine.containers.run(
                ContainerSpec(image="busybox", name=name, network=name, command=("sleep", "99")),
                detach=True,
            )
            connected += len(engine.networks.inspect(name)["Containers"])
            engine.containers.remove(name, force=True)
            engine.networks.remove(name)
    return connected


def test_a_thousand_requests_and_none_is_lost_while_others_come_and_go(
    networks: Engine, start: Start
) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front", command=serving(), ports=(PortMapping(container_port=80),))
    port = networks.containers.get("web").ports[0].host_port
    hosts = ("127.0.0.1", "[::1]", host_address(), "10.213.0.1")
    urls = [f"http://{host}:{port}/" for host in hosts]
    assert [await_page(url) for url in urls] == ["hello"] * 4

    def fetch(number: int) -> str:
        with urllib.request.urlopen(urls[number % 4], timeout=30) as answer:
            return str(answer.read().decode()).strip()

    with ThreadPoolExecutor(24) as many:
        answers = [many.submit(fetch, number) for number in range(1000)]
        for number in range(6):
            other = start(f"other{number}", "front", ports=(PortMapping(container_port=80),))
            networks.containers.remove(other.id, force=True)
        assert [answer.result() for answer in answers] == ["hello"] * 1000


def test_the_data_path_survives_its_engine(networks: Engine, start: Start) -> None:
    networks.networks.create(NetworkSpec(name="front", pools=subnet(0)))
    start("web", "front", command=serving(), ports=(PortMapping(container_port=80),))
    port = networks.containers.get("web").ports[0].host_port
    with suppress(ProcessLookupError), Engine(networks.data_root.root) as other:
        other.containers.list()
    assert await_page(f"http://127.0.0.1:{port}/") == "hello"
    assert await_page(f"http://{host_address()}:{port}/") == "hello"
