"""The build cache: what a step made, by the key of everything that it depends on.

Keys are chained: each is a digest over its predecessor's, so a key stands for the whole history
of its stage down to the base image's id. A row is good only while its layer is there. Files are
digested into `contents`; the digests of single files are kept only to say later what changed.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.model.usage import CacheUsage
from dockmagic_runtime.store.database import Database

_FRESH: Final = 3600.0  # how exact "last used" is: an all-cached build writes nothing
_SHOWN: Final = 3
_FAILED: Final = "failed"  # the key of what the last step that failed has left
_KEPT_FILES: Final = 2000
_KEPT_FAILED: Final = 8  # failed steps whose files can be entered


def base_key(chain_id: str, epoch: int | None = None) -> str:
    """The key of a base image's layers, "" for none. Layers that were made with another
    SOURCE_DATE_EPOCH hold other times."""
    return _digest("base", chain_id, *([] if epoch is None else [str(epoch)]))


# Changes with what a step makes of the same input, so that no older result is taken for it.
_RULES = "2"


def step_key(parent: str, identity: str, contents: str = "") -> str:
    return _digest("step", _RULES, parent, identity, contents)


def files_key(parent: str, identity: str) -> str:
    """The key of the digests of single files that a COPY took, whatever their contents were."""
    return _digest("files", parent, identity)


def tree_key(
    chain_id: str, sources: Iterable[str], excludes: Iterable[str], *, parents: bool = False
) -> str:
    """The key of the content digest of sources in an image or a stage."""
    return _digest("tree", chain_id, json.dumps([list(sources), list(excludes), parents]))


def remote_key(url: str) -> str:
    """The key of what a server last said about a file."""
    return _digest("remote", url)


def series_key(*names: str) -> str:
    """The key of the parts of the last build's keys."""
    return _digest("series", *names)


def explanation_key(image_id: str) -> str:
    """The key of the explanation of how an image was built."""
    return _digest("explanation", image_id)


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()


