"""ADD: archives unpacked, with their own owners and modes, over what is there."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile

import pytest

from dockmagic_runtime.errors import InvalidInput
from tests.runtime.builder.conftest import Site
from tests.runtime.builder.test_copy import copied, tree

pytestmark = pytest.mark.root


def archive(*names: str, compress: bool = False) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid, member.mode = 1, 11, 12, 0o640
            tar.addfile(member, io.BytesIO(b"x"))
    return gzip.compress(raw.getvalue()) if compress else raw.getvalue()


@pytest.mark.parametrize("compress", [False, True])
def test_add_unpacks_a_local_archive_whatever_its_name(site: Site, compress: bool) -> None:
    (site.context / "data.bin").write_bytes(archive("a", "d/b", compress=compress))
    image = site.build("FROM scratch\nADD data.bin /in")
    assert tree(site, image) == ["in/", "in/a", "in/d/", "in/d/b"]
    status = (site.layer(image) / "in/a").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (11, 12, 0o640)
    assert tree(site, site.build("FROM scratch\nCOPY data.bin /in")) == ["in"]
    assert tree(site, site.build("FROM scratch\nADD --unpack=false data.bin /in")) == ["in"]


def test_an_archive_is_the_same_layer_with_and_without_something_below(site: Site) -> None:
    (site.context / "root.tar").write_bytes(archive("a", "d/b"))
    site.write("empty/.keep")
    alone = site.build("FROM scratch\nADD root.tar /")
    on_top = site.build("FROM scratch\nCOPY empty /\nADD root.tar /")
    assert tree(site, alone) == tree(site, on_top) == ["a", "d/", "d/b"]
    for image in (alone, on_top):
        status = (site.layer(image) / "d/b").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (11, 0o640)


def test_add_with_chown_gives_all_to_one(site: Site) -> None:
    (site.context / "a.tar").write_bytes(archive("a"))
    image = site.build("FROM scratch\nADD --chown=3:4 a.tar /")
    assert (site.layer(image) / "a").stat().st_uid == 3


def test_add_copies_what_is_no_archive(site: Site) -> None:
    (site.context / "text.gz").write_bytes(gzip.compress(b"no archive at all"))
    (site.context / "empty.tar").write_bytes(bytes(1024))
    site.write("plain.tar", "not one either")
    image = site.build("FROM scratch\nADD text.gz empty.tar plain.tar /")
    assert tree(site, image) == ["empty.tar", "plain.tar", "text.gz"]


@pytest.mark.parametrize("name", ["../../escaped", "/absolute"])
def test_cve_2007_4559_an_archive_does_not_leave_the_image(site: Site, name: str) -> None:
    (site.context / "evil.tar").write_bytes(archive(name))
    if ".." in name:
        with pytest.raises(InvalidInput, match="Dockerfile:2: ADD failed"):
            site.build("FROM scratch\nADD evil.tar /")
    else:
        assert copied(site, "ADD evil.tar /") == ["absolute"]


@pytest.mark.parametrize("name", ["", ".", "./", "/", "a/.."])
@pytest.mark.parametrize("destination", ["/", "/in/"])
def test_builder_5_a_member_without_a_name_is_passed_over(
    site: Site, name: str, destination: str
) -> None:
    (site.context / "odd.tar").write_bytes(archive(name, "ok"))
    image = site.build(f"FROM scratch\nADD odd.tar {destination}")
    assert [path for path in tree(site, image) if path != "in/"] == [f"{destination}ok"[1:]]


@pytest.mark.parametrize(
    ("base", "members"),
    [
        ("x/below", [("x", "file")]),
        ("x", [("x", "directory"), ("x/below", "file")]),
        ("x", [("x/below", "file")]),
        ("x/below", [("x", "link")]),
    ],
    ids=["file over directory", "directory over file", "below a file", "link over directory"],
)
def test_builder_5_an_archive_wins_over_what_is_there(
    site: Site, base: str, members: list[tuple[str, str]]
) -> None:
    site.write(f"base/{base}", "old")
    kinds = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
    with tarfile.open(site.context / "a.tar", "w") as tar:
        for name, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kinds[kind], "elsewhere", 0o755
            tar.addfile(member)
    layer = site.layer(site.build("FROM scratch\nCOPY base /\nADD a.tar /"))
    for name, kind in members:
        status = (layer / name).lstat()
        tests = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK}
        assert tests[kind](status.st_mode)
    assert (layer / "x/below").exists() == (members[-1][0] == "x/below")


def test_builder_5_an_archive_over_a_link_of_the_image_replaces_it(site: Site) -> None:
    victim = site.context.parent / "victim"
    victim.mkdir()
    (site.context / "base").mkdir()
    (site.context / "base/out").symlink_to(victim)
    (site.context / "evil.tar").write_bytes(archive("out/x"))
    layer = site.layer(site.build("FROM scratch\nCOPY base /\nADD evil.tar /"))
    assert (layer / "out").is_dir()
    assert not (layer / "out").is_symlink()
    assert list(victim.iterdir()) == []
