"""A way down a tree and back, in trees of any depth and in such that are moved meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.linux import directory_stack as module
from dockmagic_runtime.linux.directory_stack import DIRECTORY, DirectoryStack
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.testing.trees import deepen

DEEP = 1000


def levels(number: int) -> list[str]:
    return [f"d{level}" for level in range(number)]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """`d0/d1/…`, taken away again: it is too deep for shutil."""
    top = tmp_path / "deep"
    top.mkdir()
    deepen(top, levels(DEEP))
    yield top
    remove_tree(str(top))


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def start(*tops: Path) -> DirectoryStack:
    return DirectoryStack([os.open(top, DIRECTORY) for top in tops])


def enter(way: DirectoryStack, name: str) -> None:
    fds = [os.open(name, DIRECTORY, dir_fd=fd) for fd in way.fds]
    way.enter(name, fds, list(way.trees))


def identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def test_it_comes_back_to_each_directory_with_few_descriptors(deep: Path) -> None:
    free = len(os.listdir("/proc/self/fd"))
    with start(deep) as way:
        passed = [identity(way.fds[0])]
        for name in levels(DEEP):
            enter(way, name)
            passed.append(identity(way.fds[0]))
            assert len(os.listdir("/proc/self/fd")) <= free + module._MOST
        for expected in passed[-2::-1]:
            assert way.leave()
            assert identity(way.fds[0]) == expected
            assert len(os.listdir("/proc/self/fd")) <= free + module._MOST


def test_several_trees_stay_beside_each_other(deep: Path, tmp_path: Path) -> None:
    """Also when one of them ends on the way."""
    other = tmp_path / "other"
    other.mkdir()
    deepen(other, levels(300))
    with start(deep, other) as way:
        passed = []
        for level in range(300):
            enter(way, f"d{level}")
            passed.append(list(map(identity, way.fds)))
        for level in range(300, 600):
            way.enter(f"d{level}", [os.open(f"d{level}", DIRECTORY, dir_fd=way.fds[0])], [0])
        for _ in range(300):
            assert way.leave()
        assert list(way.trees) == [0, 1]
        for expected in reversed(passed):
            assert list(map(identity, way.fds)) == expected
            assert way.leave()
    remove_tree(str(other))


def test_more_trees_than_descriptors_are_kept_are_walked_all_the_same(tmp_path: Path) -> None:
    tops = [tmp_path / str(number) for number in range(module._MOST + 10)]
    for top in tops:
        (top / "a/b").mkdir(parents=True)
    with start(*tops) as way:
        top_of_all = list(map(identity, way.fds))
        enter(way, "a")
        middle = list(map(identity, way.fds))
        enter(way, "b")
        assert way.leave()
        assert list(map(identity, way.fds)) == middle
        assert way.leave()
        assert list(map(identity, way.fds)) == top_of_all


@pytest.mark.parametrize("replacement", ["nothing", "a link", "a file", "a directory"])
def test_what_was_moved_away_is_not_found_again_and_nothing_outside_is(
    deep: Path, tmp_path: Path, replacement: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    deepen(outside, levels(5))
    with start(deep) as way:
        for name in levels(DEEP):
            enter(way, name)
        (deep / "d0/d1").rename(deep / "moved")
        at = deep / "d0/d1"
        if replacement == "a link":
            at.symlink_to(outside)
        elif replacement == "a file":
            at.write_text("")
        elif replacement == "a directory":
            at.mkdir()
        lost = []
        for _ in range(DEEP - 1):
            lost.append(not way.leave())
            assert bool(way.fds) == (not lost[-1])
        assert not lost[0]
        assert lost[-2:] == [replacement != "a directory", False]
        assert identity(way.fds[0]) == identity_of(deep / "d0")
        assert way.leave()
        assert identity(way.fds[0]) == identity_of(deep)


def identity_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def test_a_way_that_was_lost_is_found_where_the_names_are_again(deep: Path) -> None:
    with start(deep) as way:
        for name in levels(DEEP):
            enter(way, name)
        (deep / "d0").rename(deep / "x")
        while way.leave():
            pass
        assert not way.leave()
        (deep / "x").rename(deep / "d0")
        assert way.leave()
        assert os.listdir(way.fds[0])[0].startswith("d")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(min_value=-40, max_value=40), max_size=12))
def test_wherever_it_goes_it_is_where_its_names_say(deep_once: Path, moves: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch, start(deep_once) as way:
        patch.setattr(module, "_MOST", 8)
        depth = 0
        for move in moves:
            for _ in range(abs(move)):
                if move > 0:
                    enter(way, f"d{depth}")
                    depth += 1
                elif depth:
                    assert way.leave()
                    depth -= 1
            assert identity(way.fds[0]) == identity_of(deep_once.joinpath(*levels(depth)))


@pytest.fixture(scope="module")
def deep_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    top = tmp_path_factory.mktemp("once")
    deepen(top, levels(500))
    yield top
    remove_tree(str(top))
