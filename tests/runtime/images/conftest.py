"""A store in an area of its own."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.images.unpack import Unpacked, unpack
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.testing.trees import Member, make_tar, snapshot


@pytest.fixture
def database(data_root: DataRoot) -> Iterator[Database]:
    data_root.prepare()
    created = Database(data_root.database)
    yield created
    created.close()


@pytest.fixture
def layers(data_root: DataRoot, database: Database) -> LayerStore:
    return LayerStore(data_root, database)


@pytest.fixture
def images(data_root: DataRoot, database: Database, layers: LayerStore) -> ImageStore:
    return ImageStore(data_root, database, layers)


@pytest.fixture
def upper(data_root: DataRoot, database: Database) -> Callable[[dict[str, str]], str]:
    """A directory as a container's writable layer would be, with files of the given texts."""

    def make(files: dict[str, str]) -> str:
        top = data_root.scratch / "upper"
        top.mkdir(mode=0o755)
        for name, text in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(top)

    return make


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
