"""A layer's tar becomes a directory, and nothing outside that directory, whatever the tar says."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput, RemoteFailed
from dockmagic_runtime.images import overlay
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.unpack import Unpacked, clean, unpack
from dockmagic_runtime.testing.trees import Member, make_member, make_tar, snapshot

pytestmark = pytest.mark.root

DIR, SYM, LNK, CHR, BLK, FIFO = (
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "layer"
    path.mkdir()
    return path


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A directory outside the layer that must look the same afterwards."""
    path = tmp_path / "victim"
    path.mkdir()
    (path / "file").write_text("precious")
    before = snapshot(path), os.stat(path / "file").st_nlink, sorted(os.listdir(tmp_path))
    yield path
    after = snapshot(path), os.stat(path / "file").st_nlink
    assert after == before[:2], "THE HOST WAS CHANGED"
    assert set(os.listdir(tmp_path)) <= {*before[2], "layer", "low"}, "THE HOST WAS CHANGED"


def put(layer: Path, *members: Member, **options: object) -> Unpacked:
    return unpack(make_tar(*members), str(layer), **options)  # type: ignore[arg-type]


def names(layer: Path) -> list[str]:
    return sorted(snapshot(layer))


# --- what a layer brings ----------------------------------------------------------------------


def test_files_directories_links_and_nodes_arrive_with_mode_owner_and_time(layer: Path) -> None:
    unpacked = put(
        layer,
        make_member("d", DIR, mode=0o1777, uid=3, gid=4, mtime=1_000_000_000),
        (make_member("d/f", mode=0o4751, uid=5, gid=6, mtime=1_100_000_000), b"data"),
        make_member("d/s", SYM, linkname="/etc/x", uid=7, gid=8, mtime=1_200_000_000),
        make_member("d/h", LNK, linkname="d/f"),
        make_member("d/p", FIFO, mode=0o600, uid=9),
        make_member("d/null", CHR, devmajor=1, devminor=3, mode=0o666),
        make_member("d/sda", BLK, devmajor=8, devminor=0, mode=0o660, gid=6),
    )
    d, f = layer / "d", layer / "d/f"
    assert f.read_bytes() == b"data"
    assert stat.S_IMODE(f.stat().st_mode) == 0o4751
    assert (f.stat().st_uid, f.stat().st_gid, f.stat().st_mtime) == (5, 6, 1_100_000_000)
    assert f.stat().st_ino == (layer / "d/h").stat().st_ino
    status = os.lstat(layer / "d/s")
    assert (os.readlink(layer / "d/s"), status.st_uid, status.st_mtime) == (
        "/etc/x",
        7,
        1_200_000_000,
    )
    assert stat.S_ISFIFO((layer / "d/p").stat().st_mode)
    null, sda = (layer / "d/null").stat(), (layer / "d/sda").stat()
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev) == (True, os.makedev(1, 3))
    assert (stat.S_ISBLK(sda.st_mode), sda.st_rdev, stat.S_IMODE(sda.st_mode)) == (
        True,
        os.makedev(8, 0),
        0o660,
    )
    assert (stat.S_IMODE(d.stat().st_mode), d.stat().st_uid) == (0o1777, 3)
    assert d.stat().st_mtime == 1_000_000_000  # although its members came later
    assert (unpacked.size, unpacked.entries) == (4, 7)


def test_umask_and_order_do_not_matter(layer: Path) -> None:
    umask = os.umask(0o077)
    try:
        put(layer, (make_member("ro/f", mode=0o666), b""), make_member("ro", DIR, mode=0o555))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((layer / "ro/f").stat().st_mode) == 0o666
    assert stat.S_IMODE((layer / "ro").stat().st_mode) == 0o555
    assert stat.S_IMODE(layer.stat().st_mode) == 0o755


def test_the_root_has_metadata_too(layer: Path) -> None:
    put(layer, make_member("./", DIR, mode=0o700, uid=3, mtime=5))
    status = layer.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime) == (0o700, 3, 5)


