"""The events that the verbs of an engine emit."""

from __future__ import annotations

import threading
import time
from itertools import islice

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount
from dockmagic_runtime.model.docker_event import Event

from .conftest import Run, collect
from .losing import lose

pytestmark = [pytest.mark.root, pytest.mark.network]

SLEEP = ContainerSpec(image="busybox", command=("sleep", "100"), name="web", labels={"tier": "x"})


def told(engine: Engine, *kinds: str) -> list[str]:
    """`type action`, in order; by default those of containers and networks."""
    wanted = kinds or ("container", "network")
    return [
        f"{event.type} {event.action}" for event in engine.system.events() if event.type in wanted
    ]


def last(engine: Engine, action: str) -> Event:
    return [event for event in engine.system.events() if event.action == action][-1]


def test_create_and_remove_are_told_with_name_image_and_labels(engine: Engine) -> None:
    created = engine.containers.create(SLEEP)
    engine.containers.remove("web")
    assert told(engine) == ["container create", "container destroy"]
    for action in ("create", "destroy"):
        event = last(engine, action)
        assert event.id == created.id
        assert event.attributes.items() >= {"name": "web", "image": "busybox", "tier": "x"}.items()


def test_a_create_that_fails_is_not_told(engine: Engine) -> None:
    engine.containers.create(SLEEP)
    with pytest.raises(Conflict):
        engine.containers.create(SLEEP)
    with pytest.raises(NotFound):
        engine.containers.create(ContainerSpec(image="nothing-like-this"))
    assert told(engine) == ["container create"]


def test_an_attached_run_tells_of_the_attachment_before_the_network(
    engine: Engine, run: Run
) -> None:
    run("true")
    assert told(engine)[:3] == ["container create", "container attach", "network connect"]
    connect = last(engine, "connect")
    assert connect.attributes == {
        "container": last(engine, "create").id,
        "name": "bridge",
        "type": "bridge",
    }
    assert len(connect.id) == 64


def test_the_whole_life_of_a_run_with_rm_is_told_in_dockers_order(engine: Engine, run: Run) -> None:
    run("sh", "-c", "exit 3", name="web", labels={"tier": "x"})
    assert told(engine) == [
        "container create",
        "container attach",
        "network connect",
        "container start",
        "container die",
        "network disconnect",
        "container destroy",
    ]
    die = last(engine, "die")
    assert die.attributes.items() >= {"name": "web", "image": "busybox", "tier": "x"}.items()
    assert die.attributes["exitCode"] == "3"
    assert last(engine, "disconnect").attributes == last(engine, "connect").attributes


def test_an_exec_is_told_of_from_its_making_to_its_end(engine: Engine) -> None:
    engine.containers.run(SLEEP, detach=True)
    collect(engine.containers.exec("web", ExecSpec(command=("sh", "-c", "exit 4"))))
    exec_events = [event for event in engine.system.events() if event.action.startswith("exec_")]
    assert [event.action for event in exec_events] == [
        "exec_create: sh -c exit 4",
        "exec_start: sh -c exit 4",
        "exec_die",
    ]
    assert len({event.attributes["execID"] for event in exec_events}) == 1
    assert exec_events[-1].attributes["exitCode"] == "4"


def test_a_stop_is_told_after_the_end_it_brought(engine: Engine) -> None:
    engine.containers.run(SLEEP, detach=True)
    engine.containers.stop("web", timeout=0)
    assert told(engine)[-5:] == [
        "container kill",
        "container kill",
        "container die",
        "network disconnect",
        "container stop",
    ]


def test_a_run_without_a_network_connects_nothing(engine: Engine, run: Run) -> None:
    run("true", network="none")
    assert told(engine, "network") == []


def test_a_start_that_fails_is_disconnected_again(engine: Engine) -> None:
    with pytest.raises(StartFailed):
        engine.containers.run(
            ContainerSpec(image="busybox", command=("missing",), auto_remove=True), detach=True
        )
    assert told(engine) == [
        "container create",
        "network connect",
        "network disconnect",
        "container destroy",
    ]


def test_signals_pauses_and_stops_are_told(engine: Engine) -> None:
    engine.containers.run(SLEEP, detach=True)
    engine.containers.pause("web")
    engine.containers.unpause("web")
    engine.containers.kill("web", "USR1")
    engine.containers.stop("web", timeout=0)
    events = [event for event in engine.system.events() if event.type == "container"]
    actions = [event.action for event in events if event.action not in ("start", "die")]
    assert actions == ["create", "pause", "unpause", "kill", "kill", "kill", "stop"]
    signals = [event.attributes["signal"] for event in events if event.action == "kill"]
    assert signals == ["10", "15", "9"]


