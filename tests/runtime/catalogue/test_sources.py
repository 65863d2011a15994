from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.catalogue.sources import (
    PackageSource,
    distribution_sources,
    is_own_suite,
    main_suite,
    parse_deb822,
    parse_one_line,
    without_credentials,
)

NOBODY: frozenset[tuple[str, str]] = frozenset()


def test_a_plain_line_is_read() -> None:
    (source,) = parse_one_line("deb http://mirror/debian bookworm main contrib # ours\n")
    assert source == PackageSource(
        uris=("http://mirror/debian",), suites=("bookworm",), components=("main", "contrib")
    )


def test_options_of_a_line_become_deb822_fields() -> None:
    (source,) = parse_one_line(
        "deb [ arch=amd64,arm64 signed-by=/k.gpg trusted=yes ] http://m/d bookworm main"
    )
    assert source.options == {
        "Architectures": "amd64 arm64",
        "Signed-By": "/k.gpg",
        "Trusted": "yes",
    }


@pytest.mark.parametrize(
    "line",
    [
        "# deb http://mirror/debian bookworm main",
        "deb-src http://mirror/debian bookworm main",
        "deb",
        "deb http://mirror/debian",
        "debian is great",
        "",
    ],
)
def test_lines_that_bring_no_binary_packages_are_passed_over(line: str) -> None:
    assert list(parse_one_line(line)) == []


def test_stanzas_are_read_with_comments_and_continuations() -> None:
    text = (
        "# the first\nTypes: deb deb-src\nURIs: http://a/debian\n  http://b/debian\n"
        "Suites: bookworm bookworm-updates\n#Components: nothing\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xyz\n\n\n"
        "Types: deb\nEnabled: no\nURIs: http://c\nSuites: x\n\n"
        "types: deb\nuris: http://d/debian\nsuites: trixie\ncomponents: main\n"
    )
    first, second = parse_deb822(text)
    assert first.uris == ("http://a/debian", "http://b/debian")
    assert first.suites == ("bookworm", "bookworm-updates")
    assert first.components == ("main",)
    assert first.options == {"Signed-By": "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xyz"}
    assert second.uris == ("http://d/debian",)


def test_what_is_written_is_read_back_the_same() -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xyz"
    source = PackageSource(
        uris=("http://m/debian",), suites=("bookworm",), components=("main",), options={"By": key}
    )
    assert tuple(parse_deb822(source.deb822())) == (source,)


_WORD = st.text("abcdefghij:/-.", min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(_WORD, min_size=1), st.lists(_WORD, min_size=1), st.lists(_WORD))
def test_any_source_survives_writing_and_reading(
    uris: list[str], suites: list[str], components: list[str]
) -> None:
    source = PackageSource(uris=tuple(uris), suites=tuple(suites), components=tuple(components))
    assert tuple(parse_deb822(source.deb822())) == (source,)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_a_parser_fail(text: str) -> None:
    for source in (*parse_one_line(text), *parse_deb822(text)):
        assert source.uris
        assert source.suites


def test_only_the_distributions_own_sources_are_picked() -> None:
    lines = (
        "deb http://mirror/debian bookworm main\n"
        "deb http://mirror/debian-security bookworm-security main contrib\n"
        "deb https://elsewhere/linux/debian bookworm stable\n"  # a vendor's own component
        "deb https://elsewhere/apt tool-bookworm main\n"
        "deb https://elsewhere/vpn bookworm main\n"
        "deb cdrom:[Debian]/ bookworm main\n"
        "deb file:/srv/mirror bookworm main\n"
    )
    foreign = frozenset({("https://elsewhere/vpn", "bookworm")})
    picked = distribution_sources(parse_one_line(lines), "bookworm", foreign)
    assert [source.uris[0] for source in picked] == [
        "http://mirror/debian",
        "http://mirror/debian-security",
    ]


def test_a_company_mirror_is_taken_for_the_distribution() -> None:
    lines = "deb [signed-by=/etc/company.gpg] https://company.example/all jammy main universe"
    (picked,) = distribution_sources(parse_one_line(lines), "jammy", NOBODY)
    assert picked.keyrings == ("/etc/company.gpg",)


def test_foreign_suites_are_cut_out_of_a_mixed_stanza() -> None:
    stanza = "Types: deb\nURIs: http://m/debian\nSuites: bookworm pgdg\nComponents: main\n"
    (picked,) = distribution_sources(parse_deb822(stanza), "bookworm", NOBODY)
    assert picked.suites == ("bookworm",)


@pytest.mark.parametrize(
    ("suite", "own"),
    [
        ("bookworm", True),
        ("bookworm-updates", True),
        ("bookworm-security", True),
        ("bookworm/updates", True),
        ("stable", True),
        ("sid", True),
        ("bookworm-pgdg", False),
        ("nodistro", False),
        ("trixie", False),
        ("-updates", False),
    ],
)
def test_suites_are_told_apart(suite: str, own: bool) -> None:
    assert is_own_suite(suite, "bookworm") is own
    assert not is_own_suite("-updates", "")


def test_the_root_begins_from_the_suite_that_is_no_pocket() -> None:
    lines = "deb http://m/s bookworm-security main\ndeb http://m/d bookworm main\n"
    assert main_suite(parse_one_line(lines), "bookworm") == "bookworm"
    assert main_suite((), "bookworm") == ""


def test_passwords_stay_out_of_what_an_image_keeps() -> None:
    (source,) = parse_one_line("deb https://user:secret@company.example/debian bookworm main")
    assert "secret" in source.deb822()
    assert "secret" not in source.deb822(credentials=False)
    assert without_credentials("http://a/b@c") == "http://a/b@c"
