"""COPY and ADD: what ends up where, with which mode and owner. Real overlays, real layers."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockmagic_runtime.dockerfile import DockerfileError
from dockmagic_runtime.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from dockmagic_runtime.model.image import Image
    from tests.runtime.builder.conftest import Site

pytestmark = pytest.mark.root


def tree(site: Site, image: Image, index: int = -1) -> list[str]:
    """The paths of a layer, directories with a slash."""
    top = site.layer(image, index)
    return sorted(
        str(path.relative_to(top)) + ("/" if path.is_dir() and not path.is_symlink() else "")
        for path in top.rglob("*")
    )


def copied(site: Site, line: str, *before: str) -> list[str]:
    return tree(site, site.build("\n".join(("FROM scratch", *before, line))))


# --- sources and destinations ------------------------------------------------------------------


def test_a_directory_gives_its_contents_not_itself(site: Site) -> None:
    site.write("d/a")
    site.write("d/sub/b")
    assert copied(site, "COPY d /app") == ["app/", "app/a", "app/sub/", "app/sub/b"]


def test_a_file_goes_to_a_name_or_into_a_directory(site: Site) -> None:
    site.write("a", "x")
    assert copied(site, "COPY a /b") == ["b"]
    assert copied(site, "COPY a /b/") == ["b/", "b/a"]
    assert copied(site, "COPY a /") == ["a"]
    assert copied(site, "COPY a .", "WORKDIR /w") == ["w/", "w/a"]
    assert copied(site, "COPY a b/c", "WORKDIR /w") == ["w/", "w/b/", "w/b/c"]
    assert copied(site, "COPY a /b/../c") == ["c"]


def test_a_file_goes_into_a_directory_that_is_there(site: Site) -> None:
    site.write("d/x")
    site.write("a")
    assert copied(site, "COPY a /etc", "COPY d /etc") == ["etc/", "etc/a"]


def test_several_sources_need_a_directory(site: Site) -> None:
    site.write("a")
    site.write("b")
    assert copied(site, "COPY a b /d/") == ["d/", "d/a", "d/b"]
    with pytest.raises(DockerfileError, match="more than one source file") as failure:
        site.build("FROM scratch\nCOPY a b /d")
    assert failure.value.problems[0].line == 2
    with pytest.raises(InvalidInput, match=r"Dockerfile:2: COPY failed: .*more than one source"):
        site.build("FROM scratch\nCOPY [ab] /d")


def test_wildcards_are_gos(site: Site) -> None:
    for name in ("a.txt", "b.txt", "c.md", "d/e.txt", ".hidden"):
        site.write(name)
    assert copied(site, "COPY *.txt /o/") == ["o/", "o/a.txt", "o/b.txt"]
    assert copied(site, "COPY [ac].* /o/") == ["o/", "o/a.txt", "o/c.md"]
    assert copied(site, "COPY */*.txt /o/") == ["o/", "o/e.txt"]
    assert copied(site, "COPY ?.md /o/") == ["o/", "o/c.md"]
    assert ".hidden" in copied(site, "COPY * /")


def test_builder_1_a_pattern_that_matches_nothing_is_empty_and_a_missing_name_an_error(
    site: Site,
) -> None:
    site.write("a.txt")
    assert copied(site, "COPY a.txt q* /dst/") == ["dst/", "dst/a.txt"]
    site.build("FROM scratch\nCOPY q* /dst/\nCOPY a.txt /")
    with pytest.raises(NotFound, match="not found in build context"):
        site.build("FROM scratch\nCOPY a.txt q.txt /dst/")


def test_builder_2_directories_that_a_copy_makes_are_0755_and_its_sources_keep_theirs(
    site: Site,
) -> None:
    site.write("top/sub/f")
    (site.context / "top").chmod(0o700)
    (site.context / "top/sub").chmod(0o711)
    layer = site.layer(site.build("FROM scratch\nCOPY top /app/x"))
    modes = [stat.S_IMODE((layer / path).stat().st_mode) for path in ("app", "app/x", "app/x/sub")]
    assert modes == [0o755, 0o755, 0o711]


def test_builder_12_chmod_is_for_directories_that_are_made_too(site: Site) -> None:
    site.write("top/f")
    layer = site.layer(site.build("FROM scratch\nCOPY --chmod=700 top /n/m/"))
    modes = [stat.S_IMODE((layer / path).stat().st_mode) for path in ("n", "n/m", "n/m/f")]
    assert modes == [0o700, 0o700, 0o700]


@pytest.mark.parametrize(
    ("base", "destination"),
    [
        ("", "/a/b/"),
        ("a/kept", "/a/b/"),
        ("a/b/kept", "/a/b/"),
        ("a/b/kept", "/a/b/c/d"),
        ("a/kept", "/link/b"),
        ("a/kept", "/link"),
    ],
    ids=["all new", "below what is there", "there", "two below", "through a link", "a link"],
)
def test_a_directory_is_the_same_wherever_it_is_new(
    site: Site, base: str, destination: str
) -> None:
    """Past the overlay where nothing is below, and through it elsewhere."""
    site.write("base/first")
    (site.context / "base/link").symlink_to("a")
    if base:
        site.write(f"base/{base}")
    site.write("from/one", "1", mode=0o640)
    site.write("from/sub/two", "2")
    (site.context / "from/sub").chmod(0o2750)
    os.utime(site.context / "from", ns=(7_000_000_000, 7_000_000_000))
    layer = site.layer(
        site.build(f"FROM scratch\nCOPY base /\nCOPY --chown=3:4 from {destination}")
    )
    place = layer / destination.strip("/").replace("link", "a")
    assert (place / "one").read_text() == "1"
    assert (place / "sub/two").read_text() == "2"
    for path, mode in (("one", 0o640), ("sub", 0o2750), ("sub/two", 0o644)):
        status = (place / path).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (3, 4, mode)
    is_new = not ((base.startswith("a/b/") and destination == "/a/b/") or destination == "/link")
    if is_new:
        status = place.stat()
        assert (status.st_uid, status.st_gid, status.st_mtime) == (3, 4, 7)
    assert not (layer / "a/kept").exists()


def test_dots_are_clamped_to_the_context(site: Site) -> None:
    secret = site.context.parent / "secret"
    secret.write_text("outside")
    with pytest.raises(NotFound):
        site.build("FROM scratch\nCOPY ../secret /")
    site.write("inside")
    assert copied(site, "COPY ../../inside /") == ["inside"]


def test_a_link_in_the_context_leads_nowhere_but_into_it(site: Site) -> None:
    (site.context.parent / "secret").write_text("outside")
    (site.context / "up").symlink_to("../secret")
    (site.context / "absolute").symlink_to(site.context.parent / "secret")
    (site.context / "magic").symlink_to("/proc/self/root/etc/passwd")
    for name in ("up", "absolute", "magic"):
        with pytest.raises(NotFound):
            site.build(f"FROM scratch\nCOPY {name} /x")
    site.write("real", "inside")
    (site.context / "good").symlink_to("/real")
    image = site.build("FROM scratch\nCOPY good /x")
    assert (site.layer(image) / "x").read_text() == "inside"


def test_links_below_a_source_stay_links(site: Site) -> None:
    site.write("d/a")
    (site.context / "d/link").symlink_to("/anywhere")
    image = site.build("FROM scratch\nCOPY d /")
    assert (site.layer(image) / "link").readlink() == Path("/anywhere")


def test_a_link_in_the_image_leads_nowhere_but_into_it(site: Site) -> None:
    victim = site.context.parent / "victim"
    victim.mkdir()
    site.write("d/a", "x")
    (site.context / "links").mkdir()
    (site.context / "links/out").symlink_to(victim)
    (site.context / "links/up").symlink_to("../../../../../../../../etc")
    image = site.build("FROM scratch\nCOPY links /\nCOPY d /out/\nCOPY d/a /up/a\nCOPY d /up/b/")
    assert list(victim.iterdir()) == []
    inside = str(victim).lstrip("/")
    assert (site.layer(image, 1) / inside / "a").read_text() == "x"
    assert (site.layer(image, 2) / "etc/a").read_text() == "x"


def test_a_link_as_destination_is_followed(site: Site) -> None:
    site.write("a", "new")
    site.write("d/target", "old")
    (site.context / "d/link").symlink_to("target")
    image = site.build("FROM scratch\nCOPY d /\nCOPY a /link")
    assert tree(site, image) == ["target"]
    assert (site.layer(image) / "target").read_text() == "new"


def test_a_directory_on_a_link_to_one_goes_where_it_leads(site: Site) -> None:
    site.write("base/usr/bin/ls")
    (site.context / "base/bin").symlink_to("usr/bin")
    site.write("more/bin/tool")
    image = site.build("FROM scratch\nCOPY base /\nCOPY more /")
    assert tree(site, image) == ["usr/", "usr/bin/", "usr/bin/tool"]


def test_file_and_directory_do_not_take_each_others_place(site: Site) -> None:
    site.write("d/x")
    site.write("f")
    site.write("tree/f/y")
    site.write("tree2/d")
    for lines in ("COPY f /x\nCOPY d /x", "COPY f /\nCOPY tree /", "COPY f /f\nCOPY f /f/g"):
        with pytest.raises(InvalidInput, match=r"Dockerfile:3: COPY failed: .*non-directory"):
            site.build(f"FROM scratch\n{lines}")
    with pytest.raises(InvalidInput, match="cannot overwrite directory /d"):
        site.build("FROM scratch\nCOPY d /d/\nCOPY tree2 /")


def test_a_replaced_file_is_a_new_one(site: Site) -> None:
    site.write("one/f", "old", 0o600)
    site.write("two/f", "new", 0o755)
    image = site.build("FROM scratch\nCOPY one /\nCOPY two /")
    assert (site.layer(image, 0) / "f").read_text() == "old"
    top = site.layer(image, 1) / "f"
    assert (top.read_text(), top.stat().st_mode & 0o777) == ("new", 0o755)


def test_nothing_to_copy_from_is_told(site: Site) -> None:
    with pytest.raises(InvalidInput, match="Dockerfile:2: COPY failed: there is no build context"):
        site.build("FROM scratch\nCOPY a /", context=None)
    site.build("FROM scratch\nCOPY <<EOF /a\nEOF\n", context=None)
    with pytest.raises(InvalidInput, match="is not a directory"):
        site.build("FROM scratch\nCOPY a /", context=str(site.context / "nowhere"))


def test_names_that_are_no_text_are_copied(site: Site) -> None:
    raw = os.fsencode(site.context) + b"/\xff\xfe"
    with open(raw, "wb") as stream:
        stream.write(b"x")
    image = site.build("FROM scratch\nCOPY . /")
    assert os.listdir(os.fsencode(site.layer(image))) == [b"\xff\xfe"]


# --- modes and owners --------------------------------------------------------------------------


def test_made_directories_are_roots_and_0755_whatever_the_umask(site: Site) -> None:
    site.write("a", mode=0o640)
    old = os.umask(0o077)
    try:
        image = site.build("FROM scratch\nCOPY a /x/y/a")
    finally:
        os.umask(old)
    for path in ("", "x", "x/y"):
        status = (site.layer(image) / path).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)
    assert stat.S_IMODE((site.layer(image) / "x/y/a").stat().st_mode) == 0o640


def test_existing_directories_keep_mode_and_owner_in_the_new_layer(site: Site) -> None:
    site.write("base/tmp/keep")
    (site.context / "base/tmp").chmod(0o1777)
    os.chown(site.context / "base/tmp", 5, 6)
    site.write("a")
    image = site.build("FROM scratch\nCOPY --chown=5:6 base /\nCOPY a /tmp/a")
    status = (site.layer(image) / "tmp").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1777, 5, 6)


def test_context_owners_are_not_taken_over(site: Site) -> None:
    os.chown(site.write("a"), 1234, 1234)
    image = site.build("FROM scratch\nCOPY a /")
    assert (site.layer(image) / "a").stat().st_uid == 0


def test_chown_by_number_and_by_the_images_own_names(site: Site) -> None:
    site.write("etc/passwd", "root:x:0:0::/:\nme:x:70:71::/home/me:/bin/sh\n")
    site.write("etc/group", "root:x:0:\nthem:x:72:\n")
    site.write("f")
    base = "FROM scratch\nCOPY etc /etc\n"
    for owner, expected in {
        "7": (7, 7),
        "7:8": (7, 8),
        "me": (70, 71),
        "me:them": (70, 72),
        "9:them": (9, 72),
    }.items():
        image = site.build(f"{base}COPY --chown={owner} f /new/f")
        for path in ("new", "new/f"):
            status = (site.layer(image) / path).stat()
            assert (status.st_uid, status.st_gid) == expected, owner
    with pytest.raises(InvalidInput, match="Dockerfile:3: COPY failed: unable to find user nobody"):
        site.build(f"{base}COPY --chown=nobody f /f")


def test_chmod_is_for_all_that_is_copied(site: Site) -> None:
    site.write("d/f", mode=0o600)
    image = site.build("FROM scratch\nARG M=750\nCOPY --chmod=$M d /d")
    assert stat.S_IMODE((site.layer(image) / "d").stat().st_mode) == 0o750
    assert stat.S_IMODE((site.layer(image) / "d/f").stat().st_mode) == 0o750
    for mode in ("u+q", "99", "77777"):
        with pytest.raises(DockerfileError, match="invalid chmod parameter"):
            site.build(f"FROM scratch\nCOPY --chmod={mode} d /d")


def test_times_and_attributes_are_kept(site: Site) -> None:
    path = site.write("d/a", mode=0o4755)
    os.utime(path, ns=(1_000_000_007, 1_000_000_007))
    os.setxattr(path, "user.note", b"kept")
    os.setxattr(
        path, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000")
    )
    os.utime(path.parent, ns=(2_000_000_000, 2_000_000_000))
    image = site.build("FROM scratch\nCOPY d /d")
    copy = site.layer(image) / "d/a"
    assert copy.stat().st_mtime_ns == 1_000_000_007
    assert stat.S_IMODE(copy.stat().st_mode) == 0o4755
    assert os.getxattr(copy, "user.note") == b"kept"
    assert "security.capability" in os.listxattr(copy)
    assert copy.parent.stat().st_mtime_ns == 2_000_000_000


def test_hard_links_stay_one_file(site: Site) -> None:
    os.link(site.write("d/a", "x"), site.context / "d/b")
    (site.context / "d/sub").mkdir()
    os.link(site.context / "d/a", site.context / "d/sub/c")
    image = site.build("FROM scratch\nCOPY d /")
    inodes = {(site.layer(image) / name).stat().st_ino for name in ("a", "b", "sub/c")}
    assert len(inodes) == 1


def test_a_fifo_is_copied_and_a_socket_is_not(site: Site) -> None:
    import socket

    (site.context / "d").mkdir()
    os.mkfifo(site.context / "d/fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.context / "d/socket"))
        image = site.build("FROM scratch\nCOPY d /d")
    assert tree(site, image) == ["d/", "d/fifo"]
    assert stat.S_ISFIFO((site.layer(image) / "d/fifo").stat().st_mode)


# --- .dockerignore, --exclude, --link ----------------------------------------------------------


def test_dockerignore_is_honoured_and_the_last_match_wins(site: Site) -> None:
    for name in ("a.log", "keep.log", "d/b.log", "d/c.txt", "n/deep/x", "n/deep/y"):
        site.write(name)
    site.write(".dockerignore", "# comment\n**/*.log\n!keep.log\nn\n!n/deep/x\n.dockerignore\n")
    assert copied(site, "COPY . /") == ["d/", "d/c.txt", "keep.log", "n/", "n/deep/", "n/deep/x"]
    with pytest.raises(NotFound, match=r"excluded by \.dockerignore"):
        site.build("FROM scratch\nCOPY a.log /")
    assert copied(site, "COPY n /o/") == ["o/", "o/deep/", "o/deep/x"]


def test_a_directory_ignored_altogether_is_not_found(site: Site) -> None:
    site.write("gone/a")
    site.write(".dockerignore", "gone\n")
    with pytest.raises(NotFound):
        site.build("FROM scratch\nCOPY gone /g")


def test_a_dockerfiles_own_ignore_file_goes_first(site: Site) -> None:
    site.write("a")
    site.write("b")
    site.write(".dockerignore", "a\n.*\nD*\n")
    site.write("Dockerfile.dockerignore", "b\n.*\nD*\n")
    assert copied(site, "COPY . /") == ["a"]


def test_an_ignore_file_goes_by_the_dockerfiles_whole_name(site: Site) -> None:
    site.write("a")
    site.write("b")
    site.write("sub/Dockerfile", "FROM scratch\nCOPY . /")
    site.write("sub/Dockerfile.dockerignore", "a\nsub")
    image = site.build(None, file_name="sub/Dockerfile")
    assert sorted(path.name for path in site.layer(image).iterdir()) == ["b"]
    image = site.build("FROM scratch\nCOPY . /", ignore="b\nsub")
    assert sorted(path.name for path in site.layer(image).iterdir()) == ["a"]


def test_a_dockerignore_that_leads_outside_is_not_read(site: Site) -> None:
    (site.context.parent / "rules").write_text("a\n")
    (site.context / ".dockerignore").symlink_to("../rules")
    site.write("a")
    assert "a" in copied(site, "COPY . /")


def test_exclude_leaves_out_what_matches(site: Site) -> None:
    for name in ("d/a.txt", "d/b.md", "d/sub/c.txt"):
        site.write(name)
    assert copied(site, "COPY --exclude=*.txt --exclude=sub d /") == ["b.md"]


def test_link_makes_a_layer_that_knows_nothing_below(site: Site) -> None:
    site.write("base/dir/x")
    (site.context / "base/link").symlink_to("dir")
    site.write("a")
    image = site.build("FROM scratch\nCOPY base /\nCOPY --link a /link/")
    assert tree(site, image) == ["link/", "link/a"]
