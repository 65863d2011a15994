"""Layers are there whole, once, under their chain id, as long as something needs them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from dockmagic_runtime.errors import EngineBug, InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.images import oci_documents
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerRecord, LayerStore
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.testing.trees import Member, make_member, make_tar, snapshot

pytestmark = pytest.mark.root
Upper = Callable[[dict[str, str]], str]


def tar(**files: str) -> io.BytesIO:
    members: list[Member] = [(make_member(name), text.encode()) for name, text in files.items()]
    return make_tar(*members)


def state(data_root: DataRoot) -> tuple[list[str], list[str]]:
    """Layers on disk, and what was left in the scratch directory."""
    return sorted(os.listdir(data_root.layers)), os.listdir(data_root.scratch)


def test_layers_are_added_on_top_of_each_other(data_root: DataRoot, layers: LayerStore) -> None:
    lower = layers.add(tar(a="1"), "")
    above = layers.add(io.BytesIO(gzip.compress(tar(b="22").getvalue())), lower.chain_id)
    assert (lower.chain_id, lower.parent, lower.size) == (lower.diff_id, "", 1)
    assert above.diff_id == f"sha256:{hashlib.sha256(tar(b='22').getvalue()).hexdigest()}"
    assert above.chain_id == oci_documents.chain_id(lower.chain_id, above.diff_id)
    assert layers.chain(above.chain_id) == (above, lower)
    assert layers.lowers(above.chain_id) == (
        layers.path(above.chain_id),
        layers.path(lower.chain_id),
    )
    assert layers.lowers("") == ()
    assert snapshot(layers.path(above.chain_id))["b"][4] == b"22"
    assert state(data_root) == (sorted([lower.chain_id[7:], above.chain_id[7:]]), [])


def test_a_layer_that_is_here_is_not_read_again(layers: LayerStore) -> None:
    lower = layers.add(tar(a="1"), "")

    class Unreadable:
        def read(self, size: int = -1, /) -> bytes:
            raise AssertionError("it was read")

    assert layers.add(Unreadable(), "", expected_diff_id=lower.diff_id) == lower
    assert layers.add(tar(a="1"), "") == lower


def test_row32_a_refused_layer_leaves_nothing(data_root: DataRoot, layers: LayerStore) -> None:
    with pytest.raises(RemoteFailed, match="not the one"):
        layers.add(tar(a="1"), "", expected_diff_id=f"sha256:{'0' * 64}")
    with pytest.raises(InvalidInput):
        layers.add(make_tar(make_member("d/f"), make_member("../x")), "")
    with pytest.raises(NotFound, match="No such layer"):
        layers.add(tar(a="1"), f"sha256:{'0' * 64}")
    with pytest.raises(InvalidInput, match="invalid digest"):
        layers.path("../../etc")
    assert state(data_root) == ([], [])


def test_row31_a_bomb_leaves_nothing(data_root: DataRoot, layers: LayerStore) -> None:
    bomb = gzip.compress(make_tar((make_member("zeros"), bytes(8 << 20))).getvalue())
    with pytest.raises(InvalidInput, match="more than"):
        layers.add(io.BytesIO(bomb), "", limits=Limits(size=4 << 20))
    assert state(data_root) == ([], [])


def test_row16_nobody_else_reaches_into_layers(data_root: DataRoot, layers: LayerStore) -> None:
    record = layers.add(tar(a="1"), "")
    program = f"import os; os.setuid(1000); os.listdir({layers.path(record.chain_id)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert b"PermissionError" in done.stderr
    assert data_root.root.stat().st_mode & 0o777 == 0o700


def test_an_upper_directory_is_adopted_without_copying(
    data_root: DataRoot, layers: LayerStore, upper: Upper
) -> None:
    created = upper({"etc/motd": "hello"})
    inode = os.stat(f"{created}/etc/motd").st_ino
    record = layers.adopt(created, "")
    assert os.stat(f"{layers.path(record.chain_id)}/etc/motd").st_ino == inode
    assert not os.path.exists(created)
    assert record.size == 5
    out = io.BytesIO()
    assert layers.pack(record.chain_id, out).diff_id == record.diff_id
    other = layers.add(io.BytesIO(out.getvalue()), "")
    assert other == record


def test_adopting_what_is_here_already_throws_the_copy_away(
    data_root: DataRoot, layers: LayerStore, upper: Upper
) -> None:
    created = upper({"f": "x"})
    os.utime(f"{created}/f", (1, 1))
    record = layers.adopt(created, "")
    created = upper({"f": "x"})
    os.utime(f"{created}/f", (1, 1))
    assert layers.adopt(created, "") == record
    assert state(data_root) == ([record.chain_id[7:]], [])


def test_files_are_told_against_the_layers_below(layers: LayerStore) -> None:
    lower = layers.add(make_tar(make_member("d", b"5"), (make_member("d/a"), b"1")), "")
    above = layers.add(
        make_tar(make_member("d", b"5"), make_member("d/.wh.a"), (make_member("d/b"), b"22")),
        lower.chain_id,
    )
    result, counts = layers.survey(above.chain_id, 100)
    shown = [(change.kind, change.path, change.size) for change in result]
    assert shown == [("C", "/d", 0), ("D", "/d/a", 0), ("A", "/d/b", 2)]
    assert counts == {"A": 1, "C": 1, "D": 1}
    assert [f.path for f in layers.survey(lower.chain_id, 100).differences] == ["/d", "/d/a"]
    assert layers.survey(lower.chain_id, 1) == (
        layers.survey(lower.chain_id, 9).differences[:1],
        {"A": 2, "C": 0, "D": 0},
    )


def test_a_layer_is_given_away_as_it_came(data_root: DataRoot, layers: LayerStore) -> None:
    """Its members are in an order that we would not write: only the blob has the bytes."""
    data = tar(z="1", a="2").getvalue()
    blob = BlobStore(data_root).put(io.BytesIO(gzip.compress(data)))
    record = layers.add(io.BytesIO(data), "")
    with pytest.raises(EngineBug, match="cannot be packed as it was"):
        layers.pack(record.chain_id, io.BytesIO())
    layers.set_blob(record.chain_id, blob, "application/vnd.oci.image.layer.v1.tar+gzip")
    out = io.BytesIO()
    assert layers.pack(record.chain_id, out).diff_id == record.diff_id
    assert out.getvalue() == data
    assert layers.get(record.chain_id).media_type.endswith("gzip")


# --- concurrency ------------------------------------------------------------------------------


def test_many_who_bring_the_same_layer_do_not_collide(data_root: DataRoot) -> None:
    data_root.prepare()
    start = threading.Barrier(6)
    result: list[LayerRecord] = []

    def bring() -> None:
        database = Database(data_root.database)  # a connection of its own, as another process has
        try:
            store = LayerStore(data_root, database)
            start.wait()
            lower = store.add(tar(a="1" * 1000), "")
            result.append(store.add(tar(b="2"), lower.chain_id))
        finally:
            database.close()

    threads = [threading.Thread(target=bring) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(result) == 6
    assert len(set(result)) == 1
    on_disk, scratch = state(data_root)
    assert (len(on_disk), scratch) == (2, [])


def test_a_process_killed_before_the_row_does_not_block_the_layer(
    data_root: DataRoot, layers: LayerStore
) -> None:
    record = layers.add(tar(a="1"), "")
    layers.remove_unused([record.chain_id])
    left = data_root.layers / record.chain_id[7:]
    (left / "diff/half").mkdir(parents=True)
    assert not layers.has(record.chain_id)
    assert layers.add(tar(a="1"), "") == record
    assert sorted(snapshot(layers.path(record.chain_id))) == ["a"]
    assert state(data_root)[1] == []


def test_a_killed_add_leaves_only_scratch(data_root: DataRoot, tmp_path: Path) -> None:
    data_root.prepare()
    program = f"""
