"""Archives of all kinds, honest and not, into a store."""

from __future__ import annotations

import bz2
import hashlib
import json
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, RemoteFailed

from .conftest import Files, Store, zipped

pytestmark = pytest.mark.root
Tar = Callable[[Files], bytes]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config(*layers: bytes, **more: Any) -> bytes:
    diff_ids = [f"sha256:{sha(layer)}" for layer in layers]
    document = {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "os": "linux", **more}
    return json.dumps(document).encode()


def docker(tar: Tar, *layers: bytes, tags: list[str] | None, kept: Files | None = None) -> bytes:
    """Docker's format of before OCI: layers in directories; `kept` replaces what is in them."""
    about = config(*layers)
    files: Files = {f"{sha(layer)}/layer.tar": layer for layer in layers}
    files[f"{sha(about)}.json"] = about
    entry = {"Config": f"{sha(about)}.json", "RepoTags": tags, "Layers": list(files)[: len(layers)]}
    files["manifest.json"] = json.dumps([entry]).encode()
    return tar({**files, **(kept or {})})


@pytest.fixture
def layer(tar: Tar) -> bytes:
    return tar({"hello": b"world\n"})


def test_what_was_saved_is_loaded_the_same(store: Store, other: Store) -> None:
    image = store.built("app:1", {"a": "1"}, {"b/c": "2"})
    (done,) = other.load(store.save("app:1"))
    assert done.reference == "app:1"
    assert done.image == image
    assert other.tree(done.image) == store.tree(image)
    assert other.save("app:1") == store.save("app:1")


def test_a_second_load_changes_nothing(store: Store, other: Store) -> None:
    store.built("app:1", {"a": "1"})
    archive = store.save("app:1")
    other.load(archive)
    assert other.lines(archive) == []
    assert len(other.images.list(all=True)) == 1


@pytest.mark.parametrize(
    "compress",
    [zipped, lzma.compress, bz2.compress, zstandard.compress],
    ids=["gzip", "xz", "bzip2", "zstd"],
)
def test_compressed_archives(
    store: Store, other: Store, compress: Callable[[bytes], bytes]
) -> None:
    image = store.built("app:1", {"a": "1"})
    (done,) = other.load(compress(store.save("app:1")))
    assert done.image.id == image.id


def test_from_a_file_at_its_current_position(store: Store, other: Store, tmp_path: Path) -> None:
    store.built("app:1", {"a": "1"})
    path = tmp_path / "archive"
    path.write_bytes(b"some text" + store.save("app:1"))
    with path.open("rb") as file:
        file.seek(9)
        (done,) = other.load(file)
    assert done.reference == "app:1"


def test_from_a_pipe_that_is_read_to_its_end(store: Store, other: Store) -> None:
    store.built("app:1", {"a": "1"})
    archive = store.save("app:1")
    read, write = os.pipe()

    def fill() -> None:
        with open(write, "wb") as pipe:
            pipe.write(archive)

    writer = threading.Thread(target=fill)
    writer.start()
    with open(read, "rb") as pipe:
        (done,) = other.load(pipe)
    writer.join()
    assert done.reference == "app:1"


def test_an_image_without_a_name_is_told_by_its_id(store: Store, tar: Tar, layer: bytes) -> None:
    (done,) = store.load(docker(tar, layer, tags=None))
    assert (done.reference, done.image.tags) == ("", ())
    assert done.image.id == f"sha256:{sha(config(layer))}"


def test_each_name_is_told(store: Store, tar: Tar, layer: bytes) -> None:
    done = store.load(docker(tar, layer, tags=["a:1", "b:2"]))
    assert [event.reference for event in done] == ["a:1", "b:2"]


def test_a_name_that_meant_another_image_moves_and_it_is_said(
    store: Store, tar: Tar, layer: bytes
) -> None:
    before = store.built("app:1", {"old": ""})
    lines = store.lines(docker(tar, layer, tags=["app:1"]))
    assert lines[-1] == (
        f"The image app:1 already exists, renaming the old one with ID {before.id} to empty string"
    )
    assert store.images.resolve("app:1").id != before.id
    assert store.images.resolve(before.id).tags == ()


def test_a_link_in_the_archive_is_another_name_of_a_member(
    store: Store, tar: Tar, layer: bytes
) -> None:
    path = f"{sha(layer)}/layer.tar"
    archive = docker(tar, layer, tags=["a:1"], kept={path: "../elsewhere/x", "elsewhere/x": layer})
    (done,) = store.load(archive)
    assert store.tree(done.image) == {"0/hello": b"world\n"}


def test_a_layer_of_somebody_else_is_given_back_byte_for_byte(
    store: Store, other: Store, tar: Tar, layer: bytes
) -> None:
    """Not as we would pack it: Python's tarfile pads to ten kilobytes."""
    store.load(docker(tar, layer, tags=["a:1"]))
    (done,) = other.load(store.save("a:1"))
    assert done.image.diff_ids == (f"sha256:{sha(layer)}",)


