from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.host_names import DEFAULT_ROOT


def test_the_default_area_has_the_plain_names() -> None:
    data_root = DataRoot.at(DEFAULT_ROOT)
    assert (data_root.id, data_root.nft_table, data_root.cgroup_parent) == (
        "",
        "dockmagic",
        "dockmagic",
    )


def test_other_areas_never_meet(tmp_path: Path) -> None:
    item, other = DataRoot.at(tmp_path / "one"), DataRoot.at(tmp_path / "other")
    for name in ("bridge", "nft_table", "cgroup_parent", "run"):
        assert getattr(item, name) != getattr(other, name)
        assert getattr(item, name) != getattr(DataRoot.at(DEFAULT_ROOT), name)


def test_an_interface_name_fits_the_kernels_fifteen_characters(tmp_path: Path) -> None:
    assert len(DataRoot.at(tmp_path).bridge) <= 15


def test_the_environment_chooses_the_area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKMAGIC_ROOT", str(tmp_path / "mine"))
    assert DataRoot.at().root == tmp_path / "mine"


def test_row16_nobody_else_can_walk_into_the_area(tmp_path: Path) -> None:
    """CVE-2021-41091: set-uid programs in layers must not be reachable by other users."""
    data_root = DataRoot.at(tmp_path / "area")
    data_root.prepare()
    assert os.stat(data_root.root).st_mode & 0o777 == 0o700
    os.rmdir(data_root.run)
