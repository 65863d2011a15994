from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.store import events
from dockmagic_runtime.store.container_events import ContainerEvents, VolumeUse


@pytest.fixture
def container(tmp_path: Path) -> ContainerEvents:
    (tmp_path / "c").mkdir()
    return ContainerEvents(
        root=str(tmp_path),
        directory=str(tmp_path / "c"),
        id="c0ffee",
        attributes={"tier": "front", "image": "busybox", "name": "web"},
        networks=(("beef", "bridge", "bridge"),),
        volumes=(VolumeUse(name="data", destination="/data", writable=False),),
    )


def told(container: ContainerEvents) -> list[Event]:
    return list(events.read(container.root))


def test_it_crosses_to_a_supervisor_as_json(container: ContainerEvents) -> None:
    wire = json.loads(json.dumps(container.to_wire()))
    assert ContainerEvents.from_wire(wire) == container


def test_a_life_in_dockers_words(container: ContainerEvents) -> None:
    container.connected()
    container.emit("start")
    container.health("healthy")
    container.exec_create(("sh", "-c", "exit 3"), "e1")
    container.exec_start(("sh", "-c", "exit 3"), "e1")
    container.exec_die("e1", 3)
    container.kill(15)
    container.emit("oom")
    container.die(143, 2.7)
    container.disconnected()
    container.emit("destroy")
    assert [f"{event.type} {event.action}" for event in told(container)] == [
        "network connect",
        "volume mount",
        "container start",
        "container health_status: healthy",
        "container exec_create: sh -c exit 3",
        "container exec_start: sh -c exit 3",
        "container exec_die",
        "container kill",
        "container oom",
        "container die",
        "network disconnect",
        "volume unmount",
        "container destroy",
    ]


def test_attributes(container: ContainerEvents) -> None:
    container.kill(9)
    container.die(137, 2.7)
    container.exec_die("e1", 3)
    container.connected()
    kill, die, exec_die, connect, mount = (event.attributes for event in told(container))
    common = {"tier": "front", "image": "busybox", "name": "web"}
    assert kill == {**common, "signal": "9"}
    assert die == {**common, "exitCode": "137", "execDuration": "2"}
    assert exec_die == {**common, "execID": "e1", "exitCode": "3"}
    assert connect == {"container": "c0ffee", "name": "bridge", "type": "bridge"}
    assert mount == {
        "driver": "local",
        "container": "c0ffee",
        "destination": "/data",
        "read/write": "false",
        "propagation": "",
    }


def test_without_network_and_volumes_there_is_nothing_to_connect(tmp_path: Path) -> None:
    bare = ContainerEvents(root=str(tmp_path), directory="", id="c", attributes={"name": "web"})
    bare.connected()
    bare.disconnected()
    assert told(bare) == []


def test_a_note_of_another_name_is_believed(container: ContainerEvents) -> None:
    Path(container.directory, "name").write_text("shop")
    container.emit("start")
    assert told(container)[0].attributes["name"] == "shop"
