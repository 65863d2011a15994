"""The document of a cache that leaves the machine: BuildKit's shape, with keys of our own. Pure.

BuildKit's cache config lists layers and records, and a record names a result by a digest. Ours
name them by our own keys and say a little more of each, which BuildKit passes over: each reads
what the other wrote, and finds no result that it could mistake for one of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.errors import RemoteFailed

CONFIG_TYPE: Final = "application/vnd.buildkit.cacheconfig.v0"
INLINE_FIELD: Final = "moby.buildkit.cache.v0"
_OURS: Final = "dockmagic"
_KEY: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST: Final = _KEY
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class CacheRecord(Struct, frozen=True, kw_only=True):
    """What a step came to, by its key. `layer` is its place among the layers, None for none."""

    key: str
    created: str
    diff_id: str = ""
    size: int = 0
    layer: int | None = None


def encode(records: Iterable[CacheRecord], blobs: Sequence[tuple[str, int]]) -> bytes:
    """`blobs` are the layers: each one's digest ("" where an image says it) and the place of the
    layer below it, -1 for none."""
    document = {
        "layers": [{**({"blob": blob} if blob else {}), "parent": below} for blob, below in blobs],
        "records": [_record(record) for record in records],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _record(record: CacheRecord) -> dict[str, Any]:
    ours = {"created": record.created, "diff_id": record.diff_id, "size": record.size}
    document: dict[str, Any] = {"digest": f"sha256:{record.key}", _OURS: ours}
    if record.layer is not None:
        document["layers"] = [{"layer": record.layer, "createdAt": record.created}]
    return document


def decode(data: bytes, count: int) -> dict[str, CacheRecord]:
    """The records of ours, by key; `count` layers can be named. Raises RemoteFailed."""
    try:
        records = json.loads(data).get("records") or []
        decoded = [_read(record, count) for record in records if _OURS in record]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise RemoteFailed(f"the build cache's document is malformed: {error}") from None
    return {record.key: record for record in decoded}


def _read(record: dict[str, Any], count: int) -> CacheRecord:
    ours, layers = record[_OURS], record.get("layers") or []
    layer = int(layers[0]["layer"]) if layers else None
    diff_id = str(ours.get("diff_id", ""))
    if not _KEY.fullmatch(str(record["digest"])):
        raise ValueError("a record without a key")
    if not _MOMENT.fullmatch(str(ours["created"])):
        raise ValueError("a record without a time")
    if layer is not None and not (0 <= layer < count and _DIGEST.fullmatch(diff_id)):
        raise ValueError("a record whose layer is not there")
    return CacheRecord(
        key=record["digest"].removeprefix("sha256:"),
        created=str(ours["created"]),
        diff_id=diff_id if layer is not None else "",
        size=int(ours.get("size", 0)),
        layer=layer,
    )


def as_result(record: CacheRecord, chain_id: str) -> Result:
    """As the local cache has it."""
    if record.layer is None:
        return Result(created=record.created)
    return Result(
        created=record.created, chain_id=chain_id, diff_id=record.diff_id, size=record.size
    )