def test_xattrs_arrive_and_capabilities_survive_the_change_of_owner(layer: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    member = make_member("ping", mode=0o755, uid=4)
    member.pax_headers = {
        "SCHILY.xattr.user.note": "hello",
        "SCHILY.xattr.security.capability": os.fsdecode(capability),
    }
    put(layer, (member, b"x"))
    assert os.getxattr(layer / "ping", "user.note") == b"hello"
    assert os.getxattr(layer / "ping", "security.capability") == capability


def test_later_members_replace_earlier_ones(layer: Path) -> None:
    put(
        layer,
        (make_member("a"), b"one"),
        (make_member("a"), b"two"),
        make_member("b", DIR),
        (make_member("b/c"), b"x"),
        (make_member("b"), b"file now"),
        (make_member("c"), b"x"),
        make_member("c", DIR),
        make_member("l", SYM, linkname="a"),
        (make_member("l"), b"no link now"),
    )
    assert (layer / "a").read_bytes() == b"two"
    assert (layer / "b").read_bytes() == b"file now"
    assert (layer / "c").is_dir()
    assert (layer / "l").read_bytes() == b"no link now"
    assert not (layer / "l").is_symlink()


def test_a_directory_given_twice_keeps_its_contents(layer: Path) -> None:
    put(
        layer,
        make_member("d", DIR, mode=0o700),
        (make_member("d/f"), b"x"),
        make_member("d", DIR, mode=0o711),
    )
    assert names(layer) == ["d", "d/f"]
    assert stat.S_IMODE((layer / "d").stat().st_mode) == 0o711


def test_links_inside_the_layer_are_followed_inside_it(layer: Path) -> None:
    put(
        layer,
        make_member("lib", SYM, linkname="/usr/lib"),
        (make_member("lib/x.so"), b"x"),
        make_member("up", SYM, linkname="../../.."),
        (make_member("up/y"), b"y"),
    )
    assert (layer / "usr/lib/x.so").read_bytes() == b"x"
    assert (layer / "y").read_bytes() == b"y"


def test_missing_parents_look_as_they_do_below(layer: Path, tmp_path: Path) -> None:
    low = tmp_path / "low"
    (low / "tmp").mkdir(parents=True)
    os.chmod(low / "tmp", 0o1777)
    os.chown(low / "tmp", 3, 4)
    put(layer, (make_member("tmp/a/f"), b""), lowers=[str(low)])
    tmp = (layer / "tmp").stat()
    assert (stat.S_IMODE(tmp.st_mode), tmp.st_uid, tmp.st_gid) == (0o1777, 3, 4)
    assert stat.S_IMODE((layer / "tmp/a").stat().st_mode) == 0o755


def test_long_and_undecodable_names(layer: Path) -> None:
    long = "/".join(["n" * 200] * 12)
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        tar = make_tar(
            (make_member(long), b"1"),
            make_member("s", SYM, linkname="t" * 300),
            (make_member("\udcff\udcfe"), b"2"),
            format=format,
        )
        unpack(tar, str(layer))
        assert (layer / long).read_bytes() == b"1"
        assert os.readlink(layer / "s") == "t" * 300
        assert (layer / "\udcff\udcfe").read_bytes() == b"2"


def test_many_directories_need_few_descriptors(layer: Path) -> None:
    members = [(make_member(f"{n}/x/f"), b"") for n in range(300)]
    put(layer, *members, *members)
    assert len(names(layer)) == 900


# --- hard links -------------------------------------------------------------------------------


def test_hard_link_to_a_file_below_copies_it_up(layer: Path, tmp_path: Path) -> None:
    low = tmp_path / "low"
    (low / "bin").mkdir(parents=True)
    (low / "bin/tool").write_bytes(b"tool")
    os.chown(low / "bin/tool", 3, 4)
    os.chmod(low / "bin/tool", 0o4755)
    put(layer, make_member("alias", LNK, linkname="bin/tool"), lowers=[str(low)])
    status = (layer / "alias").stat()
    assert status.st_ino == (layer / "bin/tool").stat().st_ino
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_nlink) == (0o4755, 3, 2)
    assert (low / "bin/tool").stat().st_nlink == 1


def test_hard_link_to_a_symbolic_link_names_the_link_itself(layer: Path) -> None:
    put(
        layer,
        make_member("s", SYM, linkname="/etc/passwd"),
        make_member("h", LNK, linkname="s"),
    )
    assert os.readlink(layer / "h") == "/etc/passwd"
    assert os.lstat(layer / "h").st_ino == os.lstat(layer / "s").st_ino


@pytest.mark.parametrize("target", ["missing", "d", ".wh.x", "self", "x/y", "", "/", "."])
def test_hard_links_to_what_is_no_file_are_refused(layer: Path, target: str) -> None:
    with pytest.raises(InvalidInput, match=r"hard link|Not a directory"):
        put(
            layer,
            make_member("d", DIR),
            (make_member("x"), b""),
            make_member("self", LNK, linkname=target),
        )


