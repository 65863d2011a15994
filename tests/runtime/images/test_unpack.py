"""A layer's tar becomes a directory that is just as the tar says."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.unpack import clean, unpack
from dockmagic_runtime.testing.trees import make_member, make_tar

from .conftest import BLK, CHR, DIR, FIFO, LNK, SYM, names, put

pytestmark = pytest.mark.root


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
    assert (unpacked.size, unpacked.entries) == (len("data") + len("/etc/x"), 7)


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


@given(st.text(alphabet="ab./\0", max_size=12))
def test_a_cleaned_name_has_only_real_components(name: str) -> None:
    try:
        cleaned = clean(name)
    except InvalidInput:
        return
    assert not cleaned or all(part not in ("", ".", "..") for part in cleaned.split("/"))
    assert os.path.normpath(f"/{name}").lstrip("/") == cleaned


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
