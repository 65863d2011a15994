"""top, sizes, filters, df and the prunes on real containers."""

from __future__ import annotations

from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.output.result import Question, Result
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import Container, ContainerSpec, ExecSpec, Mount, PortMapping

from .conftest import Build, collect

pytestmark = [pytest.mark.root, pytest.mark.network]


def sleeping(engine: Engine, name: str, **spec: Any) -> Container:
    return engine.containers.run(
        ContainerSpec(
            image="busybox",
            name=name,
            command=("sleep", "1000"),
            **spec,
        ),
        detach=True,
    )


def result(engine: Engine, *words: str) -> Result:
    """The last thing that a command comes to."""
    outcome = commands.execute(engine, commands.parse(words))
    if isinstance(outcome, Result):
        return outcome
    *_, last = outcome
    assert isinstance(last, Result)
    return last


# ------------------------------------------------------------------ top


def test_top_shows_the_containers_processes_by_the_hosts_numbers(engine: Engine) -> None:
    container = sleeping(engine, "one")
    sleeping(engine, "two")
    process = engine.containers.exec("one", ExecSpec(command=("sh", "-c", "sleep 999; true")))
    table = engine.containers.top("one")
    assert table.titles == ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
    assert table.processes[0][-1] == "sleep 1000"
    assert {row[-1] for row in table.processes} <= {
        "sleep 1000", "sleep 999", "sh -c sleep 999; true",
    }  # fmt: skip
    assert str(container.pid) in [row[1] for row in table.processes]
    engine.containers.kill("one")
    process.wait()


def test_top_takes_the_options_of_ps(engine: Engine) -> None:
    sleeping(engine, "one")
    table = engine.containers.top("one", "-o", "pid,comm,user")
    assert table.titles == ("PID", "COMMAND", "USER")
    assert table.processes[0][1:] == ("sleep", "root")
    with pytest.raises(InvalidInput, match="Couldn't find PID field in ps output"):
        engine.containers.top("one", "-o", "comm")
    text = str(result(engine, "top", "one", "-o", "pid,args"))
    assert text.splitlines()[0] == "PID                 COMMAND"


def test_top_needs_a_container_that_runs(engine: Engine) -> None:
    container = engine.containers.create(
        ContainerSpec(image="busybox", name="one", command=("true",))
    )
    with pytest.raises(Conflict, match=f"container {container.id} is not running"):
        engine.containers.top("one")


# ------------------------------------------------------------------ sizes


def test_sizes_are_those_of_the_writable_layer_and_of_all(engine: Engine) -> None:
    sleeping(engine, "one", mounts=(Mount(kind="volume", source="data", target="/v"),))
    script = "head -c 5000 /dev/zero > /f; head -c 9000 /dev/zero > /v/f"
    collect(engine.containers.exec("one", ExecSpec(command=("sh", "-c", script))))
    size = engine.containers.size("one")
    assert size.writable == 5000  # what is in a volume is the volume's
    assert size.root == 5000 + engine.images.get("busybox").size
    shown = result(engine, "ps", "-s", "--format", "{{.Names}} {{.Size}}")
    assert str(shown).startswith("one 5kB (virtual ")
    (answer,) = result(engine, "inspect", "-s", "one")
    assert (answer["SizeRw"], answer["SizeRootFs"]) == (size.writable, size.root)
    assert "SizeRw" not in next(iter(result(engine, "inspect", "one")))


# ------------------------------------------------------------------ filters


def test_filters_find_containers_by_what_they_are(engine: Engine, build: Build) -> None:
    child = build("FROM busybox\nRUN touch /child\n")
    sleeping(engine, "one", labels={"a": "b"})
    engine.containers.create(ContainerSpec(image=child, name="two", command=("true",)))

    def names(**filters: str) -> list[str]:
        asked = {name: [text] for name, text in filters.items()}
        return [container.name for container in engine.containers.list(all=True, filters=asked)]

    assert names(label="a=b") == ["one"]
    assert names(ancestor="busybox") == ["two", "one"]  # made of it, or of what was made of it
    assert names(ancestor=child) == ["two"]
    assert names(ancestor="nosuch") == []
    assert names(before="two") == names(status="running") == ["one"]
    # asking for a state that does not run looks at those too
    assert [
        container.name for container in engine.containers.list(filters={"status": ["created"]})
    ] == ["two"]
    with pytest.raises(InvalidInput, match="invalid filter 'nope'"):
        names(nope="1")


# ------------------------------------------------------------------ port


def test_port_shows_where_ports_are_published(engine: Engine) -> None:
    ports = (
        PortMapping(container_port=80, host_ip="127.0.0.1"),
        PortMapping(container_port=53, protocol="udp", host_ip="127.0.0.1"),
    )
    container = sleeping(engine, "one", ports=ports)
    numbers = {port.container_port: port.host_port for port in container.ports}
    assert str(result(engine, "port", "one")).splitlines() == [
        f"53/udp -> 127.0.0.1:{numbers[53]}",
        f"80/tcp -> 127.0.0.1:{numbers[80]}",
    ]
    assert str(result(engine, "port", "one", "80")) == f"127.0.0.1:{numbers[80]}"
    assert str(result(engine, "port", "one", "53/udp")) == f"127.0.0.1:{numbers[53]}"
    with pytest.raises(NotFound, match="No public port '53' published for one"):
        result(engine, "port", "one", "53")


