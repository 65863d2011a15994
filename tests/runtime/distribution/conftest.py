"""Two stores that know nothing of one another, and images to exchange."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime.distribution.load import Loader
from dockmagic_runtime.distribution.save import Saver
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.oci_documents import chain_ids
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import LoadDone, PullStatus
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.testing.registry import FakeRegistry


@dataclass(frozen=True)
class Store:
    """The images of one area."""

    data_root: DataRoot
    database: Database
    layers: LayerStore
    images: ImageStore
    blobs: BlobStore

    @classmethod
    def at(cls, data_root: DataRoot) -> Store:
        data_root.prepare()
        database = Database(data_root.database)
        layers = LayerStore(data_root, database)
        return cls(
            data_root,
            database,
            layers,
            ImageStore(data_root, database, layers),
            BlobStore(data_root),
        )

    def built(self, name: str, *trees: dict[str, str], **config: Any) -> Image:
        """An image with one layer made here for each tree of files."""
        below, diff_ids = "", []
        for number, tree in enumerate(trees):
            top = self.data_root.scratch / f"upper-{number}"
            top.mkdir(mode=0o755)
            for path, text in tree.items():
                (top / path).parent.mkdir(parents=True, exist_ok=True)
                (top / path).write_text(text)
            for entry in (*top.rglob("*"), top):
                os.utime(entry, (1_700_000_000, 1_700_000_000))  # the same layer in every second
            record = self.layers.adopt(str(top), below)
            below = record.chain_id
            diff_ids.append(record.diff_id)
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2024-05-06T07:08:09Z",
            "config": {"Cmd": ["sh"], **config},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": f"step {n}"} for n in range(len(trees))],
        }
        image = self.images.put(json.dumps(document).encode(), chain_ids(diff_ids))
        if name:
            self.images.tag(image.id, name)
        return self.images.resolve(image.id)

    def save(self, *references: str) -> bytes:
        out = io.BytesIO()
        Saver(self.data_root, self.images, self.layers).save(references, out)
        return out.getvalue()

    def load(self, source: Any) -> list[LoadDone]:
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        events = list(Loader(self.data_root, self.images, self.layers).load(stream))
        return [event for event in events if isinstance(event, LoadDone)]

    def lines(self, source: bytes) -> list[str]:
        events = Loader(self.data_root, self.images, self.layers).load(io.BytesIO(source))
        return [event.status for event in events if isinstance(event, PullStatus)]

    def tree(self, image: Image) -> dict[str, bytes]:
        """All files of all layers."""
        return {
            f"{number}/{path.relative_to(top)}": path.read_bytes()
            for number, chain_id in enumerate(image.chain_ids)
            for top in [Path(self.layers.path(chain_id))]
            for path in sorted(top.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def store(data_root: DataRoot) -> Iterator[Store]:
    created = Store.at(data_root)
    yield created
    created.database.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    data_root = DataRoot.at(tmp_path / "other")
    created = Store.at(data_root)
    yield created
    created.database.close()
    data_root.run.rmdir()  # nothing may be in it


Files = dict[str, bytes | str]  # a string is a symbolic link


@pytest.fixture
def tar() -> Callable[[Files], bytes]:
    def make(files: Files) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                if isinstance(content, str):
                    member.type, member.linkname = tarfile.SYMTYPE, content
                    archive.addfile(member)
                else:
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    return make


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.fixture
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy of the host's, and no passwords."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-config"))


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry
