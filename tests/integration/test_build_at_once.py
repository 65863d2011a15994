"""Security case 8: twenty builds at once, in one process and in many."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.build import BuildDone, BuildRequest, StepStarted

pytestmark = [pytest.mark.root, pytest.mark.network]
BUILDS = 20

# Two stages beside each other, two that share a base, and a result that differs at each execution.
TEXT = """\
FROM busybox AS a
RUN --mount=type=cache,target=/c,sharing=locked echo x >> /c/x; cat /c/x > /a
FROM busybox AS b
ARG N
RUN echo b$N > /b
COPY file /f
FROM a
COPY --from=b /b /f /
WORKDIR /w
RUN head -c 100 /dev/urandom > /random
"""
NAMES = [
    "[internal] load build definition from Dockerfile",
    "[internal] load metadata for docker.io/library/busybox:latest",
    "[internal] load .dockerignore",
    "[a 1/2] FROM docker.io/library/busybox:latest",
    "[internal] load build context",
    "[a 2/2] RUN --mount=type=cache,target=/c,sharing=locked echo x >> /c/x; cat /c/x > /a",
    "[b 2/3] RUN echo b > /b",  # variables have their values, as in BuildKit
    "[b 3/3] COPY file /f",
    "[stage-2 1/3] COPY --from=b /b /f /",
    "[stage-2 2/3] WORKDIR /w",
    "[stage-2 3/3] RUN head -c 100 /dev/urandom > /random",
    "exporting to image",
]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "file").write_text("x")
    (directory / "Dockerfile").write_text(TEXT)
    return directory


class Builds:
    """Twenty of them, each in a thread; `numbers` are what ARG N is given."""

    def __init__(self, engine: Engine, context: Path, numbers: Iterator[str]) -> None:
        self.images: list[str] = []
        self.names: list[list[str]] = []
        self.failures: list[str] = []  # with their tracebacks
        self._engine, self._context = engine, context
        threads = [threading.Thread(target=self._build, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not [thread for thread in threads if thread.is_alive()]
        assert self.failures == []

    def _build(self, number: str) -> None:
        request = BuildRequest(
            dockerfile=TEXT,
            context=str(self._context),
            tags=("once",),
            build_args={"N": number},
        )
        names: dict[int, str] = {}
        try:
            for event in self._engine.images.build(request):
                if isinstance(event, StepStarted):
                    assert event.number not in names
                    names[event.number] = event.name
                elif isinstance(event, BuildDone):
                    self.images.append(event.image.id)
        except BaseException:
            self.failures.append(traceback.format_exc())
        self.names.append([names[key] for key in sorted(names)])


def test_security_8_twenty_builds_of_one_engine_execute_each_step_once(
    engine: Engine, context: Path
) -> None:
    builds = Builds(engine, context, iter([""] * BUILDS))
    assert len(builds.images) == BUILDS
    assert set(builds.images) == {engine.images.get("once").id}
    for names in builds.names:
        assert _without_second_base(names) == NAMES


def test_security_8_twenty_builds_that_differ_give_twenty_images(
    engine: Engine, context: Path
) -> None:
    """And one of them has the tag; all stand on the same executed steps."""
    builds = Builds(engine, context, map(str, range(BUILDS)))
    assert len(set(builds.images)) == BUILDS
    assert engine.images.get("once").id in builds.images
    first_layers = {engine.images.get(image).chain_ids[1] for image in builds.images}
    assert len(first_layers) == 1


def test_security_8_twenty_builds_that_pull_the_same_base(engine: Engine, context: Path) -> None:
    engine.images.remove("busybox", force=True)
    builds = Builds(engine, context, iter([""] * BUILDS))
    assert set(builds.images) == {engine.images.get("once").id}


def test_security_8_twenty_processes_that_build_execute_each_step_once(
    engine: Engine, context: Path
) -> None:
    command = [sys.executable, "-m", "dockmagic", "build", "-t", "once", "--build-arg", "N="]
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)}
    processes = [
        subprocess.Popen(
            [*command, str(context)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(BUILDS)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * BUILDS, outputs
    images = set()
    for _, progress in outputs:
        images.update(re.findall(r"writing image (sha256:\w+) done", progress))
        numbered = dict(re.findall(r"^#(\d+) (\[.*|exporting to image)$", progress, re.MULTILINE))
        names = [numbered[key] for key in sorted(numbered, key=int)]
        assert _without_second_base(names) == NAMES
    assert images == {engine.images.get("once").id}


def _without_second_base(names: list[str]) -> list[str]:
    """Each stage that begins with the image has a step for it."""
    assert names.count("[b 1/3] FROM docker.io/library/busybox:latest") == 1
    return [name for name in names if not name.startswith("[b 1/3]")]
