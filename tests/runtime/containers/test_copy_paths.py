"""Docker's rules for where a copy goes, without a file being touched."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.copy import paths
from dockmagic_runtime.containers.copy.paths import CopySource, Placement, Target, place
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.linux.root import Root

FILE = CopySource(name="f", is_directory=False)
DIRECTORY = CopySource(name="d", is_directory=True)
CONTENTS = CopySource(name=".", is_directory=True)


def there(path: str, *, directory: bool) -> Target:
    return Target(path=path, exists=True, is_directory=directory)


# the table of Docker's documentation of `docker cp`
@pytest.mark.parametrize(
    ("origin", "target", "directory", "member"),
    [
        (FILE, Target(path="/a/new"), "/a", "new"),  # a file is made
        (FILE, there("/a/old", directory=False), "/a", "old"),  # and overwritten
        (FILE, there("/a", directory=True), "/a", "f"),
        (FILE, there("/a/", directory=True), "/a/", "f"),
        (FILE, there("/a/.", directory=True), "/a/.", "f"),
        (DIRECTORY, Target(path="/a/new"), "/a", "new"),  # made with the contents of the source
        (DIRECTORY, Target(path="/a/new/"), "/a", "new"),
        (DIRECTORY, there("/a", directory=True), "/a", "d"),
        (CONTENTS, Target(path="/a/new"), "/a", "new"),
        (CONTENTS, there("/a", directory=True), "/a", "."),
        (FILE, Target(path="/new"), "/", "new"),
        (FILE, Target(path="new"), ".", "new"),
        (FILE, there("/", directory=True), "/", "f"),
    ],
)
def test_placement(origin: CopySource, target: Target, directory: str, member: str) -> None:
    assert place(origin, target) == Placement(directory=directory, member=member)


@pytest.mark.parametrize("path", ["/a/new/", "/a/new/."])
def test_a_file_does_not_become_a_directory(path: str) -> None:
    with pytest.raises(NotFound, match="no such directory"):
        place(FILE, Target(path=path))


@pytest.mark.parametrize("origin", [DIRECTORY, CONTENTS])
def test_a_directory_does_not_replace_a_file(origin: CopySource) -> None:
    with pytest.raises(Conflict, match="cannot copy directory"):
        place(origin, there("/a/old", directory=False))


@pytest.mark.parametrize(
    ("text", "container", "path"),
    [
        ("web:/etc", "web", "/etc"),
        ("web:etc", "web", "etc"),
        ("web:/a:b", "web", "/a:b"),
        ("web:", "web", ""),
        ("/a:b", "", "/a:b"),
        ("./a:b", "", "./a:b"),
        ("../a:b", "", "../a:b"),
        ("file", "", "file"),
        ("-", "", "-"),
    ],
)
def test_words_that_name_a_container_and_words_that_do_not(
    text: str, container: str, path: str
) -> None:
    assert paths.split_argument(text) == (container, path)


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/a/../b", "/b"),
        ("//a//b/", "/a/b/"),
        ("/a/./b/.", "/a/b/."),
        ("/", "/"),
        ("/.", "/."),
        ("/..", "/"),
        ("a/..", "."),
        (".", "."),
        ("", "."),
    ],
)
def test_cleaning_keeps_the_ending(path: str, cleaned: str) -> None:
    assert paths.clean(path) == cleaned


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a/b", ("/a", "b")),
        ("/a/b/", ("/a", "b")),
        ("/a/b/.", ("/a/b", ".")),
        ("/a", ("/", "a")),
        ("/", ("/", "/")),
        ("a", (".", "a")),
    ],
)
def test_splitting(path: str, parts: tuple[str, str]) -> None:
    assert paths.split(path) == parts


def test_a_path_of_a_container_is_not_empty() -> None:
    with pytest.raises(InvalidInput, match="path cannot be empty"):
        paths.inside("")
    assert paths.inside("etc/") == "/etc/"
    assert paths.inside("../../etc") == "/etc"


def test_links_in_circles_are_refused() -> None:
    links = {"/a": "b", "/b": "/a"}
    with pytest.raises(InvalidInput, match="too many links in /a/x"):
        paths.follow("/a/x", links.get)


NAMES = st.sampled_from(["a", "b", "c", "..", ".", ""])
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


@given(PATHS.map(lambda path: f"/{path}"))
def test_cleaning_twice_changes_nothing(path: str) -> None:
    cleaned = paths.clean(path)
    assert paths.clean(cleaned) == cleaned
    assert paths.claims_directory(cleaned) >= paths.claims_directory(path)
    assert cleaned.startswith("/")
    assert "//" not in cleaned
    assert ".." not in cleaned.split("/")


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    """Names below a root: "" is a directory, anything else a link's text."""
    names = st.sampled_from(["a", "b", "c"])
    targets = st.tuples(st.booleans(), PATHS).map(lambda p: f"/{p[1]}" if p[0] else p[1] or ".")
    paths = st.lists(names, min_size=1, max_size=3).map("/".join)
    return draw(st.dictionaries(paths, st.one_of(st.just(""), targets), max_size=8))


def make(top: Path, tree: dict[str, str]) -> None:
    for name, target in sorted(tree.items()):
        path = top / name
        if any((top / part).is_symlink() for part in _above(name)):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(target)
        else:
            path.mkdir(exist_ok=True)


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


@settings(max_examples=150, deadline=None)
@given(trees(), PATHS)
def test_following_by_text_leads_where_the_kernel_leads_inside_the_root(
    tree: dict[str, str], path: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        make(Path(directory), tree)
        with Root.at(directory) as root:

            def read_link(inner: str) -> str | None:
                try:
                    return root.readlink(inner)
                except OSError:
                    return None

            try:
                fd = root.open(path, os.O_PATH)
            except OSError:
                return  # what is not there has no place; the kernel has nothing to compare with
            try:
                real = os.readlink(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
            followed = paths.follow(path, read_link)
            assert os.path.normpath(f"{directory}/{followed}") == real


KINDS = st.builds(CopySource, name=st.sampled_from([".", "x"]), is_directory=st.booleans())
TARGETS = st.one_of(
    st.builds(Target, path=PATHS.map(lambda p: f"/{p}")),
    st.builds(
        Target, path=PATHS.map(lambda p: f"/{p}"), exists=st.just(True), is_directory=st.booleans()
    ),
)


@given(KINDS, TARGETS)
def test_every_pair_is_placed_or_refused(origin: CopySource, target: Target) -> None:
    if target.is_directory and not target.exists:
        return
    try:
        placed = place(origin, target)
    except (Conflict, NotFound):
        assert not target.is_directory
        return
    assert placed.member
    assert "/" not in placed.member.rstrip("/")
    if not target.is_directory:  # what is named is what is made
        joined = os.path.normpath(f"{placed.directory}/{placed.member}")
        assert joined.lstrip("/") == os.path.normpath(target.path).lstrip("/")
