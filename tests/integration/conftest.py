"""An engine on an area of its own, with a busybox image and a way to run things in it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.build import BuildDone, BuildRequest, StepDone, StepStarted
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.supervisor.engine_client import ContainerProcess


@dataclass(frozen=True)
class Ended:
    """What a finished container or exec said."""

    code: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]
Build = Callable[[str], str]


@pytest.fixture
def engine(data_root: DataRoot) -> Iterator[Engine]:
    with Engine(data_root.root) as engine:
        for _ in engine.images.pull("busybox"):
            pass
        yield engine
        for container in engine.containers.list(all=True):
            engine.containers.remove(container.id, force=True, volumes=True)
        engine.system.dismantle()


@pytest.fixture
def own_subnets() -> Iterator[None]:
    """No other process on this host runs the tests that use 10.213.0.0/16 meanwhile."""
    with locks.held(f"{tempfile.gettempdir()}/dockmagic-subnets.lock"):
        yield


@pytest.fixture
def run(engine: Engine) -> Run:
    """`run("sh", "-c", "…", network="none")`: to the end, removed, with its output."""

    def run(*argv: str, image: str = "busybox", stdin: bytes | None = None, **spec: Any) -> Ended:
        process = engine.containers.run(
            ContainerSpec(
                image=image,
                command=argv or None,
                auto_remove=True,
                open_stdin=stdin is not None,
                **spec,
            )
        )
        if stdin is not None:
            process.write(stdin)
            process.close_stdin()
        return collect(process)

    return run


def collect(process: ContainerProcess) -> Ended:
    """Read a Process to its end."""
    streams = {"stdout": bytearray(), "stderr": bytearray()}
    for stream, data in process.output():
        streams[stream] += data
    code = process.wait()
    return Ended(code, streams["stdout"].decode(), streams["stderr"].decode())


@pytest.fixture
def build(engine: Engine) -> Build:
    """An image from a Dockerfile's text; its id."""

    def build(dockerfile: str) -> str:
        for event in engine.images.build(BuildRequest(dockerfile=dockerfile, context=None)):
            if isinstance(event, BuildDone):
                return event.image.id
        raise AssertionError("the build ended without an image")

    return build


def instructions_done(events: Iterable[object]) -> list[StepDone]:
    """The ends of the Dockerfile's own steps, without those of the builder around them."""
    names: set[int] = set()
    done: list[StepDone] = []
    for event in events:
        if isinstance(event, StepStarted) and event.instruction:
            names.add(event.number)
        elif isinstance(event, StepDone) and event.number in names:
            done.append(event)
    return done


def log(engine: Engine, name: str) -> str:
    """All that a container has written."""
    return b"".join(line.text for line in engine.containers.logs(name)).decode(errors="replace")


def wait_for(engine: Engine, name: str, pattern: str, seconds: float = 90) -> re.Match[str]:
    """The first match in the log of a container that runs."""
    deadline = time.monotonic() + seconds
    while (match := re.search(pattern, log(engine, name))) is None:
        assert engine.containers.get(name).status.is_alive, log(engine, name)
        assert time.monotonic() < deadline, log(engine, name)
        time.sleep(0.05)
    return match


def await_page(url: str, seconds: float = 20) -> str:
    """What is at `url`, as soon as a server answers there, without white space around it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode()).strip()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Engine]:
    """An engine whose area is a file system of 48 MiB."""
    linux, root = Kernel(), str(tmp_path / "small")
    os.mkdir(root)
    linux.mount("tmpfs", root, "tmpfs", 0, "size=48m")
    try:
        with Engine(root, catalogue="always") as engine:
            list(engine.images.pull("busybox"))
            yield engine
            engine.system.uninstall()
    finally:
        linux.umount(root, c.MNT_DETACH)


def fill(directory: Path) -> Path:
    path = directory / "filler"
    with path.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    return path
