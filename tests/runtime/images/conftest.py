"""A store in an area of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.store.area import Area
from dockmagic_runtime.store.database import Database


@pytest.fixture
def database(area: Area) -> Iterator[Database]:
    area.prepare()
    made = Database(area.database)
    yield made
    made.close()


@pytest.fixture
def layers(area: Area, database: Database) -> LayerStore:
    return LayerStore(area, database)


@pytest.fixture
def images(area: Area, database: Database, layers: LayerStore) -> ImageStore:
    return ImageStore(area, database, layers)


@pytest.fixture
def upper(area: Area, database: Database) -> Callable[[dict[str, str]], str]:
    """A directory as a container's writable layer would be, with files of the given texts."""

    def make(files: dict[str, str]) -> str:
        top = area.scratch / "upper"
        top.mkdir(mode=0o755)
        for name, text in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(top)

    return make
