"""Keys and what is kept under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.builder.cache.store import (
    BuildCache,
    base_key,
    files_key,
    step_key,
    tree_key,
    what_changed,
)
from dockmagic_runtime.builder.results import Result
from dockmagic_runtime.model.usage import CacheBounds
from dockmagic_runtime.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.db")
    yield database
    database.close()


def test_everything_that_goes_into_a_key_changes_it() -> None:
    keys = {
        base_key("a"),
        base_key("b"),
        step_key("a", "b"),
        step_key("a", "b", "c"),
        step_key("ab", ""),
        step_key("", "ab"),
        files_key("a", "b"),
        tree_key("a", ["b"], []),
        tree_key("a", [], ["b"]),
    }
    assert len(keys) == 9
    assert step_key("a", "b") == step_key("a", "b")


def test_a_result_is_found_once_it_is_flushed(database: Database) -> None:
    cache = BuildCache(database)
    result = Result(created="2025-01-01T00:00:00.000000000Z")
    cache.add("key", result)
    assert cache.find("key") == (None, "")
    cache.flush()
    assert BuildCache(database).find("key") == (result, "")


def test_a_result_without_its_layer_is_none_with_a_reason(database: Database) -> None:
    cache = BuildCache(database)
    cache.add("key", Result(created="now", chain_id="sha256:1", diff_id="sha256:2", size=3))
    cache.flush()
    assert cache.find("key") == (None, "the layer it made is no longer there")


def test_use_is_noted_now_and_then_only(database: Database) -> None:
    cache = BuildCache(database)
    cache.add("key", Result(created="now"))
    cache.flush()
    with database.transaction() as connection:
        connection.execute("UPDATE build_cache SET used = 1")
    cache.find("key")
    cache.flush()
    row = database.row("SELECT used FROM build_cache")
    assert row is not None
    assert row[0] > 1
    changes = database.row("SELECT total_changes()")
    cache.find("key")
    cache.flush()
    assert database.row("SELECT total_changes()") == changes


def test_files_too_many_to_be_told_are_not_kept(database: Database) -> None:
    cache = BuildCache(database)
    cache.add_files("few", {"a": "1"})
    cache.add_files("many", {str(n): "1" for n in range(3000)})
    cache.flush()
    assert cache.facts("few") == {"files": {"a": "1"}}
    assert cache.facts("many") is None


def test_what_changed_is_told_in_a_few_words() -> None:
    before = dict.fromkeys("abcdef", "1")
    assert what_changed(before, before) == "the copied directories changed"
    assert what_changed(before, before | {"a": "2"}) == "changed: a"
    after = dict.fromkeys("abcde", "2") | {"x": "1"}
    assert what_changed(before, after) == "changed: a, b, c and 2 more; new: x; gone: f"


@pytest.mark.parametrize(
    ("bounds", "goal"),
    [
        (CacheBounds(), 0),
        (CacheBounds(reserved=7), 7),
        (CacheBounds(max_used=60), 60),
        (CacheBounds(max_used=600), 100),
        (CacheBounds(min_free=70), 80),
        (CacheBounds(min_free=50), 100),
        (CacheBounds(min_free=5000), 0),
        (CacheBounds(max_used=60, reserved=90), 90),
    ],
)
def test_bounds_of_the_cache(bounds: CacheBounds, goal: int) -> None:
    """Of 100 bytes, on a disk with 50 free."""
    assert bounds.goal(100, 50) == goal
