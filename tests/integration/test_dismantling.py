"""What is left of an area on the host when it is taken off."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import ContainerSpec, RestartPolicy, Status
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import collect

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.fixture
def root(stocked_engine: Engine) -> Path:
    """An area with an image, open in one engine already."""
    return stocked_engine.data_root.root


def make(engine: Engine, name: str, **spec: Any) -> None:
    engine.containers.run(
        ContainerSpec(image="busybox", name=name, command=("sleep", "1000"), **spec), detach=True
    )


def left_of(data_root: DataRoot) -> str:
    """This area is looked for alone, and as if the host had been empty."""
    return left_behind(HostSnapshot.nothing(), data_root)


def test_nothing_of_an_uninstalled_area_is_left_on_the_host(root: Path) -> None:
    with Engine(root) as engine:
        make(engine, "one")
        engine.system.uninstall()
    assert not left_of(engine.data_root)


def test_the_default_bridge_goes_even_if_no_row_has_it_any_more(root: Path) -> None:
    """As when an area's directory was deleted by hand, and created anew."""
    with Engine(root) as engine:
        make(engine, "one")
        engine.containers.remove("one", force=True)
    assert engine.data_root.bridge in left_of(engine.data_root)
    with closing(sqlite3.connect(engine.data_root.database)) as connection, connection:
        connection.execute("DELETE FROM networks")
    for directory in engine.data_root.networks.iterdir():
        shutil.rmtree(directory)
    with Engine(root) as engine:
        engine.system.uninstall()
    assert not left_of(engine.data_root)


def test_what_is_opened_after_that_works_as_before(root: Path) -> None:
    for _ in range(2):
        with Engine(root) as engine:
            make(engine, "one")
            engine.system.uninstall()
        assert not engine.data_root.run.exists()


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_an_engine_that_was_open_meanwhile_goes_on(stocked_engine: Engine, network: str) -> None:
    with Engine(stocked_engine.data_root.root) as other:
        other.system.uninstall()
    assert not stocked_engine.data_root.run.exists()
    spec = ContainerSpec(image="busybox", command=("echo", "on"), network=network)
    assert collect(stocked_engine.containers.run(spec)).stdout == "on\n"


def test_a_running_container_is_in_the_way(stocked_engine: Engine) -> None:
    make(stocked_engine, "one")
    with pytest.raises(Conflict, match="one still run"):
        stocked_engine.system.dismantle()
    assert stocked_engine.containers.get("one").status is Status.RUNNING


def test_a_stopped_container_is_not_started_by_the_next_engine_of_the_area(root: Path) -> None:
    """A new run directory would look like a reboot."""
    with Engine(root) as engine:
        make(engine, "one", restart=RestartPolicy(name="always"))
        engine.containers.stop("one", timeout=0)
        engine.system.dismantle()
    with Engine(root) as engine:
        assert engine.containers.get("one").status is Status.EXITED
        engine.system.uninstall()
    assert not left_of(engine.data_root)
