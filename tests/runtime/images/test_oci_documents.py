"""OCI documents of strangers: strict where it matters, patient where Go programs are loose."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import oci_documents
from dockmagic_runtime.images.oci_documents import Index, Manifest
from dockmagic_runtime.model.container import HealthCheck

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
OCI_MANIFEST, DOCKER_MANIFEST = oci_documents.MANIFEST_TYPES
OCI_INDEX, DOCKER_INDEX = oci_documents.INDEX_TYPES


def config(**values: Any) -> bytes:
    base: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [DIGEST, OTHER]},
    }
    return json.dumps({**base, **values}).encode()


def image(data: bytes, sizes: tuple[int, ...] = (10, 20)) -> Any:
    decoded = oci_documents.decode_config(data)
    return oci_documents.to_image(oci_documents.image_id(data), decoded, tags=("a:b",), sizes=sizes)


def test_a_config_becomes_an_image() -> None:
    created = image(
        config(
            created="2024-01-02T03:04:05.678901234Z",
            config={
                "Env": ["A=b"],
                "Entrypoint": ["/e"],
                "Cmd": None,
                "WorkingDir": "/w",
                "User": "u",
                "Labels": {"k": "v"},
                "ExposedPorts": {"80/tcp": {}},
                "Volumes": {"/v": {}},
                "StopSignal": "SIGWINCH",
                "Shell": ["/bin/bash", "-c"],
                "Unknown": [1],
            },
            history=[
                {"created": "2024-01-01T00:00:00Z", "created_by": "one"},
                {"created_by": "env", "empty_layer": True},
                {"created_by": "two", "comment": "c"},
            ],
            unknown={"x": 1},
        )
    )
    assert created.created == pytest.approx(1704164645.678901)
    assert (created.size, created.architecture, created.os, created.tags) == (
        30,
        "amd64",
        "linux",
        ("a:b",),
    )
    run = created.config
    assert (run.env, run.entrypoint, run.cmd) == (("A=b",), ("/e",), None)
    assert (run.working_dir, run.user, run.labels) == ("/w", "u", {"k": "v"})
    assert (run.exposed_ports, run.volumes) == (("80/tcp",), ("/v",))
    assert (run.stop_signal, run.shell) == ("SIGWINCH", ("/bin/bash", "-c"))
    assert [(h.created_by, h.size, h.empty_layer) for h in created.history] == [
        ("one", 10, False),
        ("env", 0, True),
        ("two", 20, False),
    ]


def test_a_health_check_is_read_in_seconds() -> None:
    given = {
        "Test": ["CMD-SHELL", "curl -f localhost"],
        "Interval": 1_500_000_000,
        "Timeout": 30_000_000_000,
        "StartPeriod": 5_000_000_000,
        "StartInterval": 1_000_000,
        "Retries": 3,
    }
    assert image(config(config={"Healthcheck": given})).config.healthcheck == HealthCheck(
        test=("CMD-SHELL", "curl -f localhost"),
        interval=1.5,
        timeout=30,
        start_period=5,
        start_interval=0.001,
        retries=3,
    )


@pytest.mark.parametrize("given", [None, {}, {"Test": None}, {"Test": [], "Interval": 5}])
def test_a_health_check_without_a_test_is_none(given: dict[str, Any] | None) -> None:
    assert image(config(config={"Healthcheck": given})).config.healthcheck is None


def test_a_health_check_can_be_that_there_is_none() -> None:
    created = image(config(config={"Healthcheck": {"Test": ["NONE"]}}))
    assert created.config.healthcheck == HealthCheck(test=("NONE",))


def test_nulls_and_strings_of_old_configs_are_read() -> None:
    created = image(
        config(
            created=None,
            config={"Env": None, "Entrypoint": "/e", "Cmd": [], "Labels": None, "Volumes": None},
            history=None,
        )
    )
    assert created.created == 0
    assert (created.config.env, created.config.entrypoint, created.config.cmd) == ((), ("/e",), ())
    assert [h.size for h in created.history] == [10, 20]  # layers without a row still show
    assert image(config(created="0001-01-01T00:00:00Z", config=None)).created == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        config(rootfs={"type": "foreign", "diff_ids": []}),
        config(rootfs={"type": "layers", "diff_ids": ["../../etc"]}),
        config(rootfs={"type": "layers", "diff_ids": [f"{DIGEST}\n"]}),
        config(rootfs={"type": "layers", "diff_ids": "x"}),
        config(config={"Env": "A=b"}),
        config(config={"Env": [1]}),
        config(config={"Labels": {"a": 1}}),
        config(architecture=5),
        config(os="linux" + " " * (5 << 20)),
    ],
)
def test_malformed_configs_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="image config"):
        oci_documents.decode_config(data)


def test_malformed_times_are_refused() -> None:
    for created in ("yesterday", "2024-13-01T00:00:00Z"):
        with pytest.raises(InvalidInput, match="malformed time"):
            image(config(created=created))


@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (oci_documents.decode_config, oci_documents.decode_manifest):
        with pytest.raises(InvalidInput):
            decode(data)


# --- manifests --------------------------------------------------------------------------------


def descriptor(**values: Any) -> dict[str, Any]:
    return {"mediaType": "x", "digest": DIGEST, "size": 5, **values}


def manifest(**values: Any) -> bytes:
    base = {"schemaVersion": 2, "config": descriptor(), "layers": [descriptor(digest=OTHER)]}
    return json.dumps({**base, **values}).encode()


def index(**values: Any) -> bytes:
    platform = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    base = {"schemaVersion": 2, "manifests": [descriptor(platform=platform)]}
    return json.dumps({**base, **values}).encode()


@pytest.mark.parametrize("media_type", ["", OCI_MANIFEST, DOCKER_MANIFEST])
def test_manifests_are_read(media_type: str) -> None:
    read = oci_documents.decode_manifest(manifest(mediaType=media_type), media_type)
    assert isinstance(read, Manifest)
    assert (read.config.digest, read.layers[0].digest, read.layers[0].size) == (DIGEST, OTHER, 5)


def test_indexes_are_read_with_their_platforms() -> None:
    read = oci_documents.decode_manifest(index(mediaType=OCI_INDEX), OCI_INDEX)
    assert isinstance(read, Index)
    platform = read.manifests[0].platform
    assert platform
    assert (platform.architecture, platform.variant) == ("arm64", "v8")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (manifest(manifests=[]), ""),
        (index(layers=[]), ""),
        (b'{"schemaVersion": 2}', ""),
        (manifest(), OCI_INDEX),
        (index(), OCI_MANIFEST),
        (manifest(mediaType=OCI_INDEX), ""),
        (index(mediaType=DOCKER_MANIFEST), ""),
        (manifest(mediaType=OCI_MANIFEST), DOCKER_MANIFEST),
        (manifest(), "text/html"),
    ],
)
def test_row33_cve_2021_41190_a_manifest_is_one_thing_only(data: bytes, media_type: str) -> None:
    with pytest.raises(InvalidInput, match="manifest"):
        oci_documents.decode_manifest(data, media_type)


@pytest.mark.parametrize(
    "data",
    [
        manifest(config=descriptor(digest="sha256:../x")),
        manifest(layers=[descriptor(size=-1)]),
        manifest(layers=[descriptor(size="5")]),
        manifest(layers=None),
        manifest(config=None),
        index(manifests=[descriptor(digest="")]),
        b" " * (4 << 20) + manifest(),
    ],
)
def test_malformed_manifests_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="manifest"):
        oci_documents.decode_manifest(data)


# --- identities -------------------------------------------------------------------------------


def test_chain_ids_are_those_of_the_specification() -> None:
    # the OCI image spec, config.md, "Layer ChainID": ChainID(A|B) = Digest(ChainID(A) + " " + B)
    import hashlib

    two = "sha256:" + hashlib.sha256(f"{DIGEST} {OTHER}".encode()).hexdigest()
    three = "sha256:" + hashlib.sha256(f"{two} {DIGEST}".encode()).hexdigest()
    assert oci_documents.chain_ids([DIGEST, OTHER, DIGEST]) == (DIGEST, two, three)
    assert oci_documents.chain_id("", DIGEST) == DIGEST
    assert oci_documents.chain_ids([]) == ()


def test_an_image_that_umoci_made_and_skopeo_copied_has_the_ids_they_say(tmp_path: Path) -> None:
    umoci, skopeo = shutil.which("umoci"), shutil.which("skopeo")
    if umoci is None or skopeo is None:
        pytest.skip("optional: umoci or skopeo is not installed")
    layout = f"{tmp_path}/layout"
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/motd").write_text("hello")
    for command in (
        [umoci, "init", "--layout", layout],
        [umoci, "new", "--image", f"{layout}:x"],
        [umoci, "insert", "--image", f"{layout}:x", f"{tmp_path}/tree/etc", "/etc"],
        [umoci, "config", "--image", f"{layout}:x", "--config.cmd", "/bin/sh", "--author", "me"],
        [skopeo, "--insecure-policy", "copy", f"oci:{layout}:x", f"dir:{tmp_path}/copy"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    read = oci_documents.decode_manifest((tmp_path / "copy/manifest.json").read_bytes())
    assert isinstance(read, Manifest)
    data = (tmp_path / "copy" / read.config.digest[7:]).read_bytes()
    assert oci_documents.image_id(data) == read.config.digest
    created = image(data, (5,))
    assert created.config.cmd == ("/bin/sh",)
    assert len(created.diff_ids) == len(read.layers) == 1
    (tmp_path / "out").mkdir()
    from dockmagic_runtime.images.unpack import unpack

    with (tmp_path / "copy" / read.layers[0].digest[7:]).open("rb") as stream:
        unpack(stream, f"{tmp_path}/out", expected_diff_id=created.diff_ids[0])
    assert (tmp_path / "out/etc/motd").read_text() == "hello"
