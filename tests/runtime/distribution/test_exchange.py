"""Archives between us and Docker, Podman and skopeo, both ways: ids and contents stay."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dockmagic_runtime.model.image import Image

from .conftest import Store

pytestmark = [pytest.mark.root, pytest.mark.slow]
Program = Callable[..., str]


def program(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"optional: {command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture
def image(store: Store) -> Image:
    return store.built(
        "example.org/app:1",
        {"etc/a": "a", "bin/tool": "#!/bin/sh\n"},
        {"etc/b": "b" * 100_000, "etc/ä": "é"},
        Env=["A=b"],
        Labels={"x": "y"},
    )


@pytest.fixture
def archive(store: Store, image: Image, tmp_path: Path) -> str:
    path = tmp_path / "ours.tar"
    path.write_bytes(store.save("example.org/app:1"))
    return str(path)


def same(ours: Store, image: Image, theirs: Store, archive: str) -> None:
    """What another program has written of our image is that image."""
    with Path(archive).open("rb") as file:
        (done,) = theirs.load(file)
    assert (done.image.id, done.image.diff_ids) == (image.id, image.diff_ids)
    assert theirs.tree(done.image) == ours.tree(image)


def same_layers(ours: Store, image: Image, theirs: Store, archive: str) -> None:
    """Converted to OCI, an image has another config and so another id."""
    with Path(archive).open("rb") as file:
        (done,) = theirs.load(file)
    assert done.image.diff_ids == image.diff_ids
    assert theirs.tree(done.image) == ours.tree(image)


# ------------------------------------------------------------------ Docker


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Program]:
    if shutil.which("dockerd") is None:
        pytest.skip("optional: dockerd is not installed")
    with daemon(tmp_path) as socket:
        yield lambda *words: program("docker", "-H", socket, *words)


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """A dockerd of our own, without network; its socket."""
    socket = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--data-root", f"{folder}/docker", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/docker.pid", "-H", socket, "--storage-driver", "vfs"]
    command += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    with (folder / "docker.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(300):
                if (folder / "docker.sock").exists() or process.poll() is not None:
                    break
                time.sleep(0.1)
            assert process.poll() is None, (folder / "docker.log").read_text()
            yield socket
        finally:
            process.terminate()
            process.wait()


def test_docker_loads_what_we_save(docker: Program, image: Image, archive: str) -> None:
    assert docker("load", "-q", "-i", archive) == "Loaded image: example.org/app:1\n"
    (result,) = json.loads(docker("image", "inspect", "example.org/app:1"))
    assert result["Id"] == image.id
    assert tuple(result["RootFS"]["Layers"]) == image.diff_ids


def test_we_load_what_docker_saves(
    docker: Program, store: Store, other: Store, image: Image, archive: str, tmp_path: Path
) -> None:
    docker("load", "-q", "-i", archive)
    docker("save", "-o", str(tmp_path / "theirs.tar"), "example.org/app:1")
    same(store, image, other, str(tmp_path / "theirs.tar"))


# ------------------------------------------------------------------ Podman and skopeo


@pytest.fixture
def podman() -> Iterator[Program]:
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:  # it wants short paths
        places = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
        yield lambda *words: program("podman", *places, "--storage-driver", "vfs", *words)


def test_podman_loads_what_we_save(podman: Program, image: Image, archive: str) -> None:
    assert "Loaded image: example.org/app:1" in podman("load", "-q", "-i", archive)
    (result,) = json.loads(podman("image", "inspect", "example.org/app:1"))
    assert f"sha256:{result['Id']}" == image.id
    assert tuple(result["RootFS"]["Layers"]) == image.diff_ids


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_we_load_what_podman_saves(
    podman: Program, store: Store, other: Store, image: Image, archive: str, form: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    podman("load", "-q", "-i", archive)
    path = str(tmp_path / "theirs.tar")
    podman("save", "-q", "--format", form, "-o", path, "example.org/app:1")
    check = same if form == "docker-archive" else same_layers
    check(store, image, other, path)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_we_load_what_skopeo_copies(
    store: Store, other: Store, image: Image, archive: str, form: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "theirs.tar")
    copy = ["skopeo", "copy", "-q", "--insecure-policy"]
    program(*copy, f"docker-archive:{archive}", f"{form}:{path}:example.org/app:1")
    check = same if form == "docker-archive" else same_layers
    check(store, image, other, path)


def test_skopeo_reads_our_oci_layout(image: Image, archive: str, tmp_path: Path) -> None:
    program("tar", "-C", str(tmp_path), "-xf", archive)
    result = json.loads(program("skopeo", "inspect", "--raw", f"oci:{tmp_path}:1"))
    assert result["config"]["digest"] == image.id
    assert tuple(item["digest"] for item in result["layers"]) == image.diff_ids
