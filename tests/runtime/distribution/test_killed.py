"""Killed between any two steps: what has a name is whole, and prune finds what is left."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dockmagic_runtime.images import prune, scratch_gc
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.testing.registry import FakeRegistry
from dockmagic_runtime.testing.trees import make_member, make_tar

from .conftest import Store

pytestmark = [pytest.mark.root, pytest.mark.slow]
PROGRAM = Path(__file__).parent / "killed.py"
MOST = 400  # steps of one verb; one that never ends is found out


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxies, no credentials, and what was left is old at once."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-config"))
    monkeypatch.setattr(scratch_gc, "GRACE", -1.0)
    monkeypatch.setattr("dockmagic_runtime.store.scratch._YOUNG", -1.0)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as created:
        shared = make_tar((make_member("shared"), b"s" * 2000)).getvalue()
        top = make_tar(make_member("d", b"5"), (make_member("d/top"), b"t")).getvalue()
        created.add_image("old", "1", (shared,))
        created.add_image("new", "1", (shared, top))
        yield created


class Killed:
    """An area that is put back to where it was before each of the killings."""

    def __init__(self, data_root: DataRoot, verb: str, argument: str) -> None:
        self._data_root = data_root
        self._before = data_root.root.with_name("before")
        shutil.copytree(data_root.root, self._before, symlinks=True)
        command = [sys.executable, str(PROGRAM), str(data_root.root), verb, argument]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def before_step(self, number: int) -> bool:
        """Run the verb until there; whether it was killed, or else had fewer steps."""
        shutil.rmtree(self._data_root.root)
        shutil.copytree(self._before, self._data_root.root, symlinks=True)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{number}\n")
        stdin.flush()
        answer = stdout.readline().strip()
        assert answer in ("killed", "done"), answer
        return answer == "killed"

    def close(self) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


def whole(store: Store) -> dict[str, str]:
    """The images that have names, each looked through to its last byte."""
    result: dict[str, str] = {}
    for image in store.images.list(all=True):
        for chain_id, diff_id in zip(image.chain_ids, image.diff_ids, strict=True):
            packed = store.layers.pack(chain_id, io.BytesIO())
            assert packed.diff_id == diff_id
            record = store.layers.get(chain_id)
            assert not record.blob or store.blobs.has(record.blob)
            assert os.path.isdir(store.layers.path(chain_id))
        result |= dict.fromkeys(image.tags, image.id)
    return result


def tidy(store: Store) -> set[str]:
    """Prune, and see that nothing is on disk which no row names; the kinds of entries left over."""
    left = leftovers(store)
    prune.prune(store.images, store.layers, used=(), dangling_only=True, wanted=lambda *_: True)
    store.layers.prune()
    needed = {chain for image in store.images.list(all=True) for chain in image.chain_ids}
    rows = store.database.rows("SELECT chain_id, blob FROM layers")
    assert {chain for chain, _ in rows} == needed
    assert set(os.listdir(store.data_root.layers)) == {chain[7:] for chain in needed}
    manifests = {digest for (digest,) in store.database.rows("SELECT manifest FROM images")}
    assert set(store.blobs.digests()) <= {blob for _, blob in rows} | manifests
    assert os.listdir(store.data_root.scratch) == []
    return left


def leftovers(store: Store) -> set[str]:
    """The kinds of temporary entries, and "blob" if no row names one of the blobs."""
    kinds = {name.split("-")[0] for name in os.listdir(store.data_root.scratch)}
    rows = store.database.rows("SELECT blob FROM layers UNION SELECT manifest FROM images")
    known = {digest for (digest,) in rows}
    return kinds | {"blob" for digest in store.blobs.digests() if digest not in known}


def steps(data_root: DataRoot, verb: str, argument: str) -> Iterator[Store]:
    """The area after the verb was killed before its first step, its second, and so on."""
    with closing(Killed(data_root, verb, argument)) as killed:
        for number in range(1, MOST):
            is_killed = killed.before_step(number)
            store = Store.at(data_root)
            yield store
            store.database.close()
            if not is_killed:
                assert number > 5, "the verb has hardly any steps: are they still seen?"
                return
    raise AssertionError(f"{verb} does not end")


@pytest.fixture
def prepared(data_root: DataRoot, registry: FakeRegistry) -> Iterator[Store]:
    """Closed before the killing begins: SQLite's files are copied."""
    from dockmagic_runtime.distribution.pull import Puller

    store = Store.at(data_root)
    for _ in Puller(store.images, store.layers, store.blobs).pull(f"{registry.host}/old:1"):
        pass
    yield store
    store.database.close()