def test_hard_link_to_a_whiteout_is_refused(layer: Path, tmp_path: Path) -> None:
    low = tmp_path / "low"
    low.mkdir()
    (low / "f").touch()
    with pytest.raises(InvalidInput, match="hard link"):
        put(
            layer,
            make_member(".wh.f"),
            make_member("h", LNK, linkname="f"),
            lowers=[str(low)],
        )


# --- whiteouts --------------------------------------------------------------------------------


def test_whiteouts_become_overlays_own(layer: Path) -> None:
    put(
        layer,
        make_member("etc", DIR),
        make_member("etc/.wh.motd"),
        make_member("var/.wh..wh..opq"),
        make_member("var/new"),
    )
    assert overlay.is_whiteout(os.lstat(layer / "etc/motd"))
    assert os.getxattr(layer / "var", "trusted.overlay.opaque") == b"y"
    assert names(layer) == ["etc", "etc/motd", "var", "var/new"]


def test_a_directory_that_replaces_what_was_deleted_is_opaque(layer: Path) -> None:
    put(
        layer,
        make_member(".wh.before"),
        make_member("before", DIR),
        make_member("after", DIR),
        make_member(".wh.after"),
        make_member(".wh.implied"),
        make_member("implied/f"),
        make_member("file"),
        make_member(".wh.file"),
    )
    for name in ("before", "after", "implied"):
        assert os.getxattr(layer / name, "trusted.overlay.opaque") == b"y", name
    assert stat.S_ISREG(os.lstat(layer / "file").st_mode)


def test_aufs_bookkeeping_is_left_out(layer: Path) -> None:
    put(
        layer,
        make_member(".wh..wh.aufs"),
        make_member(".wh..wh.plnk", DIR),
        make_member(".wh..wh.plnk/12.34"),
        make_member(".wh..wh.orph/.wh..wh..opq"),
        make_member("f"),
    )
    assert names(layer) == ["f"]
    assert "trusted.overlay.opaque" not in os.listxattr(layer)


@pytest.mark.parametrize(
    "name", [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "a/.wh...", ".wh./x", "a/.wh.b/c"]
)
def test_row30_names_that_are_no_whiteout_are_refused(layer: Path, victim: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="whiteout"):
        put(layer, make_member("a", DIR), make_member(name))


def test_row30_whiteouts_through_a_link_are_refused(layer: Path, victim: Path) -> None:
    for mark in (".wh.file", ".wh..wh..opq"):
        for target in (str(victim), "../victim", "elsewhere"):
            with pytest.raises(InvalidInput, match="through a link"):
                put(
                    layer,
                    make_member("l", SYM, linkname=target),
                    make_member(f"l/{mark}"),
                )


def test_row30_overlay_xattrs_in_a_layer_are_dropped(layer: Path) -> None:
    member = make_member("d", DIR)
    member.pax_headers = {
        f"SCHILY.xattr.{space}.overlay.{name}": value
        for space in ("trusted", "user")
        for name, value in (("redirect", "/etc"), ("opaque", "y"), ("metacopy", ""))
    } | {"SCHILY.xattr.security.selinux": "x", "SCHILY.xattr.user.kept": "k"}
    file = make_member("d/f")
    file.pax_headers = dict(member.pax_headers)
    put(layer, member, file)
    for path in (layer / "d", layer / "d/f"):
        found = [name for name in os.listxattr(path) if name != "security.selinux"]
        assert found == ["user.kept"]


# --- attacks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../victim/p", "../../tmp/p", "..", "a/../../p", "/../p"])
def test_row27_cve_2007_4559_layer_with_dotdot_is_refused(
    layer: Path, victim: Path, name: str
) -> None:
    with pytest.raises(InvalidInput, match="leads out of it"):
        put(layer, make_member("a", DIR), (make_member(name), b"evil"))


def test_row27_absolute_names_land_in_the_layer(layer: Path, victim: Path) -> None:
    put(layer, (make_member(f"{victim}/file"), b"evil"), (make_member("//x//./y/../z"), b""))
    assert (layer / str(victim)[1:] / "file").read_bytes() == b"evil"
    assert (layer / "x/z").exists()


