"""`LayerStore`: unpacked layers, each under its chain id, as overlay's lower directories.

A layer is prepared in the area's scratch directory. Its rename into place and its row happen in
one write transaction, which is also the lock between processes: of two that bring the same layer
the second finds the row and throws its copy away. A directory without a row is what a killed
process left, and gives way. There is no fsync: a layer can be pulled or built again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.errors import EngineBug, NotFound
from dockmagic_runtime.model.reference import digest_hex
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.scratch import scratch_directory

if TYPE_CHECKING:
    from dockmagic_runtime.images.blobs import BlobStore
    from dockmagic_runtime.images.changes import Survey
    from dockmagic_runtime.images.compression import Readable
    from dockmagic_runtime.images.lease import Lease
    from dockmagic_runtime.images.limits import Limits
    from dockmagic_runtime.images.pack import Packed, Writable
    from dockmagic_runtime.images.unpack import Unpacked

_COLUMNS: Final = "chain_id, diff_id, parent, size, blob, media_type"
# what keeps a layer: an image, the build cache, a container, a layer on top of it
_UNUSED: Final = """
DELETE FROM layers WHERE chain_id = ?1
AND NOT EXISTS (SELECT 1 FROM image_layers WHERE chain_id = ?1)
AND NOT EXISTS (SELECT 1 FROM build_cache WHERE chain_id = ?1)
AND NOT EXISTS (SELECT 1 FROM layers AS above WHERE above.parent = ?1)
AND NOT EXISTS (
    SELECT 1 FROM containers, json_each(containers.spec, '$.layers') AS held WHERE held.value = ?1
)
AND NOT EXISTS (
    SELECT 1 FROM containers, json_tree(containers.spec, '$.mounted_images') AS held
    WHERE held.atom = ?1
)
"""


class LayerRecord(Struct, frozen=True, kw_only=True):
    """`size` is the tree's, as `tree_size` counts; `blob` the digest it was pulled as, if any."""

    chain_id: str
    diff_id: str
    parent: str
    size: int
    blob: str = ""
    media_type: str = ""


