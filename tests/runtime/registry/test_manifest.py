from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import (
    DockmagicError,
    InvalidInput,
    NotFound,
    RemoteFailed,
    Unsupported,
)
from dockmagic_runtime.registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    Platform,
    resolve_platform,
)

DIGEST = "sha256:" + "0" * 64


def _descriptor(**more: Any) -> dict[str, Any]:
    return {"mediaType": "application/x", "digest": DIGEST, "size": 3, **more}


def _image(**more: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(),
        "layers": [_descriptor()],
        **more,
    }


def _index(*platforms: str, media_type: str = OCI_INDEX) -> dict[str, Any]:
    keys = ("os", "architecture", "variant")
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [
            _descriptor(
                mediaType=OCI_MANIFEST,
                size=number,
                platform=dict(zip(keys, platform.split("/"), strict=False)),
            )
            for number, platform in enumerate(platforms)
        ],
    }


def _parse(document: Any, media_type: str = OCI_MANIFEST) -> Manifest:
    return Manifest.parse(media_type, json.dumps(document).encode())


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_is_read_from_both_formats(media_type: str) -> None:
    manifest = _parse(_image(mediaType=media_type), media_type)
    assert manifest.config is not None
    assert (manifest.config.digest, manifest.config.size) == (DIGEST, 3)
    assert len(manifest.layers) == 1
    assert not manifest.is_index


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_is_read_from_both_formats(media_type: str) -> None:
    manifest = _parse(_index("linux/amd64", media_type=media_type), media_type)
    assert manifest.is_index
    assert manifest.manifests is not None
    assert manifest.manifests[0].platform == Platform(os="linux", architecture="amd64")


def test_oci_may_leave_its_type_to_the_header_and_docker_may_not() -> None:
    document = _image()
    del document["mediaType"]
    assert _parse(document).media_type == OCI_MANIFEST
    with pytest.raises(RemoteFailed):
        _parse(document, DOCKER_MANIFEST)


def test_row_33_the_header_and_the_body_must_name_one_type() -> None:
    with pytest.raises(RemoteFailed, match="calls itself"):
        _parse(_image(), DOCKER_MANIFEST)
    with pytest.raises(RemoteFailed, match="calls itself"):
        _parse(_image(), OCI_INDEX)


def test_row_33_what_is_an_image_and_an_index_at_once_is_refused() -> None:
    both = {**_index("linux/amd64"), "layers": [], "mediaType": OCI_INDEX}
    with pytest.raises(RemoteFailed, match="ambiguous"):
        _parse(both, OCI_INDEX)
    with pytest.raises(RemoteFailed, match="ambiguous"):
        _parse({**_image(), "manifests": []})


def test_row_33_an_untyped_body_cannot_pass_for_the_other_kind() -> None:
    document = _index("linux/amd64")
    del document["mediaType"]
    with pytest.raises(RemoteFailed, match="is not one"):
        _parse(document, OCI_MANIFEST)


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"fsLayers": []},
        {"config": None},
        {"layers": None},
        {"layers": "x"},
        {"layers": [_descriptor(digest="sha256:" + "0" * 63)]},
        {"layers": [_descriptor(digest="../../../etc/passwd")]},
        {"layers": [_descriptor(digest="sha256:" + "A" * 64)]},
        {"layers": [_descriptor(size=-1)]},
        {"layers": [_descriptor(size="3")]},
        {"layers": [_descriptor()] * 1001},
    ],
)
def test_a_malformed_manifest_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteFailed):
        _parse(_image(**change))


def test_schema_1_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="schema 1"):
        Manifest.parse("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests"]),
        json_values | st.just(2) | st.just(_descriptor()) | st.just([_descriptor()]),
    )
)
def test_no_document_does_worse_than_our_errors(document: dict[str, Any]) -> None:
    for media_type in (OCI_MANIFEST, OCI_INDEX):
        try:
            manifest = _parse(document, media_type)
        except DockmagicError:
            continue
        assert (manifest.config is None) == manifest.is_index


@pytest.mark.parametrize(
    ("platform", "offered", "chosen"),
    [
        ("linux/amd64", ("linux/arm64", "linux/amd64"), 1),
        ("linux/amd64", ("windows/amd64", "linux/amd64"), 1),
        ("linux/amd64", ("linux/amd64", "linux/amd64"), 0),
        ("linux/amd64", ("linux/amd64/v3", "linux/amd64"), 1),
        ("linux/arm64/v8", ("linux/arm64", "linux/arm64/v8"), 0),
        ("linux/arm64", ("linux/arm64/v8",), 0),
        ("linux/arm/v7", ("linux/arm/v5", "linux/arm/v6", "linux/arm/v8"), 1),
        ("linux/arm/v7", ("linux/arm/v6", "linux/arm/v7"), 1),
        ("linux/aarch64", ("linux/arm64",), 0),
        ("linux/amd64", ("unknown/unknown", "linux/amd64"), 1),
    ],
)
def test_the_best_fitting_platform_is_chosen(
    platform: str, offered: tuple[str, ...], chosen: int
) -> None:
    index = _parse(_index(*offered), OCI_INDEX)
    assert resolve_platform(index, Platform.parse(platform)).size == chosen


def test_no_fitting_platform_is_told_in_dockers_words_with_what_there_is() -> None:
    index = _parse(_index("linux/arm64/v8", "windows/amd64", "unknown/unknown"), OCI_INDEX)
    with pytest.raises(NotFound) as caught:
        resolve_platform(index, Platform.parse("linux/amd64"))
    assert caught.value.message == (
        "no matching manifest for linux/amd64 in the manifest list entries"
    )
    assert caught.value.hint == "there are linux/arm64/v8, windows/amd64"


@pytest.mark.parametrize("text", ["linux", "", "linux/", "a/b/c/d"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid platform"):
        Platform.parse(text)