def test_a_pull_killed_anywhere(
    data_root: DataRoot, prepared: Store, registry: FakeRegistry
) -> None:
    from dockmagic_runtime.distribution.pull import Puller

    old, new = f"{registry.host}/old:1", f"{registry.host}/new:1"
    names: dict[str, str] = {}
    prepared.database.close()
    left: set[str] = set()
    for store in steps(data_root, "pull", new):
        names = whole(store)
        assert set(names) in ({old}, {old, new})
        left |= tidy(store)
        assert whole(store) == names
        for _ in Puller(store.images, store.layers, store.blobs).pull(new):
            pass
        assert set(whole(store)) == {old, new}
    assert set(names) == {old, new}
    assert left >= {"blob", "layer", "lease", "partial", "pin"}


def test_a_load_killed_anywhere(
    data_root: DataRoot, prepared: Store, other: Store, registry: FakeRegistry, tmp_path: Path
) -> None:
    archive = tmp_path / "archive.tar"
    image = other.built("loaded:1", {"a": "a"}, {"b": "b"})
    archive.write_bytes(other.save("loaded:1"))
    old, names = f"{registry.host}/old:1", {}
    prepared.database.close()
    left: set[str] = set()
    for store in steps(data_root, "load", str(archive)):
        names = whole(store)
        assert set(names) in ({old}, {old, "loaded:1"})
        left |= tidy(store)
        assert whole(store) == names
        with archive.open("rb") as file:
            (done,) = store.load(file)
        assert done.image.id == image.id
    assert names["loaded:1"] == image.id
    assert left >= {"blob", "layer", "lease"}


def test_a_build_or_commit_killed_anywhere(
    data_root: DataRoot, prepared: Store, registry: FakeRegistry
) -> None:
    old, names = f"{registry.host}/old:1", {}
    prepared.database.close()
    left: set[str] = set()
    for store in steps(data_root, "adopt", "made:1"):
        names = whole(store)
        assert set(names) in ({old}, {old, "made:1"})
        left |= tidy(store)
        assert whole(store) == names
    assert set(names) == {old, "made:1"}
    assert left >= {"layer", "lease"}


def test_a_removal_killed_anywhere(
    data_root: DataRoot, prepared: Store, registry: FakeRegistry
) -> None:
    old, names = f"{registry.host}/old:1", {}
    prepared.built("kept:1", {"k": "k"})
    prepared.database.close()
    left: set[str] = set()
    for store in steps(data_root, "rmi", old):
        names = whole(store)
        assert set(names) in ({"kept:1"}, {"kept:1", old})
        left |= tidy(store)
        assert whole(store) == names
    assert set(names) == {"kept:1"}
    assert left >= {"blob", "layer"}


def test_a_prune_killed_anywhere(
    data_root: DataRoot, prepared: Store, registry: FakeRegistry
) -> None:
    old = f"{registry.host}/old:1"
    prepared.built("", {"nameless": "n"})
    top = data_root.scratch / "layer-left"
    top.mkdir()
    prepared.layers.adopt(str(top), "")
    prepared.blobs.put(io.BytesIO(b"nobody's"))
    prepared.database.close()
    left: set[str] = set()
    for store in steps(data_root, "prune", ""):
        assert set(whole(store)) == {old}
        left |= tidy(store)
        assert set(whole(store)) == {old}
    assert left >= {"blob", "layer"}
