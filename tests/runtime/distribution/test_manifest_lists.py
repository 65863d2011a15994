"""Manifest lists that are put together here: what Docker's client says and stores, so do we.

Each line is run by the client too, where there is one, with a configuration of its own and against
the same registry, Debian's docker-registry.
"""

from __future__ import annotations

import filecmp
import io
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dockmagic import commands
from dockmagic.commands.output.result import Result
from dockmagic_runtime.distribution import remote
from dockmagic_runtime.engine.manifests import LocalManifests
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.model.progress import PullStatus
from dockmagic_runtime.registry.client import clients_for
from dockmagic_runtime.registry.manifest import (
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from dockmagic_runtime.registry.upload import RegistryWriter
from dockmagic_runtime.testing.registry import FakeRegistry, digest_of
from tests.runtime.registry.conftest import RealRegistry, serve

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def made_here() -> LocalManifests:
    """The facet needs no component: it works on the user's files and on registries."""
    components: Any = None
    return LocalManifests(components)


class Lines:
    """Runs lines of `docker manifest`, as the command line does."""

    def __init__(self) -> None:
        self._engine = SimpleNamespace(
            manifests=made_here(),
            images=SimpleNamespace(manifest=remote.manifest, manifests=remote.manifests),
        )

    def run(self, line: str) -> tuple[int, str, str]:
        """The exit code, and what stdout and stderr have."""
        out: list[str] = []
        try:
            outcome = commands.execute(self._engine, commands.parse(shlex.split(line)))
            events = [outcome] if isinstance(outcome, Result) else outcome
            for event in events:
                if isinstance(event, PullStatus):
                    out.append(event.status)
                elif isinstance(event, Result):
                    out += [event.text()] if event.text() else []
                    err = "\n".join(error.message for error in event.errors)
                    return event.exit_code, "\n".join(out), err
        except DockmagicError as error:
            return 1, "\n".join(out), error.message
        raise AssertionError("no result")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lines:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "ours"))
    return Lines()


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "ours" / "manifests"


@pytest.fixture
def fake(lines: Lines) -> Iterator[FakeRegistry]:
    with FakeRegistry() as created:
        created.add_image("amd", "1", (b"amd" * 100,))
        created.add_image("arm", "1", (b"arm" * 100,), platform="linux/arm64")
        yield created


# --------------------------------------------------------------------------- beside the client


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with serve(tmp_path_factory.mktemp("registry")) as registry:
        for name, kinds in {
            "oci": (OCI_MANIFEST, CONFIG, LAYER),
            "docker": (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER),
        }.items():
            _put_image(registry.host, name, *kinds)
        yield registry


def _put_image(host: str, name: str, kind: str, config_kind: str, layer_kind: str) -> None:
    config = json.dumps({"os": "linux", "architecture": "amd64", "name": name}).encode()
    blobs = {config_kind: config, layer_kind: name.encode() * 100}
    descriptors = [
        Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))
        for media_type, data in blobs.items()
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": _plain(descriptors[0]),
        "layers": [_plain(descriptors[1])],
    }
    manifest = Manifest.parse(kind, json.dumps(document, indent=3).encode())
    (client,) = clients_for(host)
    with client:
        writer = RegistryWriter(client)
        for descriptor, data in zip(descriptors, blobs.values(), strict=True):
            writer.upload_blob(name, descriptor, io.BytesIO(data))
        writer.put_manifest(name, "1", manifest)


def _plain(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type,
        "size": descriptor.size,
        "digest": descriptor.digest,
    }


def client_run(line: str, config: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        ["docker", *shlex.split(line)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(config), "DOCKER_CONFIG": str(config)},
    )
    return done.returncode, done.stdout.rstrip("\n"), done.stderr.rstrip("\n")