def test_row27_names_with_nul_and_over_4096_bytes_are_refused(layer: Path) -> None:
    with pytest.raises(InvalidInput, match="longer than 4096"):
        put(layer, make_member("a/" * 2050 + "b"))
    with pytest.raises(InvalidInput, match="File name too long"):
        put(layer, make_member("n" * 256))
    member = make_member("x")
    member.pax_headers = {"path": "a\0b"}
    with pytest.raises(InvalidInput, match="NUL"):
        put(layer, member)


def test_row28_hard_link_through_a_symbolic_link_stays_inside(layer: Path, victim: Path) -> None:
    for target in (str(victim), "../victim"):
        with pytest.raises(InvalidInput, match="not there"):
            put(
                layer,
                make_member("l", SYM, linkname=target),
                make_member("h", LNK, linkname="l/file"),
            )
    with pytest.raises(InvalidInput, match="leads out"):
        put(layer, make_member("h", LNK, linkname="../victim/file"))
    with pytest.raises(InvalidInput, match="not there"):
        put(layer, make_member("h", LNK, linkname=f"{victim}/file"))


def test_row28_writing_over_a_hard_linked_link_does_not_write_through(
    layer: Path, victim: Path
) -> None:
    put(
        layer,
        make_member("s", SYM, linkname=f"{victim}/file"),
        make_member("h", LNK, linkname="s"),
        (make_member("h"), b"evil"),
        (
            make_member("s"),
            b"evil",
        ),
    )
    assert (layer / "h").read_bytes() == b"evil"


def test_row29_cve_2025_4517_deep_chain_of_links_stays_inside(layer: Path, victim: Path) -> None:
    """The published proof: real paths that outgrow PATH_MAX, links that climb out of them."""
    component = "d" * 247
    members: list[Member] = []
    path = ""
    for letter in "abcdefghijklmnop":
        members.append(make_member(f"{path}{component}", DIR))
        members.append(make_member(f"{path}{letter}", SYM, linkname=component))
        path += f"{component}/"
    short = "/".join("abcdefghijklmnop") + "/l" * 1
    members.append(make_member(short, SYM, linkname="../" * 16))
    members.append(make_member("escape", SYM, linkname=f"{short}/../victim"))
    members.append(make_member("hard", LNK, linkname="escape/file"))
    with pytest.raises(InvalidInput):
        put(layer, *members)
    put(layer, *members[:-1], (make_member("escape/x"), b"evil"))
    assert (layer / "victim/x").read_bytes() == b"evil"


def test_row20_metadata_of_a_link_is_not_its_targets(layer: Path, victim: Path) -> None:
    put(
        layer,
        make_member("a", SYM, linkname=str(victim / "file"), mode=0o777, uid=5, mtime=1),
        make_member("d", SYM, linkname=str(victim)),
        make_member("d", DIR, mode=0o777, uid=5),
    )
    assert (layer / "d").is_dir()
    assert not (layer / "d").is_symlink()


def test_row31_layers_that_are_bombs_are_refused(layer: Path) -> None:
    import gzip

    bomb = gzip.compress(make_tar((make_member("zeros"), bytes(8 << 20))).getvalue())
    assert len(bomb) < 20_000
    with pytest.raises(InvalidInput, match="more than 1048576 bytes"):
        unpack(io.BytesIO(bomb), str(layer), limits=Limits(size=1 << 20))
    with pytest.raises(InvalidInput, match="more than 3 entries"):
        put(layer, *[make_member(str(n)) for n in range(4)], limits=Limits(entries=3))
    big = make_member("x")
    big.pax_headers = {"comment": "c" * (1 << 20)}
    with pytest.raises(InvalidInput, match="extended header"):
        put(layer, big)
    unpack(io.BytesIO(bomb), str(layer))


def test_row31_limits_allow_any_honest_ratio_and_no_more_than_the_disk() -> None:
    assert Limits.for_blob(30 << 20, 1 << 40).size == 6000 << 20
    assert Limits.for_blob(100, 1 << 40).size == 256 << 20
    assert Limits.for_blob(30 << 20, 5 << 20).size == 5 << 20


def test_row32_another_diff_id_than_promised_is_refused(layer: Path) -> None:
    tar = make_tar((make_member("f"), b"x"))
    good = unpack(tar, str(layer)).diff_id
    tar.seek(0)
    unpack(tar, str(layer), expected_diff_id=good)
    tar.seek(0)
    damaged = io.BytesIO(tar.getvalue().replace(b"x", b"y"))
    with pytest.raises(RemoteFailed, match="not the one its image names"):
        unpack(damaged, str(layer), expected_diff_id=good)


