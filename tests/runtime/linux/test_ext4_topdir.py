from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.linux.ext4_topdir import flags_of, set_topdir

TOP_DIRECTORY = 0x20000


def test_a_directory_of_trees_is_marked_where_the_file_system_knows_of_it(tmp_path: Path) -> None:
    set_topdir(str(tmp_path))
    (tmp_path / "tree").mkdir()
    fds = [os.open(path, os.O_RDONLY) for path in (tmp_path, tmp_path / "tree")]
    try:
        marked = [bool(flags_of(fd) & TOP_DIRECTORY) for fd in fds]
    except OSError:
        marked = [False, False]  # no such attributes here: it was left alone
    finally:
        for fd in fds:
            os.close(fd)
    assert marked in ([True, False], [False, False])


def test_a_file_system_without_attributes_is_left_alone() -> None:
    set_topdir("/proc/self")


def test_what_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(NotADirectoryError):
        set_topdir(str(tmp_path / "f"))