LINES = """
manifest create --insecure {r}/list:1 {r}/oci:1 {r}/docker:1
manifest create --insecure {r}/list:1 {r}/oci:1
manifest create --insecure --amend {r}/list:1 {r}/oci:1
manifest create --insecure {r}/other {r}/nosuch:1
manifest create --insecure 'BAD NAME' {r}/oci:1
manifest create --insecure {r}/other 'BAD NAME'
manifest inspect {r}/list:1
manifest inspect -v {r}/list:1
manifest inspect {r}/list:1 {r}/docker:1
manifest inspect -v {r}/list:1 {r}/docker:1
manifest inspect {r}/list:1 {r}/nosuch
manifest annotate {r}/list:1 {r}/oci:1 --arch nonsense
manifest annotate {r}/list:1 {r}/oci:1 --os plan9 --arch arm64
manifest annotate {r}/list:1 {r}/nosuch:1 --arch arm
manifest annotate 'BAD NAME' {r}/oci:1 --arch arm
manifest annotate {r}/list:1 'BAD NAME' --arch arm
manifest annotate {r}/list:1 {r}/oci:1 --arch arm --variant v7 --os-features a,b --os-features b
manifest annotate {r}/list:1 {r}/docker:1 --os windows --os-version 10.0.1 --os-features= --os=
manifest annotate {r}/list:1 {r}/docker:1
manifest inspect {r}/list:1
manifest push --insecure {r}/list:1
manifest push --insecure --purge {r}/list:1
manifest push --insecure {r}/list:1
manifest push 'BAD NAME'
manifest inspect --insecure {r}/list:1
manifest inspect --insecure -v {r}/list:1
manifest inspect --insecure {r}/oci:1
manifest inspect --insecure -v {r}/oci:1
manifest create --insecure {r}/again {r}/list:1
manifest create --insecure {r}/again {r}/docker:1 {r}/oci:1
manifest create --insecure localhost:9/elsewhere {r}/oci:1
manifest push --insecure localhost:9/elsewhere
manifest inspect {r}/again
manifest push --insecure {r}/again
manifest rm {r}/list:1 {r}/again 'BAD NAME' localhost:9/elsewhere
manifest rm {r}/again
"""