def test_row44_device_nodes_stay_and_are_made_without_being_opened(layer: Path) -> None:
    put(layer, make_member("sda", BLK, devmajor=8, devminor=0))
    assert os.lstat(layer / "sda").st_rdev == os.makedev(8, 0)


@pytest.mark.parametrize(
    "members",
    [
        [make_member("f"), make_member("f/x")],
        [make_member("p", FIFO), make_member("p/x")],
        [make_member("l", SYM, linkname="l"), make_member("l/x")],
        [make_member("", SYM, linkname="x")],
        [make_member("./")],
    ],
)
def test_impossible_members_are_refused_by_name(layer: Path, members: list[Member]) -> None:
    with pytest.raises(InvalidInput, match="in the layer"):
        put(layer, *members)


# --- random layers ----------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", ".wh.a", ".wh.b", ".wh..wh..opq", "..", "l"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(
    PATHS, st.sampled_from(["VICTIM", "VICTIM/file", "../victim", "/", "..", "../../victim/file"])
)
KINDS = st.sampled_from([DIR, SYM, LNK, tarfile.REGTYPE, tarfile.REGTYPE, FIFO, CHR])


@settings(max_examples=250, deadline=None)
@given(members=st.lists(st.tuples(PATHS, KINDS, TARGETS), max_size=12))
def test_row52_cve_2026_17106_no_random_layer_touches_the_outside(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    base = tmp_path_factory.mktemp("random")
    layer, victim = base / "layer", base / "victim"
    layer.mkdir()
    victim.mkdir()
    (victim / "file").write_text("precious")
    os.chmod(victim, 0o750)
    before = snapshot(victim, times=True), victim.stat(), (victim / "file").stat()
    made = [
        make_member(name, kind, linkname=target.replace("VICTIM", str(victim)), uid=1, mode=0o777)
        for name, kind, target in members
    ]
    try:
        put(layer, *[(one, b"evil") if one.isreg() else one for one in made])
    except InvalidInput:
        pass  # refused is as good as contained
    after = snapshot(victim, times=True), victim.stat(), (victim / "file").stat()
    assert after[0] == before[0]
    assert [s.st_ctime_ns for s in after[1:]] == [s.st_ctime_ns for s in before[1:]]
    assert sorted(os.listdir(base)) == ["layer", "victim"]


@given(st.text(alphabet="ab./\0", max_size=12))
def test_a_cleaned_name_has_only_real_components(name: str) -> None:
    try:
        cleaned = clean(name)
    except InvalidInput:
        return
    assert not cleaned or all(part not in ("", ".", "..") for part in cleaned.split("/"))
    assert os.path.normpath(f"/{name}").lstrip("/") == cleaned


def test_a_refused_layer_leaves_no_descriptor_open(layer: Path) -> None:
    before = os.listdir("/proc/self/fd")
    refused: list[Callable[[], object]] = [
        lambda: put(layer, make_member("a/b/c/f"), make_member("../x")),
        lambda: unpack(io.BytesIO(b"no tar at all" * 100), str(layer)),
    ]
    for action in refused:
        with pytest.raises(InvalidInput):
            action()
    assert os.listdir("/proc/self/fd") == before


def test_row31_a_layer_nested_too_deep_is_refused(layer: Path) -> None:
    put(layer, make_member("/".join("d" * 256)))
    with pytest.raises(InvalidInput, match="more than 255 directories in one") as refused:
        put(layer, make_member("/".join("e" * 257)))
    assert "DOCKMAGIC_LAYER_LIMITS=depth=" in refused.value.hint


def test_a_user_can_raise_the_limits(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKMAGIC_LAYER_LIMITS", "depth=500, entries=3,size=2g")
    put(layer, make_member("/".join("d" * 400)))
    with pytest.raises(InvalidInput, match="more than 3 entries"):
        put(layer, *[make_member(str(n)) for n in range(4)])
    assert Limits.for_blob(100, 1 << 40) == Limits(size=2 << 30, depth=500, entries=3)
    assert Limits.for_blob(100, 1 << 30).size == 1 << 30
    for malformed in ("depth", "depth=", "depth=0", "depth=-1", "depth=1x", "width=5"):
        monkeypatch.setenv("DOCKMAGIC_LAYER_LIMITS", malformed)
        with pytest.raises(InvalidInput, match="DOCKMAGIC_LAYER_LIMITS is malformed"):
            put(layer, make_member("c"))