def test_a_layer_that_we_would_write_the_same_is_not_kept_twice(
    store: Store, other: Store, tar: Tar, layer: bytes
) -> None:
    image = other.built("ours:1", {"a": "a", "d/b": "b" * 5000})
    archive = other.save("ours:1")
    (done,) = store.load(archive)
    assert [store.layers.get(chain_id).blob for chain_id in done.image.chain_ids] == [""]
    assert list(store.blobs.digests()) == []
    assert store.save("ours:1") == archive
    assert store.tree(done.image) == other.tree(image)
    (theirs,) = store.load(docker(tar, layer, tags=["a:1"]))
    assert store.layers.get(theirs.image.chain_ids[0]).blob == f"sha256:{sha(layer)}"


def test_compressed_layers_in_dockers_format(store: Store, tar: Tar, layer: bytes) -> None:
    path = f"{sha(layer)}/layer.tar"
    (done,) = store.load(docker(tar, layer, tags=["a:1"], kept={path: zipped(layer)}))
    assert store.layers.get(done.image.chain_ids[0]).blob == f"sha256:{sha(zipped(layer))}"
    assert store.tree(done.image) == {"0/hello": b"world\n"}


# ------------------------------------------------------------------ OCI layouts


def oci(tar: Tar, layer: bytes, annotations: dict[str, str], *, nested: bool = False) -> Files:
    about, blob = config(layer), zipped(layer)
    blobs = {sha(about): about, sha(blob): blob}

    def described(data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        blobs[sha(data)] = data
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{sha(data)}",
            "size": len(data),
            **more,
        }

    manifest = {
        "schemaVersion": 2,
        "config": described(about, "config.v1+json"),
        "layers": [described(blob, "layer.v1.tar+gzip")],
    }
    top = described(json.dumps(manifest).encode(), "manifest.v1+json")
    if nested:
        here = {"platform": {"os": "linux", "architecture": "amd64"}}
        there = {**top, "platform": {"os": "linux", "architecture": "s390x"}}
        index = {"schemaVersion": 2, "manifests": [there, {**top, **here}]}
        top = described(json.dumps(index).encode(), "index.v1+json")
    entry = {**top, "annotations": annotations}
    files: Files = {f"blobs/sha256/{name}": data for name, data in blobs.items()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return files


@pytest.mark.parametrize("nested", [False, True])
def test_an_oci_layout_keeps_its_blobs(store: Store, tar: Tar, layer: bytes, nested: bool) -> None:
    name = {"io.containerd.image.name": "docker.io/library/app:3"}
    (done,) = store.load(tar(oci(tar, layer, name, nested=nested)))
    assert done.reference == "app:3"
    record = store.layers.get(done.image.chain_ids[0])
    assert record.blob == f"sha256:{sha(zipped(layer))}"
    assert record.media_type.endswith("tar+gzip")


@pytest.mark.parametrize(
    ("shown", "name"),
    [("localhost/app:3", "localhost/app:3"), ("app:3", "app:3"), ("3", "")],
)
def test_a_layouts_own_name_counts_if_it_is_more_than_a_tag(
    store: Store, tar: Tar, layer: bytes, shown: str, name: str
) -> None:
    (done,) = store.load(tar(oci(tar, layer, {"org.opencontainers.image.ref.name": shown})))
    assert done.reference == name


@pytest.mark.parametrize("which", ["config", "manifest", "layer"])
def test_a_damaged_blob_is_refused(store: Store, tar: Tar, layer: bytes, which: str) -> None:
    files = oci(tar, layer, {})
    wanted = {"config": b"rootfs", "manifest": b"config.v1+json", "layer": b"\x1f\x8b"}[which]
    (name,) = (
        key for key, data in files.items()
        if key.startswith("blobs/") and isinstance(data, bytes) and wanted in data[:200]
    )  # fmt: skip
    data = files[name]
    assert isinstance(data, bytes)
    files[name] = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    with pytest.raises((InvalidInput, RemoteFailed)):
        store.load(tar(files))
    assert store.images.list(all=True) == ()
    assert os.listdir(store.data_root.layers) == os.listdir(store.data_root.scratch) == []


# ------------------------------------------------------------------ archives of attackers


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a/../../x"])
def test_row53_a_name_that_leads_out_of_the_archive(
    store: Store, tar: Tar, layer: bytes, name: str
) -> None:
    with pytest.raises(InvalidInput, match="leads out of it"):
        store.load(docker(tar, layer, tags=["a:1"], kept={name: b"owned"}))
    assert store.images.list(all=True) == ()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd"])
def test_row53_a_layer_that_is_a_link_out_of_the_archive(
    store: Store, tar: Tar, layer: bytes, target: str
) -> None:
    path = f"{sha(layer)}/layer.tar"
    with pytest.raises(InvalidInput, match="leads out of it"):
        store.load(docker(tar, layer, tags=["a:1"], kept={path: target}))


def test_row53_a_link_to_nothing_and_one_without_end(store: Store, tar: Tar, layer: bytes) -> None:
    path = f"{sha(layer)}/layer.tar"
    with pytest.raises(InvalidInput, match="has no file"):
        store.load(docker(tar, layer, tags=["a:1"], kept={path: "passwd"}))
    with pytest.raises(InvalidInput, match="link without end"):
        store.load(docker(tar, layer, tags=["a:1"], kept={path: "layer.tar"}))


def test_row53_nothing_in_a_config_is_a_path_outside(store: Store, tar: Tar) -> None:
    entry = [{"Config": "../../../etc/hostname", "Layers": []}]
    with pytest.raises(InvalidInput, match="has no file"):
        store.load(tar({"manifest.json": json.dumps(entry).encode()}))


def test_row32_a_layer_that_is_not_the_one_its_image_names(
    store: Store, tar: Tar, layer: bytes
) -> None:
    path = f"{sha(layer)}/layer.tar"
    with pytest.raises(RemoteFailed, match="not the one its image names"):
        store.load(docker(tar, layer, tags=["a:1"], kept={path: tar({"hello": b"evil\n"})}))
    assert os.listdir(store.data_root.layers) == os.listdir(store.data_root.blobs) == []


def test_a_config_with_other_layers_than_the_manifest(store: Store, tar: Tar, layer: bytes) -> None:
    about = config(layer, layer)
    files: Files = {
        "c.json": about,
        "l.tar": layer,
        "manifest.json": json.dumps([{"Config": "c.json", "Layers": ["l.tar"]}]).encode(),
    }
    with pytest.raises(InvalidInput, match="layers length mismatch: expected 2, got 1"):
        store.load(tar(files))


def test_row31_an_archive_larger_than_the_disk_is_not_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic_runtime.distribution.members._free", lambda _: 1 << 20)
    bomb = zipped(bytes(512) + b"x" * (8 << 20))
    with pytest.raises(InvalidInput, match=r"more than 1048576 bytes|damaged|checksum|no images"):
        store.load(bomb)


def test_a_document_of_no_reasonable_size(store: Store, tar: Tar) -> None:
    with pytest.raises(InvalidInput, match="more than 4194304 bytes"):
        store.load(tar({"manifest.json": b" " * (5 << 20)}))


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_what_is_no_archive(store: Store, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        store.load(content)


def test_a_tar_of_files_is_no_image(store: Store, tar: Tar) -> None:
    with pytest.raises(InvalidInput, match="holds no images") as raised:
        store.load(tar({"etc/passwd": b""}))
    assert "docker import" in raised.value.hint


def test_an_index_without_an_image_for_this_machine(store: Store, tar: Tar, layer: bytes) -> None:
    files = oci(tar, layer, {}, nested=True)
    for name, data in list(files.items()):
        if isinstance(data, bytes) and b'"amd64"' in data:
            del files[name]
            changed = data.replace(b'"amd64"', b'"s390x"')
            files[f"blobs/sha256/{sha(changed)}"] = changed
            index = files["index.json"]
            assert isinstance(index, bytes)
            files["index.json"] = index.replace(sha(data).encode(), sha(changed).encode())
    with pytest.raises(NotFound, match="no image for linux/amd64"):
        store.load(tar(files))


_WHAT = st.one_of(st.binary(max_size=60), st.sampled_from(["../x", "/x", "a", "manifest.json"]))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(["manifest.json", "index.json", "a", "b/c"]), _WHAT))
def test_random_archives_end_in_an_error_that_says_why(
    store: Store, tar: Tar, files: Files
) -> None:
    with pytest.raises(DockmagicError):
        store.load(tar(files))
    assert store.images.list(all=True) == ()


def test_a_truncated_archive(store: Store, other: Store) -> None:
    store.built("app:1", {"a": "1", "b": "x" * 100_000})
    archive = store.save("app:1")
    for size in range(1, len(archive), 20_000):
        with pytest.raises(DockmagicError):
            other.load(archive[:size])
    assert other.images.list(all=True) == ()


def test_security_15_a_load_that_fails_at_its_second_layer_leaves_nothing(
    store: Store, tar: Tar, layer: bytes
) -> None:
    second = tar({"second": b"2" * 5000})
    damaged: Files = {f"{sha(second)}/layer.tar": second[:3000]}
    archive = docker(tar, layer, second, tags=["a:1"], kept=damaged)
    with pytest.raises(InvalidInput):
        store.load(archive)
    assert os.listdir(store.data_root.layers) == os.listdir(store.data_root.scratch) == []
    assert list(store.blobs.digests()) == []
    assert store.database.rows("SELECT * FROM layers") == []
