"""`--link` on the default network, and on networks of users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, DockmagicError, NotFound
from dockmagic_runtime.model.container import Container, ContainerSpec, ExecSpec
from dockmagic_runtime.model.network import Attachment, NetworkSpec

from .conftest import Ended, Run, collect

pytestmark = [pytest.mark.root, pytest.mark.network]

Start = Callable[..., Container]


@pytest.fixture
def start(engine: Engine) -> Start:
    def start(name: str, **more: Any) -> Container:
        spec = {"image": "busybox", "command": ("sleep", "1000"), **more}
        return engine.containers.run(ContainerSpec(name=name, **spec), detach=True)

    return start


@pytest.fixture
def db(start: Start) -> Container:
    return start("db", env=("SECRET=of the sea",), expose=("3306/tcp",))


def execute(engine: Engine, name: str, *argv: str) -> Ended:
    return collect(engine.containers.exec(name, ExecSpec(command=argv)))


def hosts(engine: Engine, name: str) -> list[str]:
    return execute(engine, name, "cat", "/etc/hosts").stdout.splitlines()


def test_the_other_is_found_by_its_alias_and_told_of(db: Container, run: Run) -> None:
    linked = (("db", "my-store"),)
    assert run("ping", "-c", "1", "my-store", links=linked).code == 0
    env = run("env", links=linked, name="web").stdout.splitlines()
    assert f"MY_STORE_PORT=tcp://{db.ip_address}:3306" in env
    assert f"MY_STORE_PORT_3306_TCP_ADDR={db.ip_address}" in env
    assert "MY_STORE_NAME=/web/my-store" in env
    variables = [entry for entry in env if entry.startswith("MY_STORE_ENV_")]
    assert variables == ["MY_STORE_ENV_SECRET=of the sea"]
    line = f"{db.ip_address}\tmy-store {db.short_id} db"
    assert line in run("cat", "/etc/hosts", links=linked).stdout.splitlines()


def test_its_name_follows_a_restart_and_the_variables_that_the_program_has_do_not(
    engine: Engine, db: Container, start: Start
) -> None:
    start("web", links=(("db", "store"),))
    engine.containers.stop("db", timeout=0)
    engine._components.networks.release(db.id)
    start("other")  # takes the address that was db's
    engine.containers.start("db")
    now = engine.containers.get("db").ip_address
    assert now != db.ip_address
    assert f"{now}\tstore {db.short_id} db" in hosts(engine, "web")
    assert not [line for line in hosts(engine, "web") if line.startswith(f"{db.ip_address}\tst")]
    began_with = Path(f"/proc/{engine.containers.get('web').pid}/environ").read_text()
    assert f"STORE_PORT_3306_TCP_ADDR={db.ip_address}" in began_with
    assert f"STORE_PORT_3306_TCP_ADDR={now}" in execute(engine, "web", "env").stdout  # as Docker


def test_a_link_to_one_that_does_not_run_is_refused_and_changes_nothing(
    engine: Engine, db: Container, start: Start
) -> None:
    engine.containers.stop("db", timeout=0)
    with pytest.raises(Conflict, match="Cannot link to a non running container: /db AS /web/st"):
        start("web", links=(("db", "store"),))
    assert engine.containers.get("web").status == "created"
    engine.containers.start("db")
    engine.containers.start("web")
    assert execute(engine, "web", "ping", "-c", "1", "store").code == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"links": (("nobody", "n"),)}, "could not get container for nobody: No such container"),
        ({"links": (("web", "me"),)}, "could not get container for web: No such container: web"),
        ({"links": (("db", "d"),), "network": "host"}, "host type networking can't be used with"),
        ({"links": (("db", "d"),), "network": "container:db"}, "container type network can't be"),
        ({"links": (("hosted", "d"),)}, "host type networking can't be used with links"),
    ],
)
def test_what_cannot_be_linked_is_refused(
    engine: Engine, db: Container, start: Start, spec: dict[str, object], message: str
) -> None:
    start("hosted", network="host")
    with pytest.raises(DockmagicError, match=message):
        start("web", **spec)
    with pytest.raises(NotFound):
        engine.containers.get("web")


def test_one_that_is_not_on_the_default_network_cannot_be_linked_to(
    engine: Engine, start: Start
) -> None:
    engine.networks.create(NetworkSpec(name="net"))
    db = start("db", network="net")
    message = "Cannot link to /db, as it does not belong to the default network"
    with pytest.raises(Conflict, match=message):
        start("web", links=(("db", "db"),))
    engine.networks.connect("bridge", db.id, Attachment(network="bridge"))
    engine.containers.start("web")
    with_alias = [line for line in hosts(engine, "web") if "\tdb" in line]
    assert with_alias == [
        f"{engine.containers.inspect('db')['NetworkSettings']['IPAddress']}\tdb {db.short_id}"
    ]


def test_links_are_shown_and_are_names(engine: Engine, db: Container, start: Start) -> None:
    start("web", links=(("db", "store"),))
    assert engine.containers.inspect("web")["HostConfig"]["Links"] == ["/db:/web/store"]
    assert engine.containers.inspect("db")["HostConfig"]["Links"] is None
    assert engine.containers.inspect("web/store")["Id"] == db.id
    shown = {container.name: container.links for container in engine.containers.list()}
    assert shown == {"web": (), "db": ("web/store",)}
    engine.containers.rename("web", "page")
    assert engine.containers.inspect("page")["HostConfig"]["Links"] == ["/db:/page/store"]


def test_a_link_can_be_removed(engine: Engine, db: Container, start: Start) -> None:
    web = start("web", links=(("db", "store"), ("db", "second")))
    engine.containers.remove_link("web/store")
    assert engine.containers.inspect("web")["HostConfig"]["Links"] == ["/db:/web/second"]
    assert not [line for line in hosts(engine, "web") if "\tstore" in line]
    assert [line for line in hosts(engine, "web") if "\tsecond" in line]
    assert engine.containers.get("db").status == "running"
    for name, message in (
        ("db", "cannot remove the default link name of the container"),
        ("nobody/x", "No such container: nobody/x"),
        ("web/store", "No such container: web/store"),
    ):
        with pytest.raises(DockmagicError, match=message):
            engine.containers.remove_link(name)
    assert Path(f"/proc/{web.pid}").exists()


def test_one_that_needs_a_container_that_was_removed_waits_until_the_link_is_removed_too(
    engine: Engine, db: Container, start: Start
) -> None:
    start("web", links=(("db", "store"),))
    engine.containers.rename("db", "base")
    engine.containers.remove("base", force=True)
    start("base")  # of that name, and another
    assert engine.containers.inspect("web")["HostConfig"]["Links"] == ["/base:/web/store"]
    with pytest.raises(Conflict, match="non running container: /base AS /web/store") as caught:
        engine.containers.restart("web", timeout=0)
    assert "docker rm --link web/store" in caught.value.hint
    engine.containers.remove_link("web/store")
    engine.containers.start("web")
    assert engine.containers.inspect("web")["HostConfig"]["Links"] is None
    assert "STORE" not in execute(engine, "web", "env").stdout


def test_on_a_network_of_users_a_link_is_a_name_of_its_owner_alone(
    engine: Engine, start: Start
) -> None:
    engine.networks.create(NetworkSpec(name="net"))
    start("web", network="net", links=(("db", "store"),))
    start("other", network="net")
    db = start("db", network="net")  # later, and found all the same
    assert db.ip_address in execute(engine, "web", "nslookup", "store").stdout
    assert execute(engine, "other", "nslookup", "store").code != 0
    assert engine.containers.inspect("web")["NetworkSettings"]["Networks"]["net"]["Links"] == [
        "db:store"
    ]
    assert "STORE" not in execute(engine, "web", "env").stdout
