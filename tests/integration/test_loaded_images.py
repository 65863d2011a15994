"""Images that others have made, and what a build believes of them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.build import BuildDone, BuildRequest, StepStarted
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.progress import LoadDone
from dockmagic_runtime.testing.trees import make_member, make_tar

from .conftest import collect, instructions_done

pytestmark = [pytest.mark.root, pytest.mark.network]
FROM, RUN = "FROM busybox", "RUN echo honest > /word"
DOCKERFILE = f"{FROM}\n{RUN}\nCMD cat /word\n"


def build(engine: Engine, tag: str) -> tuple[str, dict[str, bool]]:
    """The image's id, and for each of the Dockerfile's own steps whether it was in the cache."""
    request = BuildRequest(dockerfile=DOCKERFILE, context=None, tags=(tag,))
    events = list(engine.images.build(request))
    (done,) = (event for event in events if isinstance(event, BuildDone))
    steps = [event for event in events if isinstance(event, StepStarted) and event.instruction]
    cached = [event.cached for event in instructions_done(events)]
    return done.image.id, {
        step.instruction: is_cached for step, is_cached in zip(steps, cached, strict=True)
    }


def forged(engine: Engine, name: str) -> bytes:
    """An archive of the image `name` in which the last layer alone is another."""
    saved = io.BytesIO()
    engine.images.save([name], saved)
    saved.seek(0)
    with tarfile.open(fileobj=saved) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        contents = {path: file.read() for path, file in files.items() if file}
    (entry,) = json.loads(contents["manifest.json"])
    evil = make_tar((make_member("word", mtime=1), b"forged\n")).getvalue()
    config = json.loads(contents[entry["Config"]])
    config["rootfs"]["diff_ids"][-1] = f"sha256:{hashlib.sha256(evil).hexdigest()}"
    entry |= {"Config": "config.json", "RepoTags": ["evil:1"]}
    layers = {path: contents[path] for path in entry["Layers"][:-1]}
    entry["Layers"] = [*layers, "evil.tar"]
    documents = {"manifest.json": [entry], "config.json": config}
    members = {**layers, "evil.tar": evil}
    members |= {path: json.dumps(document).encode() for path, document in documents.items()}
    return make_tar(*((make_member(path), data) for path, data in members.items())).getvalue()


def test_row_35_cve_2024_24557_a_loaded_image_is_no_source_of_the_cache(engine: Engine) -> None:
    """Its history says what the build is about to do, and its layer holds something else."""
    first, _ = build(engine, "mine:1")
    archive = forged(engine, "mine:1")
    engine.images.remove("mine:1")
    engine.builds.prune()
    (loaded,) = (
        event for event in engine.images.load(io.BytesIO(archive)) if isinstance(event, LoadDone)
    )
    history = [(row.created_by, row.empty_layer) for row in engine.images.get("evil:1").history]
    assert loaded.image.id != first

    _, cached = build(engine, "mine:1")
    assert cached == {FROM: True, RUN: False}
    _, cached = build(engine, "mine:1")  # what this machine has built itself is a source
    assert cached == {FROM: True, RUN: True}
    assert [(r.created_by, r.empty_layer) for r in engine.images.get("mine:1").history] == history
    spec = ContainerSpec(image="mine:1", auto_remove=True)
    assert collect(engine.containers.run(spec)).stdout == "honest\n"
    forged_one = ContainerSpec(image="evil:1", auto_remove=True)
    assert collect(engine.containers.run(forged_one)).stdout == "forged\n"