def test_a_forced_removal_kills_first(engine: Engine) -> None:
    engine.containers.run(SLEEP, detach=True)
    engine.containers.remove("web", force=True)
    assert last(engine, "kill").attributes["signal"] == "9"
    assert told(engine, "container")[-1] == "container destroy"


def test_a_rename_tells_both_names_and_later_events_the_new_one(engine: Engine) -> None:
    engine.containers.run(SLEEP, detach=True)
    engine.containers.rename("web", "shop")
    assert (
        last(engine, "rename").attributes.items()
        >= {
            "name": "shop",
            "oldName": "/web",
        }.items()
    )
    engine.containers.remove("shop", force=True)
    assert last(engine, "destroy").attributes["name"] == "shop"


def test_the_end_of_a_container_that_was_lost_is_told_by_the_next_look(
    engine: Engine,
) -> None:
    lose(engine, engine.containers.run(SLEEP, detach=True).id)
    assert not engine.containers.get("web").status.is_alive
    assert told(engine)[-2:] == ["container die", "network disconnect"]
    assert last(engine, "die").attributes["exitCode"] == "137"


def test_volumes_are_told_of_when_they_are_made_mounted_and_removed(
    engine: Engine, run: Run
) -> None:
    engine.volumes.create("data")
    engine.volumes.create("data")  # is there already
    run("true", mounts=(Mount(kind="volume", source="data", target="/data", read_only=True),))
    engine.volumes.remove("data")
    assert told(engine, "volume")[:2] == ["volume create", "volume mount"]
    assert told(engine, "volume")[-1] == "volume destroy"
    assert told(engine, "volume").count("volume create") == 1
    assert last(engine, "destroy").attributes == {"driver": "local"}
    mount = last(engine, "mount").attributes
    assert (mount["destination"], mount["read/write"]) == ("/data", "false")


def test_a_volume_prune_tells_what_it_won(engine: Engine) -> None:
    engine.volumes.create()
    engine.volumes.prune()
    assert told(engine, "volume") == ["volume create", "volume destroy", "volume prune"]
    assert last(engine, "prune").attributes == {"reclaimed": "0"}


def test_images_are_told_of_by_name_and_id(engine: Engine) -> None:
    image = engine.images.get("busybox")
    pull = last(engine, "pull")
    assert (pull.id, pull.attributes["name"]) == ("busybox:latest", "busybox")
    assert set(image.config.labels) <= set(pull.attributes)
    engine.images.tag("busybox", "mine:1")
    tag = last(engine, "tag")
    assert (tag.id, tag.attributes["name"]) == (image.id, "mine:1")
    engine.images.remove("mine:1")
    engine.images.remove("busybox")
    assert told(engine, "image")[-4:] == [
        "image tag",
        "image untag",
        "image untag",
        "image delete",
    ]
    assert last(engine, "delete").attributes["name"] == image.id


def test_filters_and_times_choose(engine: Engine) -> None:
    engine.containers.create(SLEEP)
    between = time.time()
    engine.containers.create(ContainerSpec(image="busybox", name="other"))
    selected = engine.system.events(filters={"container": ["web"], "event": ["create", "destroy"]})
    assert [event.attributes["name"] for event in selected] == ["web"]
    assert [event.attributes["name"] for event in engine.system.events(since=between)] == ["other"]
    earlier = engine.system.events(until=between, filters={"type": ["container"]})
    assert [event.attributes["name"] for event in earlier] == ["web"]
    with pytest.raises(InvalidInput, match="invalid filter 'colour'"):
        engine.system.events(filters={"colour": ["red"]})


def test_following_tells_what_happens_after_the_call_and_nothing_before(engine: Engine) -> None:
    engine.containers.create(SLEEP)
    events = engine.system.events(follow=True, filters={"type": ["container"]})
    engine.containers.create(ContainerSpec(image="busybox", name="after"))
    removal = threading.Thread(target=lambda: engine.containers.remove("after"))
    removal.start()
    followed = list(islice(events, 2))
    removal.join()
    assert [(event.action, event.attributes["name"]) for event in followed] == [
        ("create", "after"),
        ("destroy", "after"),
    ]


def test_two_engines_of_one_area_have_one_journal(engine: Engine) -> None:
    with Engine(engine.data_root.root) as other:
        other.containers.create(SLEEP)
    assert "container create" in told(engine)
