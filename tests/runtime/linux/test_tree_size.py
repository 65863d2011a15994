"""How much a writable layer takes."""

from __future__ import annotations

import os
from pathlib import Path

from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.linux.tree_size import tree_size


def test_files_and_links_count_directories_do_not(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_bytes(b"x" * 1000)
    (tmp_path / "l").symlink_to("seven77")
    assert tree_size(str(tmp_path)) == 1007


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    (tmp_path / "d").mkdir()
    os.link(tmp_path / "f", tmp_path / "d" / "g")
    assert tree_size(str(tmp_path)) == 1000


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"x" * 5000)
    (tmp_path / "upper" / "l").symlink_to("../outside")
    assert tree_size(str(tmp_path / "upper")) == len("../outside")


def test_depth_costs_no_descriptors(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert tree_size(str(tmp_path)) == 0
    remove_tree(str(tmp_path / "d"))  # too deep for shutil, with which pytest would do it


def test_what_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert tree_size(str(tmp_path / "nope")) == 0
