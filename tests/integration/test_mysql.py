"""The contract of the mysql stand-in: its variables, its scripts, its volume, its port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount, Status
from dockmagic_runtime.store.area import Area

from .conftest import Ended, collect

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]
_SECONDS = 90


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One area for all: making the image takes half a minute."""
    with Engine(Area.at(tmp_path_factory.mktemp("mysql")).root, catalogue="always") as engine:
        for _ in engine.pull("mysql:5.7"):
            pass
        yield engine
        engine.uninstall()


@pytest.fixture
def engine(stocked: Engine) -> Iterator[Engine]:
    yield stocked
    for container in stocked.containers(all=True):
        stocked.remove(container.id, force=True, volumes=True)


def log(engine: Engine, name: str) -> str:
    return b"".join(line.text for line in engine.logs(name)).decode(errors="replace")


def start(engine: Engine, name: str = "db", *, mounts: tuple[Mount, ...] = (), **env: str) -> None:
    """Run it, and wait until it answers on the network (not only to its own preparation)."""
    variables = tuple(f"{key}={value}" for key, value in env.items())
    engine.run_detached(ContainerSpec(image="mysql:5.7", name=name, env=variables, mounts=mounts))
    wait_ready(engine, name)


def wait_ready(engine: Engine, name: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while "port: 3306" not in log(engine, name):
        assert engine.container(name).status.is_alive, log(engine, name)
        assert time.monotonic() < deadline, log(engine, name)
        time.sleep(0.1)


def ask(engine: Engine, query: str, *options: str, name: str = "db") -> Ended:
    command = ("mysql", "-N", "-h127.0.0.1", *options, "-e", query)
    return collect(engine.exec(name, ExecSpec(command=command)))


def test_the_original_s_face(engine: Engine) -> None:
    image = engine.image("mysql:5.7")
    assert image.config.exposed_ports == ("3306/tcp", "33060/tcp")
    assert image.config.volumes == ("/var/lib/mysql",)
    assert image.config.entrypoint == ("docker-entrypoint.sh",)
    assert image.config.cmd == ("mysqld",)
    assert image.is_stand_in


def test_without_a_password_it_says_what_it_wants(engine: Engine) -> None:
    ended = collect(engine.run(ContainerSpec(image="mysql:5.7")))
    assert ended.code == 1
    assert "You need to specify one of MYSQL_ROOT_PASSWORD" in ended.stderr


def test_passwords_database_and_user(engine: Engine) -> None:
    password = 'it\'s "quoted" \\ and long'
    start(
        engine,
        MYSQL_ROOT_PASSWORD=password,
        MYSQL_DATABASE="shop_1",
        MYSQL_USER="ada",
        MYSQL_PASSWORD="s3cret",
    )
    assert ask(engine, "SELECT 1", "-uroot", f"-p{password}").stdout == "1\n"
    assert ask(engine, "SELECT 1", "-uroot", "-pwrong").code == 1
    assert ask(engine, "SELECT 1", "-uroot").code == 1
    query = "CREATE TABLE t (x INT); INSERT INTO t VALUES (7); SELECT x FROM t"
    assert ask(engine, query, "-uada", "-ps3cret", "shop_1").stdout == "7\n"
    assert ask(engine, "SELECT * FROM mysql.user", "-uada", "-ps3cret").code == 1
    engine.stop("db", timeout=60)
    stopped = engine.container("db")
    assert (stopped.status, stopped.exit_code) == (Status.EXITED, 0)


def test_scripts_are_run_once_and_data_outlives_the_container(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "1.sql").write_text("CREATE TABLE t (x INT); INSERT INTO t VALUES (1);")
    (tmp_path / "2.sh").write_text('echo "INSERT INTO t VALUES (2);" | sql shop\n')
    mounts = (
        Mount(kind="bind", source=str(tmp_path), target="/docker-entrypoint-initdb.d"),
        Mount(kind="volume", source="data", target="/var/lib/mysql"),
    )
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD="p", MYSQL_DATABASE="shop")
    everything = ("SELECT x FROM t ORDER BY x", "-uroot", "-pp", "shop")
    assert ask(engine, *everything).stdout == "1\n2\n"
    engine.remove("db", force=True)
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD="other")
    assert ask(engine, *everything).stdout == "1\n2\n"
    engine.remove("db", force=True)
    engine.remove_volume("data")


def test_a_preparation_that_was_killed_is_begun_again(engine: Engine) -> None:
    mounts = (Mount(kind="volume", source="cut", target="/var/lib/mysql"),)
    spec = ContainerSpec(
        image="mysql:5.7", name="db", env=("MYSQL_ROOT_PASSWORD=p",), mounts=mounts
    )
    engine.run_detached(spec)
    deadline = time.monotonic() + _SECONDS
    while "Initializing database files" not in log(engine, "db"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    engine.remove("db", force=True)
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD="p")
    assert ask(engine, "SELECT 1", "-uroot", "-pp").stdout == "1\n"
    engine.remove("db", force=True)
    engine.remove_volume("cut")


def test_other_containers_reach_it(engine: Engine) -> None:
    start(engine, MYSQL_ROOT_PASSWORD="p")
    address = engine.container("db").ip_address
    command = ("mysql", "-N", f"-h{address}", "-uroot", "-pp", "-e", "SELECT 40 + 2")
    spec = ContainerSpec(image="mysql:5.7", command=command, auto_remove=True)
    assert collect(engine.run(spec)).stdout == "42\n"