import os, signal
from dockmagic_runtime.images import layers
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
area = DataRoot.at({str(data_root.root)!r})
layers.os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store = layers.LayerStore(area, Database(area.database))
store.add(open({str(tmp_path / "tar")!r}, "rb"), "")
"""
    (tmp_path / "tar").write_bytes(tar(a="1").getvalue())
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    assert state(data_root)[0] == []
    database = Database(data_root.database)
    try:
        store = LayerStore(data_root, database)
        assert store.has(store.add(tar(a="1"), "").chain_id)
    finally:
        database.close()


# --- removing ---------------------------------------------------------------------------------


@pytest.fixture
def pair(layers: LayerStore) -> tuple[LayerRecord, LayerRecord]:
    lower = layers.add(tar(a="1"), "")
    return lower, layers.add(tar(b="2"), lower.chain_id)


def test_unused_layers_go_with_their_init_layer_and_blob(
    data_root: DataRoot, layers: LayerStore, pair: tuple[LayerRecord, LayerRecord]
) -> None:
    lower, above = pair
    blobs = BlobStore(data_root)
    blob = blobs.put(io.BytesIO(b"compressed"))
    layers.set_blob(above.chain_id, blob, "x")
    (data_root.layers / f"{above.chain_id[7:]}-init").mkdir()
    assert layers.remove_unused([above.chain_id]) == (layers_with_blob(above, blob),)
    assert state(data_root) == ([lower.chain_id[7:]], [])
    assert not blobs.has(blob)
    assert layers.remove_unused([above.chain_id]) == ()


def layers_with_blob(record: LayerRecord, blob: str) -> LayerRecord:
    from msgspec.structs import replace

    return replace(record, blob=blob, media_type="x")


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO image_layers VALUES ('image', 0, :chain)",
        "INSERT INTO build_cache (key, chain_id, used) VALUES ('key', :chain, 0)",
        "INSERT INTO containers VALUES ('id', 'name', 'image', 0, :record)",
    ],
)
def test_what_an_image_the_cache_or_a_container_needs_stays(
    layers: LayerStore,
    database: Database,
    pair: tuple[LayerRecord, LayerRecord],
    query: str,
) -> None:
    lower, above = pair
    record = json.dumps({"id": "x", "layers": [above.chain_id, lower.chain_id]})
    with database.transaction() as connection:
        connection.execute("INSERT INTO images (id, config, created) VALUES ('image', '', 0)")
        connection.execute(query, {"chain": above.chain_id, "record": record})
    assert layers.remove_unused([above.chain_id, lower.chain_id]) == ()
    assert layers.prune() == 0
    assert layers.has(lower.chain_id)  # since the other is on top of it


def test_prune_takes_unused_chains_strangers_and_forgotten_blobs(
    data_root: DataRoot, layers: LayerStore, pair: tuple[LayerRecord, LayerRecord]
) -> None:
    blobs = BlobStore(data_root)
    old, young = blobs.put(io.BytesIO(b"old")), blobs.put(io.BytesIO(b"young"))
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(blobs.path(old), (long_ago, long_ago))
    (data_root.layers / ("ab" * 32)).mkdir()
    (data_root.layers / f"{'cd' * 32}-init").mkdir()
    (data_root.layers / "scratch-init").mkdir()
    assert layers.prune() == 2
    assert state(data_root) == (["scratch-init"], [])
    assert (blobs.has(old), blobs.has(young)) == (False, True)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_the_layer_of_another_program_is_kept_as_it_came(
    layers: LayerStore, data_root: DataRoot, compress: Callable[[bytes], bytes]
) -> None:
    foreign = tar(a="1").getvalue() + bytes(20_000)  # we would not pad it so
    record = layers.add_kept(io.BytesIO(compress(foreign)), "")
    assert record.diff_id == f"sha256:{hashlib.sha256(foreign).hexdigest()}"
    blob = hashlib.sha256(compress(foreign)).hexdigest()
    assert record.blob == f"sha256:{blob}"
    assert (data_root.blobs / blob).read_bytes() == compress(foreign)
    out = io.BytesIO()
    layers.pack(record.chain_id, out)
    assert out.getvalue() == foreign


def test_nothing_is_kept_of_a_layer_that_is_not_what_was_promised(
    layers: LayerStore, data_root: DataRoot
) -> None:
    data = tar(a="1").getvalue()
    promises: list[dict[str, Any]] = [{"digest": f"sha256:{'0' * 64}"}, {"size": len(data) - 1}]
    for promised in promises:
        with pytest.raises(RemoteFailed):
            layers.add_kept(io.BytesIO(data), "", **promised)
    assert list(data_root.blobs.iterdir()) == list(data_root.layers.iterdir()) == []


def test_what_a_build_is_about_to_need_is_not_pruned(
    data_root: DataRoot, layers: LayerStore, database: Database
) -> None:
    """Nor by another process: the lease is a file."""
    others = LayerStore(data_root, database)
    with layers.leasing():
        record = layers.add(tar(a="1"), "")
        assert others.prune() == 0
        assert layers.has(record.chain_id)
    assert others.prune() == 1
    assert not layers.has(record.chain_id)
    assert os.listdir(data_root.scratch) == []


def test_a_lease_that_was_released_writes_to_no_other_file(
    layers: LayerStore, data_root: DataRoot
) -> None:
    """Of builds side by side one notes its layers for all; another may have ended just now."""
    lease = layers.lease()
    lease.close()
    with (data_root.scratch / "other").open("w+b") as other:  # has the number that was given back
        lease.note("sha256:" + "0" * 64)
        lease.close()
        assert other.read() == b""