def test_command_line_manifest_lists_are_those_of_dockers_client(
    real: RealRegistry, lines: Lines, tmp_path: Path
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("optional: Docker's client is not installed")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    for line in LINES.format(r=real.host).strip().splitlines():
        assert lines.run(line) == client_run(line, theirs), line
        assert _files(ours) == _files(theirs), line


def _files(config: Path) -> dict[str, Any]:
    """What the lists consist of; an empty folder of lists is as good as none."""
    return {
        str(path.relative_to(config)): json.loads(path.read_bytes())
        for path in sorted((config / "manifests").glob("*/*"))
    }


def test_a_list_that_dockers_client_began_is_pushed_to_the_same_digest(
    real: RealRegistry, lines: Lines, stored: Path, tmp_path: Path
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("optional: Docker's client is not installed")
    begin = f"manifest create --insecure {real.host}/begun {real.host}/oci:1 {real.host}/docker:1"
    code, _, _ = client_run(begin, stored.parent)
    assert code == 0
    shutil.copytree(stored.parent, tmp_path / "copy")
    push = f"manifest push --insecure {real.host}/begun"
    assert lines.run(push) == client_run(push, tmp_path / "copy")
    assert not filecmp.dircmp(stored, tmp_path / "copy" / "manifests").diff_files


# --------------------------------------------------------------------------- ours alone


def test_what_is_missing_leaves_no_list(fake: FakeRegistry, lines: Lines, stored: Path) -> None:
    """Docker's client keeps those before it, and then refuses the next try."""
    host = fake.host
    code, _, err = lines.run(f"manifest create {host}/list {host}/amd:1 {host}/gone:1")
    assert (code, err) == (1, f"no such manifest: {host}/gone:1")
    assert not stored.exists()


def test_a_pushed_list_has_its_images_and_their_blobs(fake: FakeRegistry, lines: Lines) -> None:
    host = fake.host
    lines.run(f"manifest create {host}/list:1 {host}/amd:1 {host}/arm:1")
    code, out, err = lines.run(f"manifest push {host}/list:1")
    assert (code, err) == (0, "")
    *pushed, digest = out.splitlines()
    assert [line.split(" with ")[0] for line in pushed] == [
        f"Pushed ref {host}/list@{digest_of(fake.manifests[name]['1'][1])}"
        for name in ("amd", "arm")
    ]
    kind, data = fake.manifests["list"]["1"]
    assert digest_of(data) == digest
    assert kind == "application/vnd.oci.image.index.v1+json"
    platforms = [entry["platform"]["architecture"] for entry in json.loads(data)["manifests"]]
    assert platforms == ["amd64", "arm64"]
    for name in ("amd", "arm"):
        assert fake.blobs[name].keys() <= fake.blobs["list"].keys()


def test_an_image_of_the_lists_own_repository_is_not_pushed_again(
    fake: FakeRegistry, lines: Lines
) -> None:
    lines.run(f"manifest create {fake.host}/amd:all {fake.host}/amd:1")
    before = len(fake.seen)
    _, out, _ = lines.run(f"manifest push {fake.host}/amd:all")
    assert out.startswith("sha256:")
    asked = [f"{request.method} {request.path}" for request in fake.seen[before:]]
    assert asked == ["GET /v2/", "PUT /v2/amd/manifests/all"]


def test_a_list_of_images_without_a_platform_is_not_pushed(
    fake: FakeRegistry, lines: Lines, stored: Path
) -> None:
    lines.run(f"manifest create {fake.host}/list {fake.host}/amd:1")
    (path,) = stored.glob("*/*")
    document = json.loads(path.read_bytes())
    del document["Descriptor"]["platform"]
    path.write_text(json.dumps(document))
    _, _, err = lines.run(f"manifest push {fake.host}/list")
    assert err == (
        f"manifest {fake.host}/amd:1 must have an OS and Architecture to be pushed to a registry"
    )


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "{}", '{"Ref": 1}', '{"Ref": "a", "Descriptor": {"mediaType": "x", "digest": "y"}}'],
)
def test_a_damaged_list_is_named_and_can_be_forgotten(
    fake: FakeRegistry, lines: Lines, stored: Path, damage: str
) -> None:
    lines.run(f"manifest create {fake.host}/list {fake.host}/amd:1")
    (path,) = stored.glob("*/*")
    path.write_text(damage)
    for line in (f"inspect {fake.host}/list", f"push {fake.host}/list"):
        code, _, err = lines.run(f"manifest {line}")
        assert code == 1
        assert err.startswith(f"invalid manifest file {path}: ")
    assert lines.run(f"manifest rm {fake.host}/list") == (0, "", "")
    assert list(stored.iterdir()) == []


def test_security_other_bytes_than_the_digest_promises_are_not_pushed(
    fake: FakeRegistry, lines: Lines, stored: Path
) -> None:
    lines.run(f"manifest create {fake.host}/list {fake.host}/amd:1 {fake.host}/arm:1")
    amd, arm = sorted(stored.glob("*/*"))
    document = json.loads(amd.read_bytes())
    document["Raw"] = json.loads(arm.read_bytes())["Raw"]
    amd.write_text(json.dumps(document))
    _, _, err = lines.run(f"manifest push {fake.host}/list")
    assert "digest mismatch" in err
    assert "list" not in fake.manifests


def test_a_name_that_is_too_long_for_a_file_is_refused(lines: Lines) -> None:
    name = f"localhost:9/{'a' * 240}"
    with pytest.raises(InvalidInput, match="file name too long"):
        made_here().list(f"{name}@sha256:{'0' * 64}")
    with pytest.raises(NotFound):
        made_here().list("localhost:9/short")
