"""Contents' digests: what counts, what does not, and when they are remembered."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

from dockmagic_runtime.builder import digests
from dockmagic_runtime.builder.digests import FileDigests
from dockmagic_runtime.builder.tree import SourceTree
from dockmagic_runtime.dockerfile.gopattern import IgnoreRules
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


def test_an_unchanged_old_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    fd = os.open(tmp_path, os.O_PATH)
    known = FileDigests()
    try:
        with (
            patch.object(digests, "_digest", return_value="digest") as read,
            patch("time.time_ns", return_value=path.stat().st_ctime_ns + 10**10),
        ):
            for _ in range(3):
                assert known.of(fd, "a", path.stat()) == "digest"
        assert read.call_count == 1
    finally:
        os.close(fd)


def test_a_file_changed_just_now_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    fd = os.open(tmp_path, os.O_PATH)
    known = FileDigests()
    try:
        with (
            patch.object(digests, "_digest", return_value="digest") as read,
            patch("time.time_ns", return_value=path.stat().st_ctime_ns + 10**6),
        ):
            known.of(fd, "a", path.stat())
            known.of(fd, "a", path.stat())
        assert read.call_count == 2
    finally:
        os.close(fd)
