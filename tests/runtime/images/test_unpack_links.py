"""Hard links and whiteouts of a layer."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import overlay
from dockmagic_runtime.testing.trees import make_member

from .conftest import DIR, LNK, SYM, names, put

pytestmark = pytest.mark.root


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
        result = [name for name in os.listxattr(path) if name != "security.selinux"]
        assert result == ["user.kept"]
