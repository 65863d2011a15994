"""Networks of one's own, and containers on them that are asked from inside."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import (
    Container,
    ContainerSpec,
    ExecSpec,
)
from dockmagic_runtime.model.network import Attachment, Pool
from tests.integration.conftest import collect

SERVE = ("httpd", "-f", "-p", "80", "-h", "/www")


def subnet(number: int) -> tuple[Pool, ...]:
    """One that no pool of Docker's has."""
    return (Pool(subnet=f"10.213.{number}.0/24"),)


@pytest.fixture
def networks(engine: Engine, own_subnets: None) -> Iterator[Engine]:
    """The engine; networks that the test leaves are removed behind it."""
    yield engine
    for container in engine.containers.list(all=True):
        engine.containers.remove(container.id, force=True)
    engine.networks.prune()
    assert [network.name for network in engine.networks.list()] == ["bridge", "host", "none"]
    assert not [name for _, name in socket.if_nameindex() if name in _own_links(engine)]


def _own_links(engine: Engine) -> list[str]:
    prefix = f"dm{engine.data_root.id}"
    return [name for _, name in socket.if_nameindex()
            if name.startswith(prefix) and name != engine.data_root.bridge]  # fmt: skip


Start = Callable[..., Container]


@pytest.fixture
def start(networks: Engine) -> Start:
    """`start("web", "front", "back", …)`: a container that sleeps, on these networks."""

    def start(name: str, *names: str | Attachment, **spec: Any) -> Container:
        attached = tuple(
            each if isinstance(each, Attachment) else Attachment(network=each) for each in names
        )
        command = spec.pop("command", ("sleep", "1000"))
        return networks.containers.run(
            ContainerSpec(
                image="busybox",
                name=name,
                command=command,
                network=attached[0].network if attached else "bridge",
                attachments=attached,
                **spec,
            ),
            detach=True,
        )

    return start


def serving(text: str = "hello") -> tuple[str, ...]:
    return ("sh", "-c", f"mkdir /www; echo {text} > /www/index.html; exec {' '.join(SERVE)}")


def inside(engine: Engine, name: str, *command: str) -> str:
    ended = collect(engine.containers.exec(name, ExecSpec(command=command)))
    return ended.stdout + ended.stderr


def addresses(engine: Engine, name: str) -> dict[str, str]:
    endpoints = engine.containers.inspect(name)["NetworkSettings"]["Networks"]
    return {network: endpoint["IPAddress"] for network, endpoint in endpoints.items()}


def fetched_inside(engine: Engine, name: str, url: str) -> str:
    """What the container gets from there; empty when it gets nothing within a second."""
    command = ("timeout", "1", "wget", "-q", "-O-", url)
    ended = collect(engine.containers.exec(name, ExecSpec(command=command)))
    return ended.stdout.strip() if ended.code == 0 else ""


def await_inside(engine: Engine, name: str, url: str) -> str:
    deadline = time.monotonic() + 20
    while not (answer := fetched_inside(engine, name, url)):
        assert time.monotonic() < deadline
    return answer


def host_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
