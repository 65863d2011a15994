"""A stand-in that is here is made again only when it would be another."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from dockmagic_runtime.catalogue import Catalogue, roots, stamps
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullDone, PullStatus
from dockmagic_runtime.store.data_root import DataRoot

from .test_catalogue import IMAGE, Builder


class Puller:
    """Makes one stand-in again and again, where `image` has its name."""

    def __init__(self, data_root: DataRoot, name: str) -> None:
        self.builder = Builder()
        self.image: Image | None = IMAGE
        self._data_root, self._name = data_root, name

    def pull(self) -> list[str]:
        make = Catalogue().make(self._name, self.builder, self._data_root, lambda _: self.image)
        *events, done = make
        assert isinstance(done, PullDone)
        return [event.status for event in events if isinstance(event, PullStatus)]

    def is_made(self) -> bool:
        before = len(self.builder.requests)
        self.pull()
        return len(self.builder.requests) > before


@pytest.fixture
def busybox(data_root: DataRoot) -> Puller:
    puller = Puller(data_root, "busybox")
    assert puller.is_made()
    return puller


def test_speed_a_stand_in_that_is_here_is_not_made_again(busybox: Puller) -> None:
    assert busybox.pull()[1:] == ["Status: Image is up to date for busybox:latest"]
    assert not busybox.is_made()


def test_a_name_that_means_another_image_or_none_is_made(busybox: Puller) -> None:
    busybox.image = None
    assert busybox.is_made()
    busybox.image = replace(IMAGE, id="sha256:" + "1" * 64)
    assert busybox.is_made()


def test_another_program_or_another_proxy_gives_another_image(
    busybox: Puller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{folder}")
    assert not busybox.is_made()
    (folder / "busybox").write_bytes(b"")
    assert busybox.is_made()
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert busybox.is_made()
    assert not busybox.is_made()


@pytest.mark.parametrize("age", [stamps.ROOT_LIFETIME + 1, -3600.0])
def test_an_old_one_is_made_again_and_so_is_one_of_the_future(
    busybox: Puller, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + age)
    assert busybox.is_made()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"facts": 1}'])
def test_a_damaged_stamp_is_none(busybox: Puller, data_root: DataRoot, damage: bytes) -> None:
    (stamp,) = data_root.catalogue.glob("*.json")
    stamp.write_bytes(damage)
    assert busybox.is_made()
    assert not busybox.is_made()


def test_a_full_disk_costs_the_stamp_alone(
    data_root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stamps, "write_file", full)
    puller = Puller(data_root, "busybox")
    assert puller.is_made()
    assert puller.is_made()


def test_a_distribution_is_as_old_as_its_root(
    data_root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bootstrap(_host: object, _scratch: Path, target: Path) -> Iterator[PullStatus]:
        target.write_bytes(b"a root")
        yield PullStatus(status="making")

    monkeypatch.setattr(roots, "bootstrap", bootstrap)
    debian = Puller(data_root, "debian")
    assert debian.is_made()
    assert not debian.is_made()
    (kept,) = data_root.catalogue.glob("*.tar")
    old = time.time() - stamps.ROOT_LIFETIME + 100
    os.utime(kept, (old, old))
    debian.image = None
    assert debian.is_made()
    debian.image = IMAGE
    assert not debian.is_made()
    monkeypatch.setattr("time.time", lambda: old + stamps.ROOT_LIFETIME + 1)
    assert debian.is_made()
