"""Names on users' networks, asked for by programs in containers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import Container, ContainerSpec, ExecSpec, RestartPolicy
from dockmagic_runtime.model.network import Attachment, NetworkSpec

from .conftest import Ended, Run, collect
from .test_survival import supervisor_of as parent_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.fixture
def net(engine: Engine) -> str:
    return engine.networks.create(NetworkSpec(name="net")).name


Start = Callable[..., Container]


@pytest.fixture
def start(engine: Engine, net: str) -> Start:
    """A container that sleeps on `net`, or on other networks, if given."""

    def start(name: str, **more: Any) -> Container:
        spec = {"image": "busybox", "command": ("sleep", "1000"), "network": net, **more}
        return engine.containers.run(ContainerSpec(name=name, **spec), detach=True)

    return start


@pytest.fixture
def execute(engine: Engine) -> Callable[..., Ended]:
    def execute(name: str, *argv: str) -> Ended:
        return collect(engine.containers.exec(name, ExecSpec(command=argv)))

    return execute


Execute = Callable[..., Ended]


def addresses(ended: Ended) -> list[str]:
    """What nslookup says, without the server's own."""
    _, _, answer = ended.stdout.partition("\n\n")
    words = answer.split()
    return [word for before, word in pairwise(words) if before == "Address:"]


def supervisor_of(container: Container) -> int:
    return parent_of(container.pid)


def resolvers_of(supervisor: int) -> list[int]:
    answers = []
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/comm").read_text() == "dockmagic-names\n":
                answers.append(int(pid))
    return answers


def test_containers_find_each_other(start: Start, execute: Execute, run: Run, net: str) -> None:
    db = start("db", attachments=(Attachment(network=net, aliases=("database",)),))
    start("web")
    for name in ("db", "database", "db.net", db.short_id):
        assert addresses(execute("web", "nslookup", name)) == [db.ip_address]
    assert execute("web", "ping", "-c", "1", "db").code == 0
    assert f"name = db.{net}" in execute("web", "nslookup", db.ip_address).stdout
    assert run("nslookup", "db").code != 0  # on the default network there are no names


def test_the_first_thing_a_program_does_may_be_to_ask(run: Run, start: Start, net: str) -> None:
    db = start("db")
    for _ in range(5):
        assert db.ip_address in run("nslookup", "db", network=net).stdout


def test_started_and_stopped_containers_are_known_and_forgotten(
    engine: Engine, start: Start, execute: Execute
) -> None:
    start("web")
    assert execute("web", "nslookup", "db").code != 0
    db = start("db")
    assert addresses(execute("web", "nslookup", "db")) == [db.ip_address]
    engine.containers.remove("db", force=True)
    assert execute("web", "nslookup", "db").code != 0


def test_a_killed_resolver_is_replaced_and_a_restart_brings_one(
    engine: Engine, start: Start, execute: Execute
) -> None:
    web = start("web")
    supervisor = supervisor_of(web)
    assert resolvers_of(supervisor) == []
    assert execute("web", "nslookup", "web").code == 0
    (resolver,) = resolvers_of(supervisor)
    os.kill(resolver, signal.SIGKILL)
    assert execute("web", "nslookup", "web").code == 0
    assert resolvers_of(supervisor) != [resolver]
    engine.containers.restart("web", timeout=0)
    assert execute("web", "nslookup", "web").code == 0


def test_after_a_crash_the_program_that_is_started_again_can_ask_too(
    engine: Engine, start: Start, execute: Execute
) -> None:
    web = start("web", restart=RestartPolicy(name="always"))
    assert execute("web", "nslookup", "web").code == 0
    (resolver,) = resolvers_of(supervisor_of(web))
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").pid not in (0, web.pid))
    assert not os.path.exists(f"/proc/{resolver}")
    assert execute("web", "nslookup", "web").code == 0


def test_the_resolver_ends_with_its_container(
    engine: Engine, start: Start, execute: Execute
) -> None:
    web = start("web")
    execute("web", "nslookup", "web")
    (resolver,) = resolvers_of(supervisor_of(web))
    engine.containers.stop("web", timeout=0)
    assert eventually(lambda: not os.path.exists(f"/proc/{resolver}"))


def test_a_killed_supervisor_takes_its_resolver_along(start: Start, execute: Execute) -> None:
    web = start("web")
    execute("web", "nslookup", "web")
    supervisor = supervisor_of(web)
    (resolver,) = resolvers_of(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: not os.path.exists(f"/proc/{resolver}"))


def test_a_name_server_in_the_container_may_have_port_53(
    engine: Engine, start: Start, execute: Execute
) -> None:
    start("web")
    server = engine.containers.exec(
        "web", ExecSpec(command=("nc", "-l", "-p", "53"), open_stdin=True)
    )
    assert eventually(lambda: ":53 " in execute("web", "netstat", "-ltn").stdout)
    assert execute("web", "nslookup", "web").code == 0
    server.close()


# ------------------------------------------------------------------ the three files


def test_resolv_conf_leads_to_the_resolver(run: Run, net: str) -> None:
    text = run("cat", "/etc/resolv.conf", network=net, dns_search=("example.org",)).stdout
    assert text.startswith("nameserver 127.0.0.11\nsearch example.org\noptions ")
    assert "ndots:0" in text
    own = run("cat", "/etc/resolv.conf", network=net, dns_search=(".",), dns_options=("ndots:2",))
    assert own.stdout == "nameserver 127.0.0.11\noptions ndots:2\n"


