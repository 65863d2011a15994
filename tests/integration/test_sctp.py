"""Publishing ports of SCTP: a server in a container, and the clients that may reach it."""

from __future__ import annotations

import os
import re
import socket
import sys

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine

from .conftest import Build, wait_for

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.sctp]

SERVE = """
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
listener.bind(("", 9000))
listener.listen()
print("listening", flush=True)
while True:
    one, peer = listener.accept()
    with one:
        one.send(peer[0].encode())
        while message := one.recv(65536):
            one.send(message)
"""
ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as asking:
    asking.settimeout(20)
    asking.connect((sys.argv[1], int(sys.argv[2])))
    asking.recv(100)
    asking.send(b"one")
    asking.send(b"two")
    print(asking.recv(100), asking.recv(100))
"""
ANSWERED = [b"one", b"two"]


class Docker:
    """The command line, and the tests' own Python in containers of busybox."""

    def __init__(self, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
        self.engine = engine
        self.session = Session()
        self.session.use(engine)
        self._capfd = capfd
        self._python = os.path.realpath(sys.executable)
        self._places = {"/usr", "/lib", "/lib64", sys.base_prefix}

    def __call__(self, *words: str, code: int = 0) -> str:
        """What that command prints."""
        self._capfd.readouterr()
        assert main(list(words), self.session) == code, self._capfd.readouterr()
        out, err = self._capfd.readouterr()
        return (out or err).strip()

    def _python_in(self, image: str, *words: str) -> list[str]:
        inner = [path for path in self._places if not path.startswith("/usr/")]
        mounts = [word for path in inner for word in ("-v", f"{path}:{path}:ro")]
        return [*mounts, image, self._python, "-c", *words]

    def serve(self, *flags: str, image: str = "busybox") -> None:
        """A container called web that runs the server, as soon as it listens."""
        self("run", "-d", "--name", "web", *flags, *self._python_in(image, SERVE))
        wait_for(self.engine, "web", "listening")

    def ask_inside(self, address: str, port: int, *flags: str, code: int = 0) -> str:
        words = self._python_in("busybox", ASK, address, str(port))
        return self("run", "--rm", *flags, *words, code=code)


@pytest.fixture
def docker(engine: Engine, capfd: pytest.CaptureFixture[str]) -> Docker:
    return Docker(engine, capfd)


def ask(address: str, port: int) -> list[bytes]:
    """What the server sends back of two messages, from this host."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as asking:
        asking.settimeout(20)
        asking.connect((address, port))
        asking.recv(100)
        asking.send(b"one")
        asking.send(b"two")
        return [asking.recv(100), asking.recv(100)]


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free."""
    for first in range(21000, 31000, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def gateway(engine: Engine) -> str:
    settings = engine.containers.inspect("web")["NetworkSettings"]["Networks"]["bridge"]
    return str(settings["Gateway"])


def test_a_published_port_is_reached_from_everywhere_until_the_container_ends(
    docker: Docker,
) -> None:
    port = free_ports(1)
    docker.serve("-p", f"{port}:9000/sctp")
    here = gateway(docker.engine)
    for address in ("127.0.0.1", "::1", here):
        assert ask(address, port) == ANSWERED
    assert docker.ask_inside(here, port) == "b'one' b'two'"
    assert docker("port", "web").splitlines() == [
        f"9000/sctp -> 0.0.0.0:{port}",
        f"9000/sctp -> [::]:{port}",
    ]
    assert docker("port", "web", "9000/sctp").splitlines() == [f"0.0.0.0:{port}", f"[::]:{port}"]
    shown = docker("ps", "--format", "{{.Ports}}")
    assert shown == f"0.0.0.0:{port}->9000/sctp, [::]:{port}->9000/sctp"
    docker("restart", "-t", "0", "web")
    wait_for(docker.engine, "web", "listening(?s:.*)listening")
    assert ask("127.0.0.1", port) == ANSWERED
    docker("rm", "-f", "web")
    for address in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            ask(address, port)


def test_on_loopback_it_is_reached_from_this_host_alone(docker: Docker) -> None:
    port = free_ports(1)
    docker.serve("-p", f"127.0.0.1:{port}:9000/sctp")
    assert ask("127.0.0.1", port) == ANSWERED
    here = gateway(docker.engine)
    with pytest.raises(ConnectionRefusedError):
        ask(here, port)
    assert "ConnectionRefusedError" in docker.ask_inside(here, port, code=1)


def test_on_a_network_of_ones_own_it_needs_no_publishing(docker: Docker, own_subnets: None) -> None:
    docker("network", "create", "--subnet", "10.213.77.0/24", "telecom")
    docker.serve("--network", "telecom")
    assert docker.ask_inside("web", 9000, "--network", "telecom") == "b'one' b'two'"
    docker("rm", "-f", "web")
    docker("network", "rm", "telecom")


def test_a_port_that_the_image_exposes_is_published_with_a_free_one(
    docker: Docker, build: Build
) -> None:
    docker.serve("-P", image=build("FROM busybox\nEXPOSE 9000/sctp\n"))
    match = re.search(r"0\.0\.0\.0:(\d+)->9000/sctp", docker("ps", "--format", "{{.Ports}}"))
    assert match is not None
    assert ask("127.0.0.1", int(match[1])) == ANSWERED


def test_a_port_is_held_against_other_containers_and_programs(docker: Docker) -> None:
    port = free_ports(1)
    docker("run", "-d", "-p", f"{port}:9000/sctp", "busybox", "sleep", "1000")
    refused = docker("run", "-d", "-p", f"{port}:1/sctp", "busybox", "sleep", "1000", code=125)
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in refused
    assert not _is_free(port)
    docker("run", "-d", "-p", f"{port}:9000/udp", "busybox", "sleep", "1000")  # another port


def test_ranges_and_the_first_that_is_free(docker: Docker) -> None:
    first = free_ports(4)
    last = first + 1
    docker(
        "run", "-d", "--name", "aa", "-p", f"{first}-{last}:7-8/sctp", "busybox", "sleep", "9999"
    )
    lines = [line for line in docker("port", "aa").splitlines() if "0.0.0.0" in line]
    assert lines == [f"7/sctp -> 0.0.0.0:{first}", f"8/sctp -> 0.0.0.0:{last}"]
    wished = f"{first}-{first + 3}:7/sctp"
    docker("run", "-d", "--name", "bb", "-p", wished, "busybox", "sleep", "9999")
    assert f"0.0.0.0:{first + 2}" in docker("port", "bb", "7/sctp")
    docker("run", "-d", "--name", "cc", "-p", "7/sctp", "busybox", "sleep", "9999")
    assert re.fullmatch(r"0\.0\.0\.0:(\d+)\n\[::\]:\1", docker("port", "cc", "7/sctp"))
