"""Short ways to write mounts, and an image that has what volumes are filled from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import Mount
from tests.integration.conftest import Build


def volume(source: str, target: str, **more: object) -> Mount:
    return Mount(kind="volume", source=source, target=target, **more)  # type: ignore[arg-type]


def bind(source: Path | str, target: str, **more: object) -> Mount:
    return Mount(kind="bind", source=str(source), target=target, **more)  # type: ignore[arg-type]


def data(engine: Engine, name: str) -> Path:
    return Path(engine.volumes.inspect(name)["Mountpoint"])


@pytest.fixture
def seeded(build: Build) -> str:
    """An image with something of every kind in /data and an empty /empty of its own owner."""
    return build(
        "FROM busybox\n"
        "RUN mkdir -p /data/sub /empty && cd /data && echo one > file && ln file sub/hard"
        " && ln -s file soft && mkfifo fifo && touch -d '2020-01-02 03:04:05' file"
        " && chown 1000:1001 file sub && chmod 2750 sub && chmod 4711 fifo"
        " && chown 33:34 /data /empty && chmod 1770 /data && chmod 700 /empty\n"
        "VOLUME /anonymous\n"
    )
