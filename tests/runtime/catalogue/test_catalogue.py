from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.catalogue import STAND_IN_LABEL, Catalogue, roots
from dockmagic_runtime.catalogue.recipe import recipes
from dockmagic_runtime.errors import InvalidInput, NotFound, ProcessFailed, RemoteFailed
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    BuildStarted,
    PlannedStep,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.image import Image, ImageConfig
from dockmagic_runtime.model.progress import STAND_IN, STEP, PullDone, PullStatus
from dockmagic_runtime.store.data_root import DataRoot

IMAGE = Image(
    id="sha256:" + "0" * 64,
    tags=("busybox:latest",),
    created=0,
    size=0,
    config=ImageConfig(),
    architecture="amd64",
    os="linux",
    diff_ids=(),
    chain_ids=(),
)


class Builder:
    """Stands where the engine's `build` does; looks at the context while it is there."""

    def __init__(self, *, fails: bool = False) -> None:
        self.requests: list[BuildRequest] = []
        self.context: dict[str, int] = {}
        self._fails = fails

    def __call__(self, request: BuildRequest) -> Iterator[BuildEvent]:
        assert request.context is not None
        self.requests.append(request)
        top = Path(request.context)
        self.context = {
            str(path.relative_to(top)): path.stat().st_mode & 0o7777 for path in top.rglob("*")
        }
        planned = PlannedStep(number=1, name="[1/2] RUN make it", instruction="RUN make it")
        yield BuildStarted(steps=1, planned=(planned,))
        yield StepStarted(number=1, name="[1/2] RUN make it", instruction="RUN make it", line=1)
        yield StepOutput(number=1, stream="stderr", data=b"reading\nE: no such package\n")
        if self._fails:
            raise ProcessFailed("RUN make it returned 100", exit_code=100)
        yield StepDone(number=1, cached=False, seconds=0)
        yield BuildDone(image=IMAGE, tags=request.tags, seconds=0)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("busybox", "busybox"),
        ("alpine:3.19", "alpine"),
        ("ubuntu:18.04", "ubuntu"),
        ("debian:bookworm-slim", "debian"),
        ("httpd:alpine", "httpd"),
        ("docker.io/library/httpd:2.4", "httpd"),
        ("index.docker.io/httpd", "httpd"),
        ("mysql:5.7", "mysql"),
        ("registry:2", "registry"),
        ("jupyter/datascience-notebook", "jupyter/datascience-notebook"),
    ],
)
def test_every_tag_and_spelling_of_a_name_is_answered(reference: str, name: str) -> None:
    recipe = Catalogue().find(reference)
    assert recipe is not None
    assert recipe.name == name


@pytest.mark.parametrize(
    "reference",
    [
        "nginx",
        "somebody/httpd",
        "somebody/mysql",
        "datascience-notebook",
        "library/jupyter/datascience-notebook",
        "localhost:5000/httpd",
        "quay.example/library/httpd",
        "httpd@sha256:" + "a" * 64,
    ],
)
def test_other_peoples_names_are_not_answered(reference: str) -> None:
    assert Catalogue().find(reference) is None


def test_a_catalogue_that_is_off_offers_nothing(data_root: DataRoot) -> None:
    catalogue = Catalogue("never")
    assert catalogue.find("httpd") is None
    assert catalogue.search("httpd") == ()
    with pytest.raises(NotFound):
        list(catalogue.make("httpd", Builder(), data_root))


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InvalidInput, match="sometimes"):
        Catalogue("sometimes")


def test_search_looks_at_names_and_descriptions() -> None:
    assert [recipe.name for recipe in Catalogue().search("operating system")] == [
        "debian",
        "ubuntu",
    ]
    assert [recipe.name for recipe in Catalogue().search("HTTPD")] == ["httpd"]


def test_every_recipe_begins_with_the_root_and_says_what_it_is() -> None:
    for recipe in recipes().values():
        lines = recipe.dockerfile.splitlines()
        assert lines[:2] == ["FROM scratch", "ADD rootfs.tar /"], recipe.name
        assert "{host}" in recipe.stand_in