class LayerStore:
    """The layers of one Docker area."""

    def __init__(self, data_root: DataRoot, database: Database) -> None:
        self._directory = data_root.layers_path
        self._scratch = data_root.scratch_path
        self._database = database
        self._data_root = data_root
        self._active_leases: list[Lease] = []

    @cached_property
    def _blobs(self) -> BlobStore:
        from dockmagic_runtime.images.blobs import BlobStore

        return BlobStore(self._data_root)

    # --- asking ----------------------------------------------------------------------------

    def path(self, chain_id: str) -> str:
        """The directory of an unpacked layer, to be used as a lower directory of an overlay."""
        return f"{self._directory}/{digest_hex(chain_id)}/diff"

    def has(self, chain_id: str) -> bool:
        query = "SELECT 1 FROM layers WHERE chain_id = ?"
        return self._database.row(query, chain_id) is not None

    def get(self, chain_id: str) -> LayerRecord:
        """Raises NotFound."""
        row = self._database.row(f"SELECT {_COLUMNS} FROM layers WHERE chain_id = ?", chain_id)
        if row is None:
            raise NotFound(f"No such layer: {chain_id}")
        return _record(row)

    def present(self, chain_ids: Sequence[str]) -> tuple[LayerRecord, ...]:
        """Those that are here now; another process may be removing the others."""
        query = f"SELECT {_COLUMNS} FROM layers WHERE chain_id = ?"
        rows = (self._database.row(query, chain_id) for chain_id in chain_ids)
        return tuple(_record(row) for row in rows if row is not None)

    def chain(self, chain_id: str) -> tuple[LayerRecord, ...]:
        """The layer and all below it, topmost first. "" is the empty chain."""
        records: list[LayerRecord] = []
        while chain_id:
            records.append(self.get(chain_id))
            chain_id = records[-1].parent
        return tuple(records)

    def lowers(self, chain_id: str) -> tuple[str, ...]:
        """Overlay's lower directories for what goes on top of `chain_id`, topmost first."""
        return tuple(self.path(record.chain_id) for record in self.chain(chain_id))

    def survey(self, chain_id: str, limit: int) -> Survey:
        """What the layer adds, changes and deletes of those below it; at most `limit` paths."""
        from dockmagic_runtime.images.changes import survey

        below = self.lowers(self.get(chain_id).parent)
        return survey(self.path(chain_id), below, limit, sizes=True)

    def lease(self) -> Lease:
        """Protects layers until an image row references them."""
        from dockmagic_runtime.images.lease import Lease

        return Lease(self._scratch, self._database)

    @contextmanager
    def leasing(self) -> Iterator[None]:
        """All layers that this store places meanwhile are leased until the end of it.

        For a build or a commit, which makes layers first and what needs them later.
        """
        with self.lease() as lease:
            self._active_leases.append(lease)
            try:
                yield
            finally:
                self._active_leases.remove(lease)

    @contextmanager
    def unpack_lock(self, chain_id: str, pause: Callable[[float], object]) -> Iterator[None]:
        """Held while a layer is unpacked: other processes wait, and find it there afterwards."""
        from dockmagic_runtime.images.scratch_gc import UNPACK_LOCK
        from dockmagic_runtime.store.locks import held_file

        path = f"{self._scratch}/{UNPACK_LOCK}{digest_hex(chain_id)}"
        with held_file(path, pause):
            try:
                yield
            finally:
                os.unlink(path)

    # --- bringing --------------------------------------------------------------------------

    def add(
        self,
        stream: Readable,
        parent: str,
        *,
        expected_diff_id: str = "",
        limits: Limits | None = None,
        blob: str = "",
        media_type: str = "",
    ) -> LayerRecord:
        """Unpack a layer's tar, compressed or not, on top of the chain `parent` ("" for none).

        With `expected_diff_id`, a layer that is here already is not even read, and one that turns
        out to be another is refused. Idempotent. `blob` is where the stream is kept, if it is.
        """
        if present := self._present(parent, expected_diff_id):
            return present
        with self._prepared() as prepared:
            unpacked = self._unpack(prepared, stream, parent, expected_diff_id, limits)
            return self._place(prepared, _unpacked_record(unpacked, parent, blob, media_type))

    def add_kept(
        self,
        stream: Readable,
        parent: str,
        *,
        expected_diff_id: str = "",
        limits: Limits | None = None,
        digest: str = "",
        size: int | None = None,
    ) -> LayerRecord:
        """The same for a layer of another program, which perhaps cannot be packed again.

        Then they are kept as a blob. It is to have this `digest` and `size` if they are promised.
        """
        from dockmagic_runtime.images.blob_tee import TAR, BlobTee

        if present := self._present(parent, expected_diff_id):
            return present
        with (
            self._prepared() as prepared,
            BlobTee(self._blobs, stream, digest=digest, size=size) as keeper,
        ):
            unpacked = self._unpack(prepared, keeper, parent, expected_diff_id, limits)
            blob = keeper.commit(unpacked.diff_id)
            record = _unpacked_record(unpacked, parent, blob, keeper.media_type)
            if keeper.media_type != TAR or not self._packs_to(prepared, blob):
                return self._place(prepared, record)
            placed = self._place(prepared, replace(record, blob="", media_type=""))
            self._remove_blobs([record])
            return placed

    def _packs_to(self, prepared: str, blob: str) -> bool:
        """Whether the blob is what we would write ourselves, and so need not be kept."""
        from dockmagic_runtime.images.pack import packs_to

        with self._blobs.open_raw(blob) as file:
            return packs_to(f"{prepared}/diff", file)

    def _present(self, parent: str, expected_diff_id: str) -> LayerRecord | None:
        from dockmagic_runtime.images import oci_documents

        if not expected_diff_id:
            return None
        chain_id = oci_documents.chain_id(parent, expected_diff_id)
        return self.get(chain_id) if self.has(chain_id) else None

    def _unpack(
        self,
        prepared: str,
        stream: Readable,
        parent: str,
        expected_diff_id: str,
        limits: Limits | None,
    ) -> Unpacked:
        from dockmagic_runtime.images.unpack import unpack

        os.mkdir(f"{prepared}/diff")
        return unpack(
            stream,
            f"{prepared}/diff",
            expected_diff_id=expected_diff_id,
            lowers=self.lowers(parent),
            limits=limits,
        )

    def adopt(self, upper: str, parent: str) -> LayerRecord:
        """Make an overlay's upper directory, unmounted, a layer on top of the chain `parent`.

        The directory is moved, not copied: it must be on the layers' file system.
        """
        from dockmagic_runtime.images import oci_documents
        from dockmagic_runtime.images.pack import pack

        packed = pack(upper)
        record = LayerRecord(
            chain_id=oci_documents.chain_id(parent, packed.diff_id),
            diff_id=packed.diff_id,
            parent=parent,
            size=packed.size,
        )
        with self._prepared() as prepared:
            os.rename(upper, f"{prepared}/diff")
            return self._place(prepared, record)

    def _prepared(self) -> AbstractContextManager[str]:
        return scratch_directory(self._scratch, "layer")

    def _place(self, prepared: str, record: LayerRecord) -> LayerRecord:
        """Rename the prepared directory into place, unless another process was quicker."""
        target = f"{self._directory}/{digest_hex(record.chain_id)}"
        with self._prepared() as trash, self._database.transaction() as connection:
            for lease in tuple(self._active_leases):
                lease.note(record.chain_id)
            if _row_exists(connection, record.chain_id):
                return record
            if record.parent and not _row_exists(connection, record.parent):
                raise NotFound(f"No such layer: {record.parent}")
            if os.path.lexists(target):
                os.rename(target, f"{trash}/left")
            os.rename(prepared, target)
            connection.execute(
                f"INSERT INTO layers ({_COLUMNS}, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    record.chain_id,
                    record.diff_id,
                    record.parent,
                    record.size,
                    record.blob,
                    record.media_type,
                    time.time(),
                ),
            )
        return record

    def set_blob(self, chain_id: str, blob: str, media_type: str) -> None:
        """Note under which digest a registry or an archive has the layer, instead of before."""
        before = self.get(chain_id)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE layers SET blob = ?, media_type = ? WHERE chain_id = ?",
                (blob, media_type, chain_id),
            )
        self._remove_blobs([before])

    # --- giving away -----------------------------------------------------------------------

    def pack(self, chain_id: str, out: Writable) -> Packed:
        """Write the layer's tar, byte for byte the one that its diff id names.

        From the blob if there is one; else from the directory, which gives the same bytes for
        every layer that was made here.
        """
        record = self.get(chain_id)
        if record.blob and self._blobs.has(record.blob):
            return self._unpacked_blob(record, out)
        from dockmagic_runtime.images.pack import pack

        packed = pack(self.path(chain_id), out)
        if packed.diff_id != record.diff_id:
            raise EngineBug(
                f"layer {chain_id} cannot be packed as it was: got {packed.diff_id}, "
                f"expected {record.diff_id}",
                hint="it was made by another program and its blob is gone; pull it again",
            )
        return packed

    def _unpacked_blob(self, record: LayerRecord, out: Writable) -> Packed:
        from dockmagic_runtime.images.compression import decompressed
        from dockmagic_runtime.images.pack import Packed

        with self._blobs.open(record.blob) as reader:
            for chunk in decompressed(reader):
                out.write(chunk)
        return Packed(record.diff_id, record.size, 0)

    # --- removing --------------------------------------------------------------------------

    def remove_unused(self, chain_ids: Sequence[str]) -> tuple[LayerRecord, ...]:
        """Remove those of `chain_ids` (topmost first) that nothing needs; what was removed.

        Needed by: an image, the build cache, a container, a layer on top, a lease.
        """
        from dockmagic_runtime.images.lease import leased

        records = self.present(chain_ids)
        with self._database.transaction() as connection:
            spared = leased(self._scratch)
            removed = tuple(
                record
                for record in records
                if record.chain_id not in spared
                and connection.execute(_UNUSED, (record.chain_id,)).rowcount
            )
        self._remove_directories([record.chain_id for record in removed])
        self._remove_blobs(removed)
        return removed

    def prune(self) -> int:
        """Remove all layers that nothing needs, and directories and blobs that no row knows.

        The bytes of the layers' files.
        """
        from dockmagic_runtime.images.scratch_gc import sweep

        freed = 0
        while removed := self.remove_unused(self._tops()):
            freed += sum(record.size for record in removed)
        self._remove_directories(self._strangers())
        self._remove_unreferenced_blobs()
        sweep(self._scratch)
        return freed

    def _tops(self) -> list[str]:
        rows = self._database.rows(
            "SELECT chain_id FROM layers WHERE chain_id NOT IN (SELECT parent FROM layers)"
        )
        return [chain_id for (chain_id,) in rows]

    def _strangers(self) -> list[str]:
        known = {chain for (chain,) in self._database.rows("SELECT chain_id FROM layers")}
        names = {name.partition("-")[0] for name in os.listdir(self._directory)}
        return [f"sha256:{n}" for n in names if _is_hex(n) and f"sha256:{n}" not in known]

    def _remove_directories(self, chain_ids: Collection[str]) -> None:
        """After their rows: so a row never lacks its directory, whenever we are killed."""
        with self._prepared() as trash, self._database.transaction() as connection:
            for chain_id in chain_ids:
                if not _row_exists(connection, chain_id):  # no process has added it again
                    self._move_to_trash(digest_hex(chain_id), trash)

    def _move_to_trash(self, name: str, trash: str) -> None:
        for entry in (
            name,
            f"{name}-init",
            f"{name}-step",
        ):  # containers keep their mount points beside the layer
            try:
                os.rename(f"{self._directory}/{entry}", f"{trash}/{entry}")
            except FileNotFoundError:
                pass  # there was none

    def _remove_blobs(self, removed: Sequence[LayerRecord]) -> None:
        with self._database.transaction():  # so that no row comes to name it in between
            for blob in {record.blob for record in removed if record.blob}:
                if self._database.row("SELECT 1 FROM layers WHERE blob = ?", blob) is None:
                    self._blobs.delete(blob)

    def _remove_unreferenced_blobs(self) -> None:
        """Blobs that no row names; young ones may belong to a pull that is under way."""
        from dockmagic_runtime.images.scratch_gc import GRACE

        rows = self._database.rows("SELECT blob FROM layers UNION SELECT manifest FROM images")
        known = {digest for (digest,) in rows}
        for digest in self._blobs.digests():
            if digest not in known and self._blobs.age(digest) > GRACE:
                self._blobs.delete(digest)


def _unpacked_record(unpacked: Unpacked, parent: str, blob: str, media_type: str) -> LayerRecord:
    from dockmagic_runtime.images import oci_documents

    return LayerRecord(
        chain_id=oci_documents.chain_id(parent, unpacked.diff_id),
        diff_id=unpacked.diff_id,
        parent=parent,
        size=unpacked.size,
        blob=blob,
        media_type=media_type,
    )


def _record(row: tuple[object, ...]) -> LayerRecord:
    names = _COLUMNS.split(", ")
    return LayerRecord(**dict(zip(names, row, strict=True)))  # type: ignore[arg-type]


def _row_exists(connection: sqlite3.Connection, chain_id: str) -> bool:
    query = "SELECT 1 FROM layers WHERE chain_id = ?"
    return connection.execute(query, (chain_id,)).fetchone() is not None


def _is_hex(name: str) -> bool:
    return len(name) == 64 and set(name) <= set("0123456789abcdef")
