"""Real programs that find each other by name: MariaDB, Apache, curl, dig, ping, nc."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.build import BuildDone, BuildRequest
from dockmagic_runtime.model.container import Container, ContainerSpec, ExecSpec, PortMapping
from dockmagic_runtime.model.network import Attachment, NetworkSpec

from .conftest import Ended, collect
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]

_TOOLS = """
FROM debian
RUN apt-get update && apt-get install -y --no-install-recommends \\
    bind9-dnsutils curl iputils-ping netcat-openbsd python3-pymysql mariadb-client
"""
_QUERY = """
import pymysql
with pymysql.connect(host="db", user="root", password="secret", database="course") as db:
    with db.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS t (name VARCHAR(20))")
        cursor.execute("INSERT INTO t VALUES ('hello')")
        cursor.execute("SELECT name FROM t")
        print(cursor.fetchone()[0])
"""

Execute = Callable[..., Ended]


@pytest.fixture
def net(engine: Engine) -> str:
    return engine.networks.create(NetworkSpec(name="net")).name


@pytest.fixture
def tools(engine: Engine, net: str) -> Container:
    """A container on `net` with the programs, from Debian's packages."""
    events = engine.images.build(BuildRequest(dockerfile=_TOOLS, context=None, tags=("tools",)))
    assert any(isinstance(event, BuildDone) for event in events)
    spec = ContainerSpec(image="tools", name="tools", command=("sleep", "1000"), network=net)
    return engine.containers.run(spec, detach=True)


@pytest.fixture
def execute(engine: Engine, tools: Container) -> Execute:
    def execute(*argv: str) -> Ended:
        return collect(engine.containers.exec("tools", ExecSpec(command=argv)))

    return execute


@pytest.fixture
def web(engine: Engine, net: str) -> Container:
    for _ in engine.images.pull("httpd"):
        pass
    aliased = (Attachment(network=net, aliases=("www",)),)
    ports = (PortMapping(container_port=80),)
    spec = ContainerSpec(image="httpd", name="web", network=net, attachments=aliased, ports=ports)
    return engine.containers.run(spec, detach=True)


def test_real_programs_find_each_other(
    engine: Engine, net: str, web: Container, execute: Execute
) -> None:
    """One test: the images with the programs are made once."""
    apache_answers_curl_by_name_and_alias(web, execute)
    glibc_ping_and_netcat_resolve(web, execute)
    dig_gets_what_a_name_server_has_to_say(web, execute)
    mariadb_serves_a_python_client_by_name(engine, net, execute)


def apache_answers_curl_by_name_and_alias(web: Container, execute: Execute) -> None:
    url = ("curl", "-sf", "--retry", "20", "--retry-connrefused", "--retry-delay", "1")
    for name in ("web", "www", "web.net", web.short_id, "WEB"):
        assert "It works!" in execute(*url, f"http://{name}/").stdout


def glibc_ping_and_netcat_resolve(web: Container, execute: Execute) -> None:
    assert f"{web.ip_address} " in execute("getent", "ahostsv4", "www").stdout
    assert execute("getent", "hosts", web.ip_address).stdout.split()[1] == "web.net"
    assert "1 received" in execute("ping", "-c", "1", "-W", "5", "web").stdout
    assert eventually(lambda: execute("nc", "-z", "-w", "5", "web", "80").code == 0)


def dig_gets_what_a_name_server_has_to_say(web: Container, execute: Execute) -> None:
    dig = ("dig", "+noall", "+answer", "+comments")
    for more in ((), ("+tcp",), ("+noedns",), ("+dnssec",)):
        answer = execute(*dig, *more, "web", "A").stdout
        assert "status: NOERROR" in answer
        assert f"web.\t\t\t600\tIN\tA\t{web.ip_address}" in answer
    nothing = execute(*dig, "web", "AAAA").stdout
    assert "status: NOERROR" in nothing
    assert "ANSWER: 0" in nothing
    assert "web.net." in execute(*dig, "-x", web.ip_address).stdout
    assert "SERVER: 127.0.0.11#53" in execute("dig", "web").stdout


def mariadb_serves_a_python_client_by_name(engine: Engine, net: str, execute: Execute) -> None:
    for _ in engine.images.pull("mysql:5.7"):
        pass
    env = ("MYSQL_ROOT_PASSWORD=secret", "MYSQL_DATABASE=course")
    engine.containers.run(
        ContainerSpec(image="mysql:5.7", name="db", network=net, env=env), detach=True
    )
    ping = ("mysqladmin", "--host=db", "--user=root", "--password=secret", "ping")
    last = Ended(1, "", "")

    def is_up() -> bool:
        nonlocal last
        last = execute(*ping)
        return last.code == 0

    for _ in range(9):
        if eventually(is_up):
            break
    assert last.code == 0, last.stderr
    answer = execute("python3", "-c", _QUERY)
    assert answer.stdout == "hello\n", answer.stderr
