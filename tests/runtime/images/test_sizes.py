"""A layer's size is Docker's: that of its tree, with the targets of links, each file once."""

from __future__ import annotations

from pathlib import Path
from tarfile import CHRTYPE, DIRTYPE, FIFOTYPE, LNKTYPE, SYMTYPE

import pytest

from dockmagic_runtime.images.pack import pack
from dockmagic_runtime.images.unpack import unpack
from dockmagic_runtime.linux.tree_size import tree_size
from dockmagic_runtime.testing.trees import Member, make_member, make_tar

pytestmark = pytest.mark.root


def unpacked(directory: Path, *members: Member, lowers: tuple[str, ...] = ()) -> int:
    directory.mkdir()
    size = unpack(make_tar(*members), str(directory), lowers=lowers).size
    assert size == tree_size(str(directory))
    return size


def test_command_line_15_size_counts_files_once_and_the_targets_of_links(tmp_path: Path) -> None:
    """The size that dockerd gives for the same tar."""
    layer = tmp_path / "layer"
    size = unpacked(
        layer,
        make_member("bin", DIRTYPE),
        (make_member("bin/a"), b"x" * 1_234_567),
        make_member("bin/b", LNKTYPE, linkname="bin/a"),
        make_member("bin/c", SYMTYPE, linkname="/bin/a"),
        make_member("bin/d", SYMTYPE, linkname="é" * 50),
        make_member("fifo", FIFOTYPE),
        make_member("null", CHRTYPE, devmajor=1, devminor=3),
        make_member("bin/.wh.vi"),
    )
    assert size == 1_234_567 + len("/bin/a") + 100 == 1_234_673
    assert pack(str(layer)).size == size


def test_command_line_15_what_a_later_member_replaces_does_not_count(tmp_path: Path) -> None:
    size = unpacked(
        tmp_path / "layer",
        (make_member("twice"), b"1" * 1000),
        (make_member("twice"), b"2" * 300),
        (make_member("directory"), b"3" * 777),
        make_member("directory", DIRTYPE),
        (make_member("directory/file"), b"4" * 55),
        make_member("file", SYMTYPE, linkname="somewhere"),
        (make_member("file"), b"5" * 11),
        (make_member("named"), b"6" * 5000),
        make_member("still", LNKTYPE, linkname="named"),
        (make_member("named"), b"7" * 10),
    )
    assert size == 300 + 55 + 11 + 5000 + 10


def test_command_line_15_a_file_brought_up_from_below_counts(tmp_path: Path) -> None:
    below = tmp_path / "below"
    unpacked(below, (make_member("f"), b"1" * 4000))
    link = make_member("g", LNKTYPE, linkname="f")
    assert unpacked(tmp_path / "layer", link, lowers=(str(below),)) == 4000
