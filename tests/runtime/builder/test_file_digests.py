"""Contents' digests: what counts, what does not, and when they are remembered."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dockmagic_runtime.builder.context import file_digests
from dockmagic_runtime.builder.context.file_digests import ContextDigests, FileDigests
from dockmagic_runtime.builder.context.tree import SourceTree
from dockmagic_runtime.dockerfile.ignore_rules import IgnoreRules
from dockmagic_runtime.linux.root import Root

NOTHING = IgnoreRules(())


def digest(top: Path, *sources: str, owned: bool = False) -> str:
    with Root.at(str(top)) as root:
        tree = SourceTree(root, owned=owned)
        return tree.digest(tree.find(sources or (".",)), NOTHING)[0]


def test_names_contents_modes_and_links_count_and_times_do_not(tmp_path: Path) -> None:
    seen = [digest(tmp_path)]
    (tmp_path / "a").write_text("1")
    seen.append(digest(tmp_path))
    os.utime(tmp_path / "a", (1, 1))
    assert digest(tmp_path) == seen[-1]
    (tmp_path / "a").write_text("2")
    seen.append(digest(tmp_path))
    (tmp_path / "a").chmod(0o755)
    seen.append(digest(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.append(digest(tmp_path))
    (tmp_path / "l").symlink_to("b")
    seen.append(digest(tmp_path))
    (tmp_path / "l").unlink()
    (tmp_path / "l").symlink_to("c")
    seen.append(digest(tmp_path))
    (tmp_path / "d").mkdir()
    seen.append(digest(tmp_path))
    assert len(set(seen)) == len(seen)


def test_the_same_bytes_under_two_boundaries_differ(tmp_path: Path) -> None:
    for name, files in {"one": {"a": "bc"}, "two": {"ab": "c"}}.items():
        (tmp_path / name).mkdir()
        for path, text in files.items():
            (tmp_path / name / path).write_text(text)
    assert digest(tmp_path, "one") != digest(tmp_path, "two")


def test_the_name_of_a_single_source_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    assert digest(tmp_path, "a") != digest(tmp_path, "b")


def times_read(folder: Path, *, age: int) -> int:
    """How often a file of that age, in nanoseconds, is read when it is asked for three times."""
    path = folder / "a"
    path.write_text("x")
    fd = os.open(folder, os.O_PATH)
    known = FileDigests()
    try:
        with (
            patch.object(file_digests, "_digest", return_value="digest") as read,
            patch("time.time_ns", return_value=path.stat().st_ctime_ns + age),
        ):
            for _ in range(3):
                assert known.of(fd, "a", path.stat()) == "digest"
        return read.call_count
    finally:
        os.close(fd)


def test_an_unchanged_old_file_is_read_once(tmp_path: Path) -> None:
    assert times_read(tmp_path, age=10**10) == 1


def test_a_file_changed_just_now_is_read_again(tmp_path: Path) -> None:
    assert times_read(tmp_path, age=10**6) == 3


def old_files(directory: Path, count: int) -> None:
    directory.mkdir()
    for number in range(count):
        (directory / str(number)).write_text(str(number))


def later() -> Any:
    """The clock of a moment at which no file is young."""
    return patch("time.time_ns", return_value=time.time_ns() + 10**10)


def whole(context: Path, known: ContextDigests) -> str:
    with Root.at(str(context)) as root:
        tree = SourceTree(root, digests=known.of(root))
        return tree.digest(tree.find(["."]), NOTHING)[0]


def test_a_large_context_is_remembered_beyond_the_process(tmp_path: Path) -> None:
    context, kept = tmp_path / "context", str(tmp_path / "kept")
    old_files(context, 300)
    with later():
        first = ContextDigests(kept)
        digest_before = whole(context, first)
        first.save()
        with patch.object(file_digests, "_digest", side_effect=AssertionError("read again")):
            assert whole(context, ContextDigests(kept)) == digest_before
        (context / "7").write_text("changed")
        assert whole(context, ContextDigests(kept)) != digest_before


def test_a_small_context_leaves_no_file(tmp_path: Path) -> None:
    context, kept = tmp_path / "context", tmp_path / "kept"
    old_files(context, 3)
    with later():
        known = ContextDigests(str(kept))
        whole(context, known)
        known.save()
    assert not kept.exists()


def test_a_damaged_memory_is_no_harm(tmp_path: Path) -> None:
    context, kept = tmp_path / "context", tmp_path / "kept"
    old_files(context, 300)
    with later():
        known = ContextDigests(str(kept))
        right = whole(context, known)
        known.save()
        (only,) = kept.iterdir()
        only.write_bytes(b"garbage")
        assert whole(context, ContextDigests(str(kept))) == right
        known.forget()
    assert list(kept.iterdir()) == []


def test_a_young_file_is_not_remembered_either(tmp_path: Path) -> None:
    context, kept = tmp_path / "context", tmp_path / "kept"
    old_files(context, 300)
    known = ContextDigests(str(kept))
    whole(context, known)
    known.save()
    assert not kept.exists()