class BuildCache:
    """Rows of the table `build_cache`. New ones are written together, by `flush`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()  # stages are built side by side
        self._new: dict[str, tuple[str, str]] = {}
        self._old: list[str] = []

    def find(self, key: str, *, since: float = 0.0) -> tuple[Result | None, str]:
        """The result under `key`; or None and the reason, empty when there was never one.

        `since` (seconds since the epoch) passes over what was last used before.
        """
        row = self._database.row(
            "SELECT build_cache.chain_id, facts, used, layers.chain_id FROM build_cache "
            "LEFT JOIN layers ON layers.chain_id = build_cache.chain_id WHERE key = ?",
            key,
        )
        if row is None or row[2] < since:
            return None, ""
        chain_id, facts, used, kept = row
        if chain_id and kept is None:
            return None, "the layer it made is no longer there"
        if used < time.time() - _FRESH:
            with self._lock:
                self._old.append(key)
        return Result(chain_id=chain_id, **json.loads(facts)), ""

    def facts(self, key: str) -> dict[str, Any] | None:
        """The facts of a row that is no result."""
        row = self._database.row("SELECT facts FROM build_cache WHERE key = ?", key)
        return None if row is None else json.loads(row[0])

    def add(self, key: str, result: Result) -> None:
        facts = {"created": result.created, "diff_id": result.diff_id, "size": result.size}
        with self._lock:
            self._new[key] = (result.chain_id, json.dumps(facts))

    def add_facts(self, key: str, facts: dict[str, Any]) -> None:
        with self._lock:
            self._new[key] = ("", json.dumps(facts))

    def add_failed(self, chain_id: str, document: bytes, chain_ids: Sequence[str]) -> str:
        """Keeps what a failed step has left: as an image's config, not made yet, and its layers.
        Returns the name of it; only the last few are kept."""
        facts = {"document": document.decode("utf-8", "surrogatepass"), "chain_ids": chain_ids}
        name = hashlib.sha256(document).hexdigest()[:12]
        with self._lock:
            self._new[f"{_FAILED}-{name}"] = (chain_id, json.dumps(facts))
            self._new[_FAILED] = ("", json.dumps({"left": name}))
        self.flush()
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM build_cache WHERE key LIKE ?1 AND key NOT IN (SELECT key FROM "
                "build_cache WHERE key LIKE ?1 ORDER BY used DESC, key LIMIT ?2)",
                (f"{_FAILED}-%", _KEPT_FAILED),
            )
        return name

    def failed(self, name: str = "") -> tuple[bytes, tuple[str, ...]] | None:
        """What `add_failed` was given last, or under that name, unless it was forgotten since."""
        last = None if name else self.facts(_FAILED)
        facts = self.facts(f"{_FAILED}-{name or (last or {}).get('left', '')}")
        if facts is None:
            return None
        return facts["document"].encode("utf-8", "surrogatepass"), tuple(facts["chain_ids"])

    def add_files(self, key: str, files: dict[str, str]) -> None:
        """Keeps the digests of single files, unless they are too many to be compared by name."""
        if len(files) <= _KEPT_FILES:
            self.add_facts(key, {"files": files})

    def flush(self) -> None:
        """Write what is new, in one transaction; nothing when there is nothing."""
        with self._lock:
            new, self._new = self._new, {}
            old, self._old = self._old, []
        if not new and not old:
            return
        now = time.time()
        rows = [(key, chain_id, facts, now) for key, (chain_id, facts) in new.items()]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO build_cache VALUES (?, ?, ?, ?)", rows)
            connection.executemany(
                "UPDATE build_cache SET used = ? WHERE key = ?", [(now, key) for key in old]
            )


_UNUSED: Final = "chain_id != '' AND chain_id NOT IN (SELECT chain_id FROM image_layers)"


def forget(database: Database, *, unused_only: bool = False, before: float = float("inf")) -> None:
    """Empty the cache of what was used last `before`; with `unused_only`, only let go of layers
    that no image has. To remove them is for the layer store."""
    where = f" AND {_UNUSED}" if unused_only else ""
    with database.transaction() as connection:
        connection.execute(f"DELETE FROM build_cache WHERE used < ?{where}", (before,))


def forget_down_to(
    database: Database, goal: int, *, unused_only: bool = False, before: float = float("inf")
) -> None:
    """Let go of results with layers, those first that were used longest ago, until the others
    have `goal` bytes; what the conditions of `forget` spare stays."""
    kept, gone = 0, []
    for entry in usage(database):
        if kept + entry.size <= goal or entry.used >= before or (unused_only and entry.in_use):
            kept += entry.size
        else:
            gone.append((entry.id,))
    with database.transaction() as connection:
        connection.executemany("DELETE FROM build_cache WHERE key = ?", gone)


def usage(database: Database) -> tuple[CacheUsage, ...]:
    """The results that have a layer, the last used first."""
    rows = database.rows(
        "SELECT key, size, chain_id IN (SELECT chain_id FROM image_layers), facts, used "
        "FROM build_cache JOIN layers USING (chain_id) ORDER BY used DESC, key"
    )
    return tuple(
        CacheUsage(
            id=key,
            size=size,
            in_use=bool(in_use),
            created=str(json.loads(facts).get("created", "")),
            used=used,
        )
        for key, size, in_use, facts, used in rows
    )


def what_changed(before: dict[str, str], after: dict[str, str]) -> str:
    """Which files made a COPY's contents different, in a few words."""
    parts = [
        _listed(
            "changed", [name for name in after if name in before and after[name] != before[name]]
        ),
        _listed("new", [name for name in after if name not in before]),
        _listed("gone", [name for name in before if name not in after]),
    ]
    return "; ".join(part for part in parts if part) or "the copied directories changed"


def _listed(word: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{word}: {', '.join(sorted(names)[:_SHOWN])}{more}"
