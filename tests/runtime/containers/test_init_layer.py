"""The layer between an image and a container's own: mount points, and a link for mount(8)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockmagic_runtime.containers.plan import init_layer


@pytest.fixture
def lowers(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty layers of an image, topmost first."""
    layers = tmp_path / "top", tmp_path / "bottom"
    for layer in layers:
        layer.mkdir()
    return layers


def init(tmp_path: Path, lowers: tuple[Path, ...]) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    paths = [str(layer) for layer in lowers]
    return Path(init_layer.ensure(str(tmp_path / "init"), paths, str(scratch)))


def test_command_line_18_mtab_is_a_link_where_the_image_has_none(
    tmp_path: Path, lowers: tuple[Path, Path]
) -> None:
    assert os.readlink(init(tmp_path, lowers) / "etc/mtab") == "/proc/mounts"


def test_command_line_18_an_mtab_of_the_image_stays(
    tmp_path: Path, lowers: tuple[Path, Path]
) -> None:
    (lowers[0] / "etc").mkdir()
    (lowers[1] / "etc").mkdir()
    (lowers[1] / "etc/mtab").write_text("x")
    assert not os.path.lexists(init(tmp_path, lowers) / "etc/mtab")


@pytest.mark.root
def test_command_line_18_an_mtab_that_a_layer_has_deleted_is_none(
    tmp_path: Path, lowers: tuple[Path, Path]
) -> None:
    for layer in lowers:
        (layer / "etc").mkdir()
    (lowers[1] / "etc/mtab").write_text("x")
    os.mknod(lowers[0] / "etc/mtab", 0o020600, 0)
    assert os.path.islink(init(tmp_path, lowers) / "etc/mtab")


@pytest.mark.root
def test_command_line_18_an_mtab_below_an_opaque_directory_is_none(
    tmp_path: Path, lowers: tuple[Path, Path]
) -> None:
    for layer in lowers:
        (layer / "etc").mkdir()
    (lowers[1] / "etc/mtab").write_text("x")
    os.setxattr(lowers[0] / "etc", "trusted.overlay.opaque", b"y")
    assert os.path.islink(init(tmp_path, lowers) / "etc/mtab")


def test_nothing_is_made_behind_an_etc_that_is_a_link(
    tmp_path: Path, lowers: tuple[Path, Path]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (lowers[0] / "etc").symlink_to(outside)
    layer = init(tmp_path, lowers)
    assert not os.path.lexists(layer / "etc")
    assert os.listdir(outside) == []
