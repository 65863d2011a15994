"""The contract of the mysql stand-in: its variables, its scripts, its volume, its port."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount, Status

from .conftest import Ended, collect, wait_for

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]


@pytest.fixture
def engine(server_engine: Engine) -> Engine:
    return server_engine


def start(engine: Engine, name: str = "db", *, mounts: tuple[Mount, ...] = (), **env: str) -> None:
    """Run it, and wait until it answers on the network (not only to its own preparation)."""
    variables = tuple(f"{key}={value}" for key, value in env.items())
    engine.containers.run(
        ContainerSpec(image="mysql:5.7", name=name, env=variables, mounts=mounts), detach=True
    )
    wait_for(engine, name, "port: 3306")


def ask(engine: Engine, query: str, *options: str, name: str = "db") -> Ended:
    command = ("mysql", "-N", "-h127.0.0.1", *options, "-e", query)
    return collect(engine.containers.exec(name, ExecSpec(command=command)))


def test_the_original_s_face(engine: Engine) -> None:
    image = engine.images.get("mysql:5.7")
    assert image.config.exposed_ports == ("3306/tcp", "33060/tcp")
    assert image.config.volumes == ("/var/lib/mysql",)
    assert image.config.entrypoint == ("docker-entrypoint.sh",)
    assert image.config.cmd == ("mysqld",)
    assert image.is_stand_in


def test_without_a_password_it_says_what_it_wants(engine: Engine) -> None:
    ended = collect(engine.containers.run(ContainerSpec(image="mysql:5.7")))
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
    engine.containers.stop("db", timeout=60)
    stopped = engine.containers.get("db")
    assert (stopped.status, stopped.exit_code) == (Status.EXITED, 0)


def test_an_empty_password_has_to_be_allowed(engine: Engine) -> None:
    start(engine, MYSQL_ALLOW_EMPTY_PASSWORD="yes")
    assert ask(engine, "SELECT 1", "-uroot").stdout == "1\n"


def test_a_random_password_is_told_in_the_log(engine: Engine) -> None:
    start(engine, MYSQL_RANDOM_ROOT_PASSWORD="1")
    password = wait_for(engine, "db", r"GENERATED ROOT PASSWORD: (\S+)")[1]
    assert ask(engine, "SELECT 1", "-uroot", f"-p{password}").stdout == "1\n"
    assert ask(engine, "SELECT 1", "-uroot").code == 1


def test_a_password_may_be_in_a_file(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    mounts = (Mount(kind="bind", source=str(tmp_path), target="/run/secrets"),)
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD_FILE="/run/secrets/secret")
    assert ask(engine, "SELECT 1", "-uroot", "-pfrom a file").stdout == "1\n"


def test_scripts_are_run_once_and_data_outlives_the_container(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "1.sql").write_text("CREATE TABLE t (x INT); INSERT INTO t VALUES (1);")
    (tmp_path / "2.sh").write_text('echo "INSERT INTO t VALUES (2);" | sql shop\n')
    (tmp_path / "3.sql.gz").write_bytes(gzip.compress(b"INSERT INTO t VALUES (3);"))
    (tmp_path / "4.txt").write_text("nothing to be run\n")
    mounts = (
        Mount(kind="bind", source=str(tmp_path), target="/docker-entrypoint-initdb.d"),
        Mount(kind="volume", source="data", target="/var/lib/mysql"),
    )
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD="p", MYSQL_DATABASE="shop")
    everything = ("SELECT x FROM t ORDER BY x", "-uroot", "-pp", "shop")
    assert ask(engine, *everything).stdout == "1\n2\n3\n"
    engine.containers.remove("db", force=True)
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD="other")
    assert ask(engine, *everything).stdout == "1\n2\n3\n"
    engine.containers.remove("db", force=True)
    engine.volumes.remove("data")


def test_a_preparation_that_was_killed_is_begun_again(engine: Engine) -> None:
    mounts = (Mount(kind="volume", source="cut", target="/var/lib/mysql"),)
    spec = ContainerSpec(
        image="mysql:5.7", name="db", env=("MYSQL_ROOT_PASSWORD=p",), mounts=mounts
    )
    engine.containers.run(spec, detach=True)
    wait_for(engine, "db", "Initializing database files")
    engine.containers.remove("db", force=True)
    start(engine, mounts=mounts, MYSQL_ROOT_PASSWORD="p")
    assert ask(engine, "SELECT 1", "-uroot", "-pp").stdout == "1\n"
    engine.containers.remove("db", force=True)
    engine.volumes.remove("cut")


def test_other_containers_reach_it(engine: Engine) -> None:
    start(engine, MYSQL_ROOT_PASSWORD="p")
    address = engine.containers.get("db").ip_address
    command = ("mysql", "-N", f"-h{address}", "-uroot", "-pp", "-e", "SELECT 40 + 2")
    spec = ContainerSpec(image="mysql:5.7", command=command, auto_remove=True)
    assert collect(engine.containers.run(spec)).stdout == "42\n"
