"""A directory becomes one tar, always the same, which every program can read."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import EngineBug, InvalidInput
from dockmagic_runtime.images.pack import pack
from dockmagic_runtime.images.unpack import unpack
from dockmagic_runtime.testing.trees import snapshot

pytestmark = pytest.mark.root


def tar_of(directory: str | Path, **options: int) -> tuple[str, bytes]:
    out = io.BytesIO()
    packed = pack(str(directory), out, **options)
    return packed.diff_id, out.getvalue()


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


def test_digest_and_size_are_those_of_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    (tmp_path / "g").write_bytes(b"y" * 512)
    out = io.BytesIO()
    packed = pack(str(tmp_path), out)
    assert packed.diff_id == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
    assert (packed.size, packed.entries) == (1512, 2)
    assert pack(str(tmp_path)) == packed
    assert len(out.getvalue()) % 512 == 0
    assert out.getvalue().endswith(bytes(1024))


def test_order_of_creation_and_access_times_do_not_matter(tmp_path: Path) -> None:
    digests = []
    for number, order in enumerate(("abc", "cab")):
        top = tmp_path / str(number)
        top.mkdir()
        for name in order:
            (top / name).write_text(name)
        for name in order:
            os.utime(top / name, (number, 1000.5))
        digests.append(pack(str(top)).diff_id)
    assert digests[0] == digests[1]


def test_members_come_sorted_parents_first_without_names_of_users(tmp_path: Path) -> None:
    (tmp_path / "b/d").mkdir(parents=True)
    for name in ("b/d/f", "b/c", "a"):
        (tmp_path / name).touch()
    result = members(tar_of(tmp_path)[1])
    names = [item.name for item in result]
    assert names == ["a", "b", "b/c", "b/d", "b/d/f"]
    assert {(item.uname, item.gname) for item in result} == {("", "")}


def test_times_are_whole_seconds_and_can_be_clamped(tmp_path: Path) -> None:
    for name, time in (("old", 100.9), ("new", 2000.1)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    times = {m.name: m.mtime for m in members(tar_of(tmp_path)[1])}
    assert times == {"old": 100, "new": 2000}
    times = {m.name: m.mtime for m in members(tar_of(tmp_path, clamp_mtime=1000)[1])}
    assert times == {"old": 100, "new": 1000}


def test_plain_members_have_no_extended_headers(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    (tmp_path / "d" / ("n" * 99)).symlink_to("t" * 100)
    (tmp_path / ("e" * 150)).mkdir()
    (tmp_path / ("e" * 150) / "f").touch()  # fits into ustar's prefix
    assert b"PaxHeaders" in tar_of(tmp_path)[1]  # the directory of 150 letters itself has no slash
    shutil.rmtree(tmp_path / ("e" * 150))
    assert b"PaxHeaders" not in tar_of(tmp_path)[1]


def test_whiteouts_and_opaque_directories_are_spelled_as_oci_does(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/new").touch()
    os.setxattr(tmp_path / "d", "trusted.overlay.opaque", b"y")
    os.mknod(tmp_path / "d/gone", stat.S_IFCHR, 0)
    os.link(tmp_path / "d/gone", tmp_path / "gone")  # overlayfs shares one inode among whiteouts
    result = members(tar_of(tmp_path)[1])
    assert [item.name for item in result] == [
        "d",
        ".wh.gone",
        "d/.wh..wh..opq",
        "d/.wh.gone",
        "d/new",
    ]
    assert all(item.isreg() and item.size == 0 for item in result[1:])
    assert result[0].pax_headers == {}


def test_several_names_of_a_file_become_hard_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    (tmp_path / "d").mkdir()
    os.link(tmp_path / "a", tmp_path / "d/b")
    (tmp_path / "s").symlink_to("x")
    os.link(tmp_path / "s", tmp_path / "t", follow_symlinks=False)
    kinds = {m.name: (m.type, m.linkname) for m in members(tar_of(tmp_path)[1])}
    assert kinds["d/b"] == (tarfile.LNKTYPE, "a")
    assert kinds["t"] == (tarfile.LNKTYPE, "s")
    assert pack(str(tmp_path)).size == len("data") + len("x")


def test_sockets_are_left_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert members(tar_of(tmp_path)[1]) == []


def test_names_that_mean_deletion_in_a_layer_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/.wh.x").touch()
    with pytest.raises(InvalidInput, match=r"/d/\.wh\.x cannot be stored in an image"):
        pack(str(tmp_path))


def test_redirected_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", "trusted.overlay.redirect", b"/etc")
    with pytest.raises(EngineBug, match="redirect_dir"):
        pack(str(tmp_path))


def test_gnu_tar_reads_what_we_pack(tmp_path: Path) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    tree.mkdir()
    out.mkdir()
    _grow(tree)
    before = snapshot(tree, times=True)
    _, data = tar_of(tree)
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-xpf", "-", "-C", str(out)],
        input=data,
        check=True,
        capture_output=True,
    )
    assert snapshot(out, times=True) == before


def _grow(tree: Path) -> None:
    (tree / "bin").mkdir()
    (tree / "bin/tool").write_bytes(b"#!" + bytes(5000))
    os.chown(tree / "bin/tool", 1000, 4_000_000_000)
    os.chmod(tree / "bin/tool", 0o6755)
    os.setxattr(tree / "bin/tool", "user.note", "ä\n=\0".encode())
    os.link(tree / "bin/tool", tree / "alias")
    (tree / ("long" * 60)).mkdir(mode=0o1777)
    (tree / ("long" * 60) / ("name" * 60)).symlink_to("target" * 30)
    os.mkfifo(tree / "fifo", 0o640)
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (tree / "\udcff").write_text("name that is no text")
    (tree / "ärger").write_text("name that is")


def test_umoci_unpacks_an_image_of_our_layers(tmp_path: Path) -> None:
    umoci = shutil.which("umoci")
    if umoci is None:
        pytest.skip("optional: umoci is not installed")
    low, up = tmp_path / "low", tmp_path / "up"
    low.mkdir()
    up.mkdir()
    _grow(low)
    (low / "etc").mkdir()
    (low / "etc/motd").write_text("old")
    (low / "var/lib").mkdir(parents=True)
    (low / "var/lib/x").touch()
    (up / "etc").mkdir()
    os.mknod(up / "etc/motd", stat.S_IFCHR, 0)
    (up / "var").mkdir()
    os.setxattr(up / "var", "trusted.overlay.opaque", b"y")
    (up / "var/new").write_text("new")
    layout = f"{tmp_path}/layout"
    commands = [[umoci, "init", "--layout", layout], [umoci, "new", "--image", f"{layout}:x"]]
    for number, layer in enumerate((low, up)):
        tar = tmp_path / f"{number}.tar"
        tar.write_bytes(tar_of(layer)[1])
        commands.append([umoci, "raw", "add-layer", "--image", f"{layout}:x", str(tar)])
    commands.append([umoci, "unpack", "--image", f"{layout}:x", f"{tmp_path}/bundle"])
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    root = tmp_path / "bundle/rootfs"
    expected = snapshot(low, times=True)
    result = snapshot(root, times=True)
    assert result["var/new"][0] == stat.S_IFREG
    assert not (root / "etc/motd").exists()
    assert sorted(os.listdir(root / "var")) == ["new"]
    for path in ("bin/tool", "alias", "null", "fifo", "\udcff", "ärger", "long" * 60):
        assert result[path] == expected[path]


# --- random trees -----------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(["a", "b", "n" * 120, "\udcff\udcfe", "ünï", " ", "\n", "-x", "PaxHeaders"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=8).filter(
        lambda name: name not in ("", ".", "..") and not name.startswith(".wh.")
    ),
)
MODES = st.integers(0, 0o7777)
IDS = st.sampled_from([0, 1, 1000, 2_097_151, 2_097_152, 4_294_967_294])
TIMES = st.sampled_from([0, 1, 1_700_000_000, -5, 8**11 - 1, 8**11])
XATTRS = st.dictionaries(
    st.sampled_from(["user.a", "user.b=c", "trusted.x"]), st.binary(max_size=20), max_size=2
)
LEAF = st.one_of(
    st.tuples(st.just("file"), st.one_of(st.binary(max_size=40), st.just(b"z" * 1025))),
    st.tuples(st.just("sparse"), st.sampled_from([(1, 0), (70_000, 0), (70_000, 66_000)])),
    st.tuples(st.just("link"), st.sampled_from(["x", "/etc/passwd", "t" * 200, "\udcfe"])),
    st.tuples(st.just("hard"), st.none()),
    st.tuples(st.just("fifo"), st.none()),
    st.tuples(st.just("node"), st.sampled_from([(1, 3), (8, 0), (259, 70000)])),
)
NODES = st.recursive(
    st.tuples(LEAF, MODES, IDS, IDS, TIMES, XATTRS),
    lambda inner: st.tuples(
        st.tuples(st.just("dir"), st.dictionaries(NAMES, inner, max_size=3)),
        MODES,
        IDS,
        IDS,
        TIMES,
        XATTRS,
    ),
    max_leaves=8,
)


def _build(path: Path, node: Any, created: list[Path]) -> None:
    (kind, value), mode, uid, gid, time, xattrs = node
    if kind == "dir":
        path.mkdir()
        for name, inner in value.items():
            if len(os.fsencode(name)) < 256:
                _build(path / name, inner, created)
    elif kind == "file":
        path.write_bytes(value)
    elif kind == "sparse":
        size, start = value
        with path.open("wb") as file:
            file.seek(start)
            file.write(b"data" if start else b"")
            file.truncate(size)
    elif kind == "link":
        path.symlink_to(value)
    elif kind == "hard":
        if created:
            os.link(created[-1], path, follow_symlinks=False)
            return
        path.touch()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, stat.S_IFBLK, os.makedev(*value))
    os.chown(path, uid, gid, follow_symlinks=False)
    if kind != "link":
        os.chmod(path, mode)
        for name, data in xattrs.items() if kind in ("file", "sparse", "dir", "hard") else ():
            os.setxattr(path, name, data)
    os.utime(path, (time, time), follow_symlinks=False)
    if kind != "dir":
        created.append(path)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(NAMES, NODES, max_size=4))
def test_packing_and_unpacking_is_identity(tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as base:
        item, two = Path(base, "one"), Path(base, "two")
        item.mkdir()
        two.mkdir()
        created: list[Path] = []
        for name, node in tree.items():
            if len(os.fsencode(name)) < 256:
                _build(item / name, node, created)
        diff_id, data = tar_of(item)
        unpacked = unpack(io.BytesIO(data), str(two), expected_diff_id=diff_id)
        assert snapshot(two, times=True) == snapshot(item, times=True)
        assert tar_of(two) == (diff_id, data)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert len(tar.getmembers()) == unpacked.entries