def test_a_stand_in_is_pulled_in_words_that_say_so(data_root: DataRoot) -> None:
    builder = Builder()
    events = list(Catalogue().make("busybox", builder, data_root))
    first, step, complete, done = events
    assert isinstance(first, PullStatus)
    assert first.status.startswith("busybox:latest is a stand-in: busybox from the package")
    assert first.kind == STAND_IN
    assert step == PullStatus(status="RUN make it", id="step 1/1", kind=STEP, step=1, steps=1)
    assert complete == PullStatus(status="Complete", id="step 1/1", kind=STEP, step=1, steps=1)
    assert done == PullDone(image=IMAGE, reference="busybox:latest")
    (request,) = builder.requests
    assert request.tags == ("docker.io/library/busybox:latest",)
    assert request.labels[STAND_IN_LABEL] in first.status


def test_the_context_has_the_root_and_the_recipes_files_and_goes_afterwards(
    data_root: DataRoot,
) -> None:
    builder = Builder()
    list(Catalogue().make("busybox", builder, data_root))
    assert {"rootfs.tar", "Dockerfile"} <= set(builder.context)
    assert list(data_root.scratch.iterdir()) == []


def test_the_context_goes_when_the_pull_is_given_up(data_root: DataRoot) -> None:
    events = Catalogue().make("busybox", Builder(), data_root)
    assert isinstance(events, Generator)
    for _ in range(2):
        next(events)
    assert list(data_root.scratch.iterdir())
    events.close()
    assert list(data_root.scratch.iterdir()) == []


def test_a_failing_step_tells_its_last_words(data_root: DataRoot) -> None:
    with pytest.raises(RemoteFailed, match="RUN make it returned 100: E: no such package"):
        list(Catalogue().make("busybox", Builder(fails=True), data_root))
    assert list(data_root.scratch.iterdir()) == []


@pytest.fixture
def bootstraps(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Counts the bootstraps, which are made without their 15 seconds."""
    created: list[Path] = []

    def bootstrap(_host: object, _scratch: Path, target: Path) -> Iterator[PullStatus]:
        if os.environ.get("OFFLINE"):
            raise RemoteFailed("no answer")
        created.append(target)
        target.write_bytes(b"")
        yield PullStatus(status="Unpacking", id="root")

    monkeypatch.setattr(roots, "bootstrap", bootstrap)
    return created


def test_one_root_serves_every_image_that_needs_one(
    data_root: DataRoot, bootstraps: list[Path]
) -> None:
    for name in ("debian", "ubuntu:18.04", "httpd"):
        list(Catalogue().make(name, Builder(), data_root))
    assert len(bootstraps) == 1


def _kept_root(data_root: DataRoot) -> Path:
    (kept,) = (data_root.root / "catalogue").glob("*.tar")
    return kept


def test_a_root_older_than_a_week_is_made_anew(data_root: DataRoot, bootstraps: list[Path]) -> None:
    list(Catalogue().make("debian", Builder(), data_root))
    last_month = time.time() - 30 * 24 * 3600
    os.utime(_kept_root(data_root), (last_month, last_month))
    list(Catalogue().make("debian", Builder(), data_root))
    assert len(bootstraps) == 2


def test_an_old_root_serves_when_no_new_one_can_be_made(
    data_root: DataRoot, bootstraps: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(Catalogue().make("debian", Builder(), data_root))
    os.utime(_kept_root(data_root), (0, 0))
    monkeypatch.setenv("OFFLINE", "1")
    statuses = [
        event.status
        for event in Catalogue().make("debian", Builder(), data_root)
        if isinstance(event, PullStatus)
    ]
    assert "Using the root made earlier: no answer" in statuses


def test_scripts_of_a_recipe_are_executable_whatever_the_wheel_made_of_them(
    data_root: DataRoot, bootstraps: list[Path]
) -> None:
    builder = Builder()
    list(Catalogue().make("httpd", builder, data_root))
    assert builder.context["apache2/bin/httpd-foreground"] == 0o755
    assert builder.context["apache2/conf/httpd.conf"] == 0o644
    assert builder.context["apache2/conf"] == 0o755
    assert "recipe.toml" not in builder.context