# ------------------------------------------------------------------ df and prune


def test_df_counts_shared_layers_once(engine: Engine, build: Build) -> None:
    build("FROM busybox\nRUN head -c 7000 /dev/zero > /f\n")
    sleeping(engine, "one", mounts=(Mount(kind="volume", source="data", target="/v"),))
    collect(
        engine.containers.exec(
            "one", ExecSpec(command=("sh", "-c", "echo 12345 > /v/f; echo 1 > /f"))
        )
    )
    engine.volumes.create("idle")
    usage = engine.system.df()
    base = engine.images.get("busybox").size
    assert usage.layers == base + 7000
    by_size = sorted(usage.images, key=lambda item: item.image.size)
    assert [(item.shared, item.unique, item.containers) for item in by_size] == [
        (base, 0, 1),
        (base, 7000, 0),
    ]
    assert [
        (container.size, container.volumes, container.is_active) for container in usage.containers
    ] == [(2, 1, True)]
    assert [(volume.volume.name, volume.size, volume.links) for volume in usage.volumes] == [
        ("data", 6, 1),
        ("idle", 0, 0),
    ]
    rows = {row["type"]: row for row in result(engine, "system", "df")}
    assert (rows["Images"]["totalcount"], rows["Images"]["active"]) == ("2", "1")
    assert rows["Local Volumes"]["size"] == "6B"
    assert "SHARED SIZE" in str(result(engine, "system", "df", "-v"))


def test_container_prune_removes_what_does_not_run(engine: Engine) -> None:
    sleeping(engine, "alive")
    for name, labels in (("old", {}), ("kept", {"keep": "yes"})):
        spec = ContainerSpec(
            image="busybox", name=name, labels=labels, command=("sh", "-c", "echo 12 > /f")
        )
        engine.containers.run(spec, detach=True)
        engine.containers.wait(name)
    with pytest.raises(InvalidInput, match="invalid filter 'status'"):
        engine.containers.prune({"status": ["exited"]})
    assert engine.containers.prune({"until": ["1h"]}).removed == ()
    old = engine.containers.get("old").id
    pruned = engine.containers.prune({"label!": ["keep"]})
    assert (pruned.removed, pruned.reclaimed) == ((old,), 3)
    assert [container.name for container in engine.containers.list(all=True)] == ["kept", "alive"]
    said = str(result(engine, "container", "prune", "-f"))
    assert said.startswith("Deleted Containers:\n")
    assert said.endswith("Total reclaimed space: 3B")


def test_image_prune_removes_what_nobody_needs(engine: Engine, build: Build) -> None:
    dangling = build("FROM busybox\nRUN head -c 3000 /dev/zero > /f\n")
    used = build("FROM busybox\nRUN head -c 4000 /dev/zero > /f\n")
    engine.images.tag("busybox", "other:name")
    engine.containers.create(ContainerSpec(image=used, name="user", command=("true",)))
    engine.builds.prune()  # it keeps layers as well
    pruned = engine.images.prune()
    assert pruned.removed[0] == f"deleted: {dangling}"
    assert pruned.reclaimed == 3000
    assert engine.images.prune().removed == ()
    every = engine.images.prune({"dangling": ["false"], "until": ["1h"]})
    assert every.removed == ()
    engine.containers.remove("user")
    every = engine.images.prune({"dangling": ["false"]})
    assert {"untagged: busybox:latest", "untagged: other:name", f"deleted: {used}"} <= set(
        every.removed
    )
    assert engine.images.list(all=True) == ()


def test_system_prune_asks_first_and_takes_everything_unused(engine: Engine, build: Build) -> None:
    build("FROM busybox\nRUN head -c 3000 /dev/zero > /f\n")
    anonymous = Mount(kind="volume", target="/v")
    engine.containers.create(
        ContainerSpec(image="busybox", name="idle", command=("true",), mounts=(anonymous,))
    )
    (question,) = commands.execute(engine, commands.parse(["system", "prune", "--volumes"]))
    assert isinstance(question, Question)
    assert "  - all stopped containers\n" in question.text
    assert "  - all anonymous volumes not used by at least one container\n" in question.text
    assert engine.containers.list(all=True)  # nothing has happened yet
    said = str(question.proceed())
    assert "Deleted Containers:" in said
    assert "Deleted Volumes:" in said
    assert "Deleted Images:" in said
    assert engine.containers.list(all=True) == ()
    assert engine.volumes.list() == ()
    assert [image.tags for image in engine.images.list(all=True)] == [("busybox:latest",)]
    with pytest.raises(InvalidInput, match='The "until" filter is not supported with "--volumes"'):
        result(engine, "system", "prune", "-f", "--volumes", "--filter", "until=1h")
    assert str(result(engine, "system", "prune", "-af")).startswith("Deleted Images:")
    assert engine.images.list(all=True) == ()
