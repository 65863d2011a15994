"""A builder on a real area, with real overlays and layers, and a runner that runs no process."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.builder import Builder
from dockmagic_runtime.builder.ports import StepProcess
from dockmagic_runtime.containers.workspace import Workspace
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.images import document
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.model.events import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    PullDone,
    PullEvent,
    PullStatus,
    StepDone,
)
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.store.area import Area
from dockmagic_runtime.store.database import Database

Command = Callable[[StepProcess], int | None]


class FakeImages:
    """Images by id and name, in memory; counts what is written."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.puts = 0

    def resolve(self, reference: str) -> Image:
        identity = self.tags.get(reference, reference)
        if identity not in self.documents:
            raise NotFound(f"No such image: {reference}")
        read = document.decode_config(self.documents[identity])
        tags = tuple(name for name, one in self.tags.items() if one == identity)
        return document.to_image(identity, read, tags=tags, sizes=[0] * len(read.diff_ids))

    def config(self, image_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.documents[image_id])
        return found

    def put(self, config: bytes, chain_ids: Sequence[str]) -> Image:
        identity = document.image_id(config)
        self.puts += identity not in self.documents
        self.documents[identity] = config
        image = self.resolve(identity)
        assert image.chain_ids == tuple(chain_ids)
        return image

    def tag(self, image_id: str, reference: str) -> None:
        self.tags[reference] = image_id


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


@dataclass
class Site:
    """All that a build test needs."""

    area: Area
    context: Path
    images: FakeImages
    layers: LayerStore
    database: Database
    runner: FakeRunner
    builder: Builder

    def events(self, dockerfile: str, **request: Any) -> list[BuildEvent]:
        request.setdefault("context", str(self.context))
        return list(self.builder.build(BuildRequest(dockerfile=dockerfile, **request)))

    def build(self, dockerfile: str, **request: Any) -> Image:
        (done,) = (one for one in self.events(dockerfile, **request) if isinstance(one, BuildDone))
        return done.image

    def steps(self, dockerfile: str, **request: Any) -> list[StepDone]:
        events = self.events(dockerfile, **request)
        return [event for event in events if isinstance(event, StepDone)]

    def config(self, dockerfile: str, **request: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.document(dockerfile, **request)["config"]
        return found

    def document(self, dockerfile: str, **request: Any) -> dict[str, Any]:
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
def site(area: Area, tmp_path: Path) -> Iterator[Site]:
    context = tmp_path / "context"
    context.mkdir()
    target = area.scratch / "mount"
    target.mkdir()
    database = Database(area.database)
    layers = LayerStore(area, database)
    images, runner = FakeImages(), FakeRunner()

    def pull(reference: str) -> Iterator[PullEvent]:
        return made.pull(reference)

    builder = Builder(
        images,
        layers,
        database,
        runner,
        Workspace(str(target)),
        pull,
        scratch=str(area.scratch),
    )
    made = Site(area, context, images, layers, database, runner, builder)
    yield made
    target.rmdir()
    left = sorted(path.name for path in area.scratch.iterdir())
    database.close()
    assert left == [], "a build left temporary files"