def test_with_the_hosts_network_its_files_are_seen(run: Run) -> None:
    for name in ("hosts", "resolv.conf"):
        assert run("cat", f"/etc/{name}", network="host").stdout == Path(f"/etc/{name}").read_text()
    assert run("cat", "/etc/hostname", network="host").stdout == f"{socket.gethostname()}\n"
    assert run("hostname", network="host").stdout == f"{socket.gethostname()}\n"
    more = run("cat", "/etc/hosts", network="host", extra_hosts=("up:192.0.2.1",)).stdout
    assert more.endswith("192.0.2.1\tup\n")


def test_another_containers_network_comes_with_its_files(
    start: Start, execute: Execute, run: Run
) -> None:
    web = start("web", hostname="www", extra_hosts=("up:host-gateway",))
    for name in ("hosts", "hostname", "resolv.conf"):
        its = execute("web", "cat", f"/etc/{name}").stdout
        assert run("cat", f"/etc/{name}", network="container:web").stdout == its
    assert run("hostname", network="container:web").stdout == "www\n"
    assert web.ip_address in run("nslookup", "web", network="container:web").stdout
    both = "echo 192.0.2.9 both >>/etc/hosts"
    assert run("sh", "-c", both, network="container:web").code == 0
    assert "both" in execute("web", "cat", "/etc/hosts").stdout


def test_a_container_on_two_networks_is_in_its_own_hosts_twice(
    engine: Engine, run: Run, net: str
) -> None:
    other = engine.networks.create(NetworkSpec(name="other")).name
    both = (Attachment(network=net), Attachment(network=other))
    text = run("cat", "/etc/hosts", network=net, attachments=both, hostname="me").stdout
    assert len([line for line in text.splitlines() if line.endswith("\tme")]) == 2


# ------------------------------------------------------------------ outside


@pytest.fixture
def upstream(engine: Engine, net: str) -> Iterator[socket.socket]:
    """A name server that only listens, on the host's end of `net`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((engine.networks.get(net).gateway, 53))
        server.setblocking(False)
        yield server


def asked(upstream: socket.socket) -> list[bytes]:
    questions = []
    with contextlib.suppress(BlockingIOError):
        while True:
            questions.append(upstream.recv(9999))
    return questions


def test_unknown_names_are_forwarded_to_the_given_server(
    start: Start, execute: Execute, upstream: socket.socket
) -> None:
    start("web", dns=(upstream.getsockname()[0],))
    execute("web", "timeout", "1", "nslookup", "there.example")
    assert any(b"\x05there\x07example" in question for question in asked(upstream))


def test_row_39_from_an_internal_network_nothing_is_asked_outside(
    engine: Engine, start: Start, execute: Execute, upstream: socket.socket
) -> None:
    inside = engine.networks.create(NetworkSpec(name="inside", internal=True)).name
    server = upstream.getsockname()[0]
    start("db", network=inside, dns=(server,))
    start("web", network=inside, dns=(server,))
    assert execute("web", "nslookup", "db").code == 0
    refused = execute("web", "nslookup", "secret.example.com")
    assert "SERVFAIL" in refused.stdout + refused.stderr
    assert asked(upstream) == []


# ------------------------------------------------------------------ cost


def test_an_idle_supervisor_is_no_larger_for_it(start: Start) -> None:
    def private(pid: int) -> int:
        words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
        return int(words[words.index("Pss:") + 1])

    plain = private(supervisor_of(start("plain", network="bridge")))
    named = private(supervisor_of(start("named")))
    assert named < plain + 200  # KiB


# ------------------------------------------------------------------ while it runs


def test_on_its_first_network_of_users_it_begins_to_resolve_and_on_none_it_stops(
    engine: Engine, start: Start, execute: Execute, net: str
) -> None:
    db = start("db")
    start("web", network="bridge")
    asked = Attachment(network=net, links=(("store", "db"),))
    engine.networks.connect(net, "web", asked)
    for name in ("db", "store"):
        assert addresses(execute("web", "nslookup", name)) == [db.ip_address]
    assert execute("db", "nslookup", "store").code != 0
    engine.containers.rename("db", "data")
    assert addresses(execute("web", "nslookup", "data")) == [db.ip_address]
    assert execute("web", "nslookup", "db").code != 0
    engine.networks.disconnect(net, "web")
    assert "127.0.0.11" not in execute("web", "cat", "/etc/resolv.conf").stdout


def test_a_resolv_conf_that_was_edited_is_left_as_it_is(
    engine: Engine, start: Start, execute: Execute, net: str
) -> None:
    start("web", network="bridge")
    execute("web", "sh", "-c", "echo nameserver 192.0.2.1 >/etc/resolv.conf")
    engine.networks.connect(net, "web", Attachment(network=net))
    assert execute("web", "cat", "/etc/resolv.conf").stdout == "nameserver 192.0.2.1\n"
    engine.containers.restart("web", timeout=0)
    assert execute("web", "cat", "/etc/resolv.conf").stdout.startswith("nameserver 127.0.0.11\n")
