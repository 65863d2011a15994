"""`list_directory`: what is in a directory of a container or an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Mount
from tests.integration.conftest import Build

from .conftest import start_and_wait_for

pytestmark = [pytest.mark.root, pytest.mark.network]


def names(engine: Engine, path: str) -> list[str]:
    return [entry.name for entry in engine.containers.list_directory("cc", path)]


def test_a_directory_of_a_container_running_or_not(engine: Engine, host: Path) -> None:
    (host / "b").write_text("")
    script = "mkdir /d; touch /d/'a file'; ln -s ../etc/hosts /d/link; sleep 1000"
    engine.containers.create(
        ContainerSpec(
            image="busybox",
            name="cc",
            command=("sh", "-c", script),
            mounts=(Mount(kind="bind", source=str(host), target="/m"),),
        )
    )
    assert "bin" in names(engine, "/")
    start_and_wait_for(engine, "cc", "/d/link")
    for _ in range(2):
        entries = engine.containers.list_directory("cc", "/d")
        assert [(entry.name, entry.link_target) for entry in entries] == [
            ("a file", ""), ("link", "/etc/hosts"),
        ]  # fmt: skip
        assert "b" in names(engine, "/m")
        assert "hosts" in names(engine, "etc/../etc")
        if engine.containers.get("cc").status == "running":
            engine.containers.kill("cc")
    assert len(engine.containers.list_directory("cc", "/bin", limit=5)) == 5
    with pytest.raises(NotFound):
        names(engine, "/nosuch")
    with pytest.raises(Conflict):
        names(engine, "/etc/hosts")


def test_a_directory_of_an_image_with_one_layer_or_more(engine: Engine, build: Build) -> None:
    names = [entry.name for entry in engine.images.list_directory("busybox", "/")]
    assert "bin" in names
    layered = build("FROM busybox\nRUN rm -r /bin/ls && mkdir /new && ln -s /etc/../.. /new/up\n")
    [entry] = engine.images.list_directory(layered, "/new")
    assert (entry.name, entry.link_target, entry.is_link) == ("up", "/", True)
    assert "ls" not in [entry.name for entry in engine.images.list_directory(layered, "/bin")]
    assert engine.images.list_directory(layered, "/new/up") == engine.images.list_directory(
        layered, "/"
    )
    with pytest.raises(NotFound):
        engine.images.list_directory(layered, "/bin/ls")
