"""References by Docker's rules (semantics, point 43)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.reference import (
    ImageReference,
    digest_hex,
    is_digest,
    require_digest,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("httpd", "docker.io/library/httpd:latest", "httpd:latest"),
        ("httpd:alpine", "docker.io/library/httpd:alpine", "httpd:alpine"),
        ("library/httpd", "docker.io/library/httpd:latest", "httpd:latest"),
        ("index.docker.io/httpd", "docker.io/library/httpd:latest", "httpd:latest"),
        ("docker.io/user/app:1", "docker.io/user/app:1", "user/app:1"),
        (
            "jupyter/datascience-notebook",
            "docker.io/jupyter/datascience-notebook:latest",
            "jupyter/datascience-notebook:latest",
        ),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2", "localhost:5000/app:2"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("Host/app", "Host/app:latest", "Host/app:latest"),
        ("a.b/c/d/e", "a.b/c/d/e:latest", "a.b/c/d/e:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        (f"httpd@{DIGEST}", f"docker.io/library/httpd@{DIGEST}", f"httpd@{DIGEST}"),
        (f"httpd:1@{DIGEST}", f"docker.io/library/httpd:1@{DIGEST}", f"httpd:1@{DIGEST}"),
        ("a__b.c--d_e", "docker.io/library/a__b.c--d_e:latest", "a__b.c--d_e:latest"),
        ("app:" + "t" * 128, "docker.io/library/app:" + "t" * 128, "app:" + "t" * 128),
    ],
)
def test_names_are_completed_and_shown_as_docker_does(
    text: str, canonical: str, familiar: str
) -> None:
    reference = ImageReference.parse(text)
    assert (reference.canonical, reference.familiar, str(reference)) == (
        canonical,
        familiar,
        familiar,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("user/Foo:1", "invalid reference format: repository name (user/Foo) must be lowercase"),
        (
            "a" * 64,
            f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings",
        ),
        ("a.b/" + "a" * 256, "repository name must not be more than 255 characters"),
        (f"httpd@{DIGEST}0", "invalid checksum digest length"),
        *[
            (text, "invalid reference format")
            for text in (
                "",
                "/",
                "/httpd",
                "httpd/",
                "a//b",
                "a.b/",
                "httpd:",
                "httpd:a b",
                "httpd:-x",
                "httpd:latest\n",
                "httpd\n",
                "app:" + "t" * 129,
                "-a",
                "a-",
                "a___b",
                "a..b",
                "../etc/passwd",
                "a.b/../c",
                "http://a.b/c",
                "a b",
                "ärger",
                "httpd@",
                "httpd@md5:" + "0" * 32,
                "httpd@sha256:../../etc",
                "-a.b/c",
                "a.b:x/c",
            )
        ],
    ],
)
def test_malformed_references_are_refused_in_dockers_words(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ImageReference.parse(text)
    assert caught.value.message == message


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except InvalidInput:
        return
    assert reference.repository == reference.repository.lower()
    assert ".." not in reference.repository.split("/")


PARTS = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,3})?", fullmatch=True)


@given(
    st.sampled_from(["", "localhost/", "a.b/", "h:1/", "docker.io/"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", ":1.0", ":_x"]),
    st.sampled_from(["", f"@{DIGEST}"]),
)
def test_both_spellings_name_the_same(
    registry: str, path: list[str], tag: str, digest: str
) -> None:
    reference = ImageReference.parse(registry + "/".join(path) + tag + digest)
    assert ImageReference.parse(reference.canonical) == reference
    if "." not in path[0]:  # Docker itself shows docker.io/a.b/c as a.b/c
        assert ImageReference.parse(reference.familiar) == reference


def test_row32_only_canonical_sha256_becomes_a_file_name() -> None:
    assert is_digest(DIGEST)
    assert require_digest(DIGEST) == DIGEST
    assert digest_hex(DIGEST) == DIGEST.removeprefix("sha256:")
    for bad in (
        DIGEST.upper(),
        DIGEST + "\n",
        DIGEST[:-1],
        DIGEST + "0",
        "sha256:" + "../" * 21 + "x",
        "sha512:" + "0" * 64,
        DIGEST.removeprefix("sha256:"),
        "",
    ):
        assert not is_digest(bad)
        with pytest.raises(InvalidInput, match="invalid digest"):
            digest_hex(bad)
