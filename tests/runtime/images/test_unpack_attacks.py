"""A layer's tar becomes a directory, and nothing outside that directory, whatever the tar says."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput, RemoteFailed
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.unpack import unpack
from dockmagic_runtime.testing.trees import Member, make_member, make_tar, snapshot

from .conftest import BLK, CHR, DIR, FIFO, LNK, SYM, put

pytestmark = pytest.mark.root


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
    created = [
        make_member(name, kind, linkname=target.replace("VICTIM", str(victim)), uid=1, mode=0o777)
        for name, kind, target in members
    ]
    try:
        put(layer, *[(item, b"evil") if item.isreg() else item for item in created])
    except InvalidInput:
        pass  # refused is as good as contained
    after = snapshot(victim, times=True), victim.stat(), (victim / "file").stat()
    assert after[0] == before[0]
    assert [s.st_ctime_ns for s in after[1:]] == [s.st_ctime_ns for s in before[1:]]
    assert sorted(os.listdir(base)) == ["layer", "victim"]


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
