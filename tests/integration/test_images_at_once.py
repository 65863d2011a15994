"""Security 8: twenty builds at once of one base image and one tag, beside removals and prunes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.build import BuildDone, BuildRequest
from dockmagic_runtime.model.container import ContainerSpec

from .conftest import collect

pytestmark = [pytest.mark.root, pytest.mark.slow]
AT_ONCE = 20


def at_once(actions: list[Callable[[], object]]) -> list[BaseException]:
    """Runs each in a thread; what they raised."""
    errors: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert not any(thread.is_alive() for thread in threads)
    return errors


def test_security_8_twenty_builds_at_once_of_one_base_and_one_tag(
    engine: Engine, tmp_path: Path
) -> None:
    root = engine.data_root.root
    built: dict[int, str] = {}

    def build(number: int) -> None:
        dockerfile = f"FROM busybox\nRUN echo all > /all\nRUN echo {number} > /own\n"
        with Engine(root, catalogue="never") as own:
            request = BuildRequest(dockerfile=dockerfile, context=None, tags=("same:1",))
            (done,) = [e for e in own.images.build(request) if isinstance(e, BuildDone)]
            built[number] = done.image.id

    def disturb() -> None:
        with Engine(root, catalogue="never") as own:
            for _ in range(10):
                own.images.prune()
                own.images.list(all=True)
                own.system.df()
                try:
                    own.images.tag("busybox", "same:1")
                    own.images.remove("same:1")
                except (NotFound, Conflict):
                    pass  # a build has moved it

    errors = at_once([*(lambda n=n: build(n) for n in range(AT_ONCE)), disturb, disturb])
    assert errors == []
    assert len(set(built.values())) == AT_ONCE
    assert not [entry.name for entry in os.scandir(engine.data_root.scratch) if entry.is_dir()]
    # one more: the tag is whole, and so is what it names
    build(AT_ONCE)
    assert engine.images.get("same:1").id == built[AT_ONCE]
    spec = ContainerSpec(image="same:1", command=("cat", "/all", "/own"), auto_remove=True)
    assert collect(engine.containers.run(spec)).stdout == f"all\n{AT_ONCE}\n"
