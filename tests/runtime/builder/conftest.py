"""A builder on a real area, with real overlays and layers, and a runner that runs no process."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.builder import Builder, RemoteCache
from dockmagic_runtime.builder.interfaces import StepProcess
from dockmagic_runtime.containers.lifecycle.workspace import Workspace
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.build import BuildDone, BuildEvent, BuildRequest, StepDone, StepStarted
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullDone, PullEvent, PullStatus
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

Command = Callable[[StepProcess], int | None]


@dataclass
class FakeRunner:
    """Answers a RUN by its last word: a function that writes into the upper directory."""

    commands: dict[str, Command] = field(default_factory=dict)
    processes: list[StepProcess] = field(default_factory=list)
    closed: int = 0

    def run(self, process: StepProcess) -> Generator[tuple[str, bytes], None, int]:
        self.processes.append(process)
        command = self.commands.get(process.argv[-1])
        try:
            yield "stdout", f"running {process.argv[-1]}\n".encode()
            return (command(process) if command else 0) or 0
        finally:
            self.closed += 1


def of_dockerfile(events: list[BuildEvent]) -> list[StepDone]:
    """The ends of the Dockerfile's own steps, FROM left out."""
    own = {
        event.number
        for event in events
        if isinstance(event, StepStarted)
        and event.instruction.split(" ")[0].upper() != "FROM"
        and event.instruction
    }
    steps = [event for event in events if isinstance(event, StepDone) and event.number in own]
    return sorted(steps, key=lambda step: step.number)


@dataclass
class Site:
    """All that a build test needs."""

    data_root: DataRoot
    context: Path
    images: ImageStore
    layers: LayerStore
    database: Database
    runner: FakeRunner
    builder: Builder

    def events(self, dockerfile: str | None, **request: Any) -> list[BuildEvent]:
        request.setdefault("context", str(self.context))
        return list(self.builder.build(BuildRequest(dockerfile=dockerfile, **request)))

    def build(self, dockerfile: str | None, **request: Any) -> Image:
        (done,) = (
            event for event in self.events(dockerfile, **request) if isinstance(event, BuildDone)
        )
        return done.image

    def steps(self, dockerfile: str | None, **request: Any) -> list[StepDone]:
        """Those of the Dockerfile, by number: stages are built side by side."""
        return of_dockerfile(self.events(dockerfile, **request))

    def config(self, dockerfile: str | None, **request: Any) -> dict[str, Any]:
        config: dict[str, Any] = self.document(dockerfile, **request)["config"]
        return config

    def document(self, dockerfile: str | None, **request: Any) -> dict[str, Any]:
        return self.images.config(self.build(dockerfile, **request).id)

    def write(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        target = self.context / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def layer(self, image: Image, index: int = -1) -> Path:
        """The directory of one of the image's layers."""
        return Path(self.layers.path(image.chain_ids[index]))

    def pull(self, reference: str) -> Iterator[PullEvent]:
        """A registry that has one image, called `pullable`."""
        if reference != "pullable":
            raise NotFound(f"pull access denied for {reference}")
        yield PullStatus(status="Pulling")
        document_bytes = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        ).encode()
        image = self.images.put(document_bytes, ())
        self.images.tag(image.id, reference)
        yield PullDone(image=image, reference=reference)


@pytest.fixture
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def site(data_root: DataRoot, tmp_path: Path) -> Iterator[Site]:
    context = tmp_path / "context"
    context.mkdir()
    target = data_root.scratch / "mount"
    target.mkdir()
    database = Database(data_root.database)
    layers = LayerStore(data_root, database)
    images, runner = ImageStore(data_root, database, layers), FakeRunner()

    def pull(reference: str) -> Iterator[PullEvent]:
        return site_.pull(reference)

    builder = Builder(
        images,
        layers,
        database,
        runner,
        Workspace(str(target)),
        pull,
        remote_cache=RemoteCache(layers, BlobStore(data_root)),
        scratch=str(data_root.scratch),
        caches=str(data_root.root / "cache-mounts"),
        digests=str(data_root.root / "context-digests"),
        claims=str(data_root.root / "build-claims"),
    )
    site_ = Site(data_root, context, images, layers, database, runner, builder)
    yield site_
    target.rmdir()
    left = sorted(path.name for path in data_root.scratch.iterdir())
    database.close()
    assert left == [], "a build left temporary files"


SITE = """\
FROM scratch
LABEL maintainer="me"
COPY index.html /htdocs/
RUN touch
CMD ["httpd"]
"""


def touch(process: StepProcess) -> None:
    Path(process.upper, "made").write_text("by the step")


@pytest.fixture
def mysite(site: Site) -> Site:
    site.write("index.html", "hello")
    site.runner.commands["touch"] = touch
    return site


def cached(site: Site, dockerfile: str, **request: object) -> list[bool]:
    return [step.cached for step in site.steps(dockerfile, **request)]


def reasons(site: Site, dockerfile: str, **request: object) -> list[str]:
    return [step.reason for step in site.steps(dockerfile, **request)]


def forget_layers(site: Site, which: str) -> None:
    with site.database.transaction() as connection:
        connection.execute("DELETE FROM tags")
        connection.execute("DELETE FROM images")
        connection.execute(f"DELETE FROM layers WHERE {which}")
