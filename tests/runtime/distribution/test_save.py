"""What `save` writes, read by another program's eyes: Python's tarfile and json."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from typing import Any

import pytest

from dockmagic_runtime.distribution.save import Saver
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.image import Image

from .conftest import Store

pytestmark = pytest.mark.root


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = [member.name for member in tar]
        assert len(names) == len(set(names))
        return {
            item.name: file.read() if (file := tar.extractfile(item)) else b""
            for item in tar.getmembers()
        }


def document(archive: bytes, name: str) -> Any:
    return json.loads(members(archive)[name])


@pytest.fixture
def image(store: Store) -> Image:
    return store.built("app:1", {"etc/a": "a"}, {"etc/b": "b", "big": "x" * 400_000})


def test_every_blob_is_what_its_name_says(store: Store, image: Image) -> None:
    result = members(store.save("app:1"))
    blobs = {name: data for name, data in result.items() if name.startswith("blobs/sha256/")}
    assert len(blobs) == 4
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_layers_are_named_by_their_diff_ids(store: Store, image: Image) -> None:
    (entry,) = document(store.save("app:1"), "manifest.json")
    hexes = [diff_id.removeprefix("sha256:") for diff_id in image.diff_ids]
    assert entry["Layers"] == [f"blobs/sha256/{item}" for item in hexes]
    assert entry["Config"] == f"blobs/sha256/{image.id.removeprefix('sha256:')}"
    assert entry["RepoTags"] == ["app:1"]


def test_the_oci_layout_names_the_same_image(store: Store, image: Image) -> None:
    archive = store.save("app:1")
    (entry,) = document(archive, "index.json")["manifests"]
    assert entry["annotations"] == {
        "io.containerd.image.name": "docker.io/library/app:1",
        "org.opencontainers.image.ref.name": "1",
    }
    manifest = members(archive)[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"]
    assert len(manifest) == entry["size"]
    assert json.loads(manifest)["config"]["digest"] == image.id
    assert document(archive, "oci-layout") == {"imageLayoutVersion": "1.0.0"}


def test_a_name_without_a_tag_means_all_its_tags(store: Store, image: Image) -> None:
    store.images.tag(image.id, "app:2")
    store.images.tag(image.id, "application:1")
    (entry,) = document(store.save("app"), "manifest.json")
    assert entry["RepoTags"] == ["app:1", "app:2"]
    (entry,) = document(store.save("app:2"), "manifest.json")
    assert entry["RepoTags"] == ["app:2"]


def test_an_id_brings_no_name_along(store: Store, image: Image) -> None:
    archive = store.save(image.short_id)
    (entry,) = document(archive, "manifest.json")
    assert entry["RepoTags"] is None
    assert "repositories" not in members(archive)


def test_shared_layers_are_written_once(store: Store, image: Image) -> None:
    other = store.built("other:1", {"etc/a": "a"}, {"c": "c"})
    assert other.diff_ids[0] == image.diff_ids[0]
    archive = store.save("app:1", "other:1")
    first, second = document(archive, "manifest.json")
    assert first["Layers"][0] == second["Layers"][0]
    members(archive)  # names are unique
    assert list(document(archive, "repositories")) == ["app", "other"]


def test_the_same_images_give_the_same_bytes(store: Store, image: Image) -> None:
    assert store.save("app:1") == store.save("app:1")


def test_nothing_is_written_when_an_image_is_missing(store: Store, image: Image) -> None:
    out = io.BytesIO()
    with pytest.raises(NotFound, match="No such image: nosuch:latest"):
        Saver(store.data_root, store.images, store.layers).save(["app:1", "nosuch"], out)
    assert out.getvalue() == b""


def test_an_archive_may_go_into_a_pipe(store: Store, image: Image) -> None:
    expected = store.save("app:1")
    read, write = os.pipe()
    received = bytearray()

    def drain() -> None:
        with open(read, "rb") as file:
            received.extend(file.read())

    reader = threading.Thread(target=drain)
    reader.start()
    with open(write, "wb", buffering=0) as pipe:
        Saver(store.data_root, store.images, store.layers).save(["app:1"], pipe)
    reader.join()
    assert bytes(received) == expected


def test_nothing_is_left_in_the_area(store: Store, image: Image) -> None:
    before = sorted(os.listdir(store.data_root.scratch))
    store.save("app:1")
    assert sorted(os.listdir(store.data_root.scratch)) == before
