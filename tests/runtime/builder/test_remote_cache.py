"""Caches that leave the machine and come back: a directory, an image, a real registry."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.builder.cache.document import CONFIG_TYPE, CacheRecord, decode, encode
from dockmagic_runtime.builder.interfaces import StepProcess
from dockmagic_runtime.distribution.push import Pusher
from dockmagic_runtime.errors import DockmagicError, InvalidInput, RemoteFailed
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.model.build import (
    BuildCacheSpec,
    BuildDone,
    BuildEvent,
    StepDone,
    StepStarted,
)
from dockmagic_runtime.model.image import Image
from tests.runtime.builder.conftest import Site, of_dockerfile
from tests.runtime.registry.conftest import RealRegistry, serve

pytestmark = pytest.mark.root

TEXT = """\
FROM scratch AS made
COPY one.txt /
RUN make
LABEL x=1
FROM scratch
COPY two.txt /
COPY --from=made /made /
CMD ["x"]
"""


def make(process: StepProcess) -> None:
    Path(process.upper, "made").write_text("by the step")


@pytest.fixture
def mine(site: Site) -> Site:
    site.write("one.txt", "1")
    site.write("two.txt", "2")
    site.runner.commands["make"] = make
    return site


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with serve(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


def elsewhere(site: Site) -> None:
    """As on a machine that has never built anything."""
    for image in site.images.list(all=True):
        site.images.remove(image.id, force=True, used_by={}, alive=set())
    site.builder.prune_cache()
    assert site.database.rows("SELECT 1 FROM layers UNION ALL SELECT 1 FROM build_cache") == []
    site.runner.processes.clear()


def built(site: Site, text: str = TEXT, **request: Any) -> tuple[list[bool], Image, list[str]]:
    """Which steps were cached, the image, and the statuses."""
    events = site.events(text, **request)
    (done,) = (event for event in events if isinstance(event, BuildDone))
    return [step.cached for step in of_dockerfile(events)], done.image, caches(events)


def caches(events: list[BuildEvent]) -> list[str]:
    """The steps that import or export a cache, and why they failed."""
    done = [event for event in events if isinstance(event, StepDone) and event.error]
    failed = {event.number: f": {event.error}" for event in done}
    started = [event for event in events if isinstance(event, StepStarted)]
    return [event.name + failed.get(event.number, "") for event in started if "cache" in event.name]


def local(path: Path, **more: Any) -> BuildCacheSpec:
    return BuildCacheSpec(kind="local", where=str(path), **more)


def test_a_directory_brings_all_steps_to_another_machine(mine: Site, tmp_path: Path) -> None:
    place = local(tmp_path / "cache", mode="max")
    _, image, statuses = built(mine, cache_to=(place,))
    assert statuses == ["exporting cache to client directory"]
    elsewhere(mine)
    cached, again, statuses = built(mine, cache_from=(place,))
    assert statuses == [f"importing cache manifest from {tmp_path}/cache"]
    assert cached == [True] * 4
    assert mine.runner.processes == []
    assert again.id == image.id
    assert (mine.layer(again) / "made").read_text() == "by the step"
    assert built(mine)[0] == [True] * 4, "what was brought is in the cache now"


def test_the_least_is_what_the_image_is_made_of(mine: Site, tmp_path: Path) -> None:
    built(mine, cache_to=(local(tmp_path),))
    elsewhere(mine)
    assert built(mine, cache_from=(local(tmp_path),))[0] == [False, False, True, True]


def test_only_layers_that_are_needed_are_fetched(mine: Site, tmp_path: Path) -> None:
    built(mine, cache_to=(local(tmp_path, mode="max"),))
    elsewhere(mine)
    mine.write("two.txt", "changed")
    cached, image, _ = built(mine, cache_from=(local(tmp_path, mode="max"),))
    assert cached == [True, True, False, False]
    assert (mine.layer(image, 0) / "two.txt").read_text() == "changed"


def test_tags_live_side_by_side(mine: Site, tmp_path: Path) -> None:
    built(mine, cache_to=(local(tmp_path, tag="a"),))
    mine.write("two.txt", "b")
    built(mine, cache_to=(local(tmp_path, tag="b"),))
    elsewhere(mine)
    assert built(mine, cache_from=(local(tmp_path, tag="b"),))[0][2]
    index = json.loads((tmp_path / "index.json").read_text())
    digest = index["manifests"][0]["digest"]
    mine.write("two.txt", "2")
    assert built(mine, cache_from=(local(tmp_path, digest=digest),))[0][2]


def test_the_layout_is_buildkits(mine: Site, tmp_path: Path) -> None:
    built(mine, cache_to=(local(tmp_path, mode="max"),))
    index = json.loads((tmp_path / "index.json").read_text())
    (entry,) = index["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    blobs = tmp_path / "blobs/sha256"
    manifest = json.loads((blobs / entry["digest"][7:]).read_text())
    assert manifest["config"]["mediaType"] == CONFIG_TYPE
    document = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    assert [entry["blob"] for entry in document["layers"]] == [
        entry["digest"] for entry in manifest["layers"]
    ]
    assert [entry["parent"] for entry in document["layers"]] == [-1, 0, -1, 2]
    assert all(entry["digest"].startswith("sha256:") for entry in document["records"])
    assert all("containerd.io/uncompressed" in entry["annotations"] for entry in manifest["layers"])


@pytest.mark.parametrize("what", ["nothing", "no index", "damaged document", "damaged layer"])
def test_a_cache_that_is_no_good_is_told_and_the_build_goes_on(
    mine: Site, tmp_path: Path, what: str
) -> None:
    built(mine, cache_to=(local(tmp_path, mode="max"),))
    index = tmp_path / "index.json"
    (entry,) = json.loads(index.read_text())["manifests"]
    blobs = tmp_path / "blobs/sha256"
    manifest = json.loads((blobs / entry["digest"][7:]).read_text())
    if what == "nothing":
        index.unlink()
    elif what == "no index":
        index.write_text("[")
    elif what == "damaged document":
        (blobs / manifest["config"]["digest"][7:]).write_text("{}")
    else:
        for layer in manifest["layers"]:
            (blobs / layer["digest"][7:]).write_bytes(b"\x1f\x8b")
    elsewhere(mine)
    events = mine.events(TEXT, cache_from=(local(tmp_path),))
    statuses, done = caches(events), of_dockerfile(events)
    assert not any(step.cached for step in done)
    if what == "damaged layer":
        assert any(f"what {tmp_path} has of it cannot be used" in step.reason for step in done)
    else:
        assert statuses[0].startswith(f"importing cache manifest from {tmp_path}: ")


def test_an_export_that_fails_fails_the_build_unless_told_otherwise(
    mine: Site, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = local(tmp_path / "file")
    with pytest.raises(InvalidInput, match="failed to export the cache"):
        built(mine, cache_to=(place,))
    assert built(mine, cache_to=(local(tmp_path / "file", ignore_error=True),))[2][-1].startswith(
        "exporting cache to client directory: failed to export"
    )


@pytest.mark.network
@pytest.mark.usefixtures("_no_proxies")
def test_a_registry_brings_it_too(mine: Site, registry: RealRegistry) -> None:
    place = BuildCacheSpec(kind="registry", where=f"{registry.host}/app:cache", mode="max")
    image = built(mine, cache_to=(place,))[1]
    elsewhere(mine)
    cached, again, _ = built(mine, cache_from=(place,))
    assert cached == [True] * 4
    assert again.id == image.id
    missing = BuildCacheSpec(kind="registry", where=f"{registry.host}/none:cache")
    statuses = built(mine, cache_from=(missing,))[2]
    assert statuses[0].startswith(f"importing cache manifest from {registry.host}/none:cache: ")


@pytest.mark.network
@pytest.mark.usefixtures("_no_proxies")
@pytest.mark.parametrize("request_", [
    {"cache_to": (BuildCacheSpec(kind="inline"),)},
    {"build_args": {"BUILDKIT_INLINE_CACHE": "1"}},
])  # fmt: skip
def test_an_image_carries_its_own(
    mine: Site, registry: RealRegistry, request_: dict[str, Any]
) -> None:
    name = f"{registry.host}/site:1"
    image = built(mine, tags=(name,), **request_)[1]
    document = mine.images.config(image.id)
    assert json.loads(base64.b64decode(document["moby.buildkit.cache.v0"]))["records"]
    list(Pusher(mine.images, mine.layers, BlobStore(mine.data_root)).push(name))
    elsewhere(mine)
    place = BuildCacheSpec(kind="registry", where=name)
    cached, again, _ = built(mine, cache_from=(place,), **request_)
    assert cached == [False, False, True, True]
    assert again.id == image.id


@pytest.mark.network
@pytest.mark.usefixtures("_no_proxies")
def test_an_image_without_one_says_so(mine: Site, registry: RealRegistry) -> None:
    name = f"{registry.host}/plain:1"
    built(mine, tags=(name,))
    list(Pusher(mine.images, mine.layers, BlobStore(mine.data_root)).push(name))
    statuses = built(mine, cache_from=(BuildCacheSpec(kind="registry", where=name),))[2]
    assert statuses[0].endswith("the image has no cache in it")


def test_cve_2024_24557_a_cache_is_asked_for_or_not_used(mine: Site, tmp_path: Path) -> None:
    built(mine, cache_to=(local(tmp_path, mode="max"),))
    elsewhere(mine)
    assert built(mine)[0][:2] == [False, False]


# --- the document ------------------------------------------------------------------------------


KEY, NOW = "a" * 64, "2026-01-02T03:04:05.000000006Z"
RECORD = CacheRecord(key=KEY, created=NOW, diff_id="sha256:" + "b" * 64, size=5, layer=0)


def test_records_survive_being_written() -> None:
    bare = CacheRecord(key="c" * 64, created="2025-01-02T03:04:05Z")
    data = encode([RECORD, bare], [("sha256:" + "d" * 64, -1)])
    assert decode(data, 1) == {KEY: RECORD, bare.key: bare}


def test_records_of_buildkit_are_passed_over() -> None:
    theirs = {"layers": [{"blob": "sha256:x", "parent": -1}],
              "records": [{"digest": f"sha256:{KEY}", "layers": [{"layer": 0}]}]}  # fmt: skip
    assert decode(json.dumps(theirs).encode(), 1) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["layers"].__setitem__(0, {"layer": 1}),
        lambda record: record["layers"].__setitem__(0, {"layer": -1}),
        lambda record: record.__setitem__("digest", "sha256:short"),
        lambda record: record["dockmagic"].__setitem__("diff_id", "../../x"),
        lambda record: record["dockmagic"].__setitem__("created", "\x1b[2Jnow"),
        lambda record: record.__setitem__("dockmagic", []),
        lambda record: record.__setitem__("layers", {"a": 1}),
    ],
)
def test_what_is_malformed_is_refused(change: Any) -> None:
    document = json.loads(encode([RECORD], [("", -1)]))
    change(document["records"][0])
    with pytest.raises(RemoteFailed, match="malformed"):
        decode(json.dumps(document).encode(), 1)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"[" * 100_000, b'{"records": 1}', b"\xff"])
def test_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(DockmagicError):
        decode(data, 0)
