"""The tar of a tree that is in use: names, what is left out, and what changes meanwhile."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.images.compression import Plain, decompressed
from dockmagic_runtime.images.tar.writer import CHUNK, TreeArchive


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "d/s").mkdir(parents=True)
    (tmp_path / "d/a").write_text("a")
    os.link(tmp_path / "d/a", tmp_path / "d/hard")
    (tmp_path / "d/l").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "d/p")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def names(chunks: Iterator[bytes]) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return [
            f"{member.name} -> {member.linkname}" if member.linkname else member.name
            for member in tar
        ]


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("d", ["d", "d/a", "d/hard -> d/a", "d/l -> /etc/passwd", "d/p", "d/s"]),
        ("new", ["new", "new/a", "new/hard -> new/a", "new/l -> /etc/passwd", "new/p", "new/s"]),
        (".", [".", "./a", "./hard -> ./a", "./l -> /etc/passwd", "./p", "./s"]),
        ("/", ["", "/a", "/hard -> /a", "/l -> /etc/passwd", "/p", "/s"]),
    ],
)
def test_members_have_the_name_that_is_asked_for(
    top: int, member: str, expected: list[str]
) -> None:
    assert names(TreeArchive().one(top, "d", member)) == expected


def test_one_file_is_one_member(top: int) -> None:
    fd = os.open("d", os.O_PATH, dir_fd=top)
    try:
        assert names(TreeArchive().one(fd, "a", "x")) == ["x"]
        assert names(TreeArchive().one(fd, "l", "x")) == ["x -> /etc/passwd"]
    finally:
        os.close(fd)


def test_what_is_not_there_is_an_error(top: int) -> None:
    with pytest.raises(FileNotFoundError):
        next(TreeArchive().one(top, "nope", "nope"))


def test_large_files_come_in_pieces(tmp_path: Path, top: int) -> None:
    (tmp_path / "big").write_bytes(os.urandom(3 * CHUNK + 5))
    archive = TreeArchive()
    chunks = list(archive.one(top, "big", "big"))
    assert max(map(len, chunks)) <= CHUNK + 1024
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        stream = tar.extractfile("big")
        assert stream is not None
        assert stream.read() == (tmp_path / "big").read_bytes()
    assert (archive.size, archive.entries) == (3 * CHUNK + 5, 1)


def test_a_file_that_shrinks_while_it_is_read_is_filled_up(tmp_path: Path, top: int) -> None:
    (tmp_path / "big").write_bytes(b"x" * (4 * CHUNK))
    chunks = TreeArchive().one(top, "big", "big")
    first = next(chunks)
    (tmp_path / "big").write_bytes(b"")
    with tarfile.open(fileobj=io.BytesIO(first + b"".join(chunks))) as tar:
        (member,) = tar.getmembers()
    assert member.size == 4 * CHUNK


def test_what_vanishes_while_the_tree_is_read_is_left_out(tmp_path: Path, top: int) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "t" / name).mkdir(parents=True)
        (tmp_path / "t" / name / "f").write_bytes(b"x" * (CHUNK + 1))
    chunks = TreeArchive().one(top, "t", "t")
    seen = next(chunks)
    (tmp_path / "t/c/f").unlink()
    (tmp_path / "t/c").rmdir()
    (tmp_path / "t/c").symlink_to("/")  # nor is a link followed that takes its place
    assert "t/b/f" in (result := names(iter([seen, *chunks])))
    assert not [name for name in result if name.startswith("t/c/")]


@pytest.mark.parametrize("descriptors", [1, 3, 128])
def test_the_order_is_the_same_however_few_directories_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptors: int
) -> None:
    expected = []
    for name in ("a", "a/b", "a/b/c", "a/b/c/d", "a/b/e", "a/f", "g", "g/h"):
        (tmp_path / "t" / name).mkdir(parents=True)
        expected.append(f"t/{name}")
    monkeypatch.setattr("dockmagic_runtime.linux.directory_stack._MOST", descriptors)
    fd = os.open(tmp_path, os.O_PATH)
    result = names(TreeArchive().one(fd, "t", "t"))
    os.close(fd)
    # a directory's entries first, then what is in them
    assert sorted(result) == ["t", *expected]
    assert result == [
        "t", "t/a", "t/g", "t/a/b", "t/a/f", "t/a/b/c", "t/a/b/e", "t/a/b/c/d", "t/g/h",
    ]  # fmt: skip


@pytest.mark.parametrize("replacement", ["nothing", "a link"])
def test_directories_moved_away_while_those_in_them_are_read_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacement: str
) -> None:
    """What is behind a link in their place is not read, although it has the same names."""
    for top in ("t", "outside"):
        for name in ("a/b/c/d", "a/b/later", "a/later", "later"):
            (tmp_path / top / name).mkdir(parents=True)
            (tmp_path / top / name / f"of {top}").write_bytes(b"x" * (CHUNK + 1))
    monkeypatch.setattr("dockmagic_runtime.linux.directory_stack._MOST", 1)
    fd = os.open(tmp_path, os.O_PATH)
    chunks = TreeArchive().one(fd, "t", "t")
    seen = [next(chunks)]  # the walk is at the bottom
    (tmp_path / "t/a").rename(tmp_path / "moved")
    if replacement == "a link":
        (tmp_path / "t/a").symlink_to(tmp_path / "outside/a")
    result = names(iter([*seen, *chunks]))
    os.close(fd)
    assert [name for name in result if name.count("of ")] == ["t/a/b/c/d/of t", "t/later/of t"]


def test_descriptors_are_given_back_half_way(tmp_path: Path, top: int) -> None:
    (tmp_path / "d/big").write_bytes(b"x" * (4 * CHUNK))
    before = len(os.listdir("/proc/self/fd"))
    chunks = TreeArchive().one(top, "d", "d")
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.root
def test_the_kernels_file_systems_are_empty_directories() -> None:
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert names(TreeArchive().one(fd, "proc", "proc")) == ["proc"]
    finally:
        os.close(fd)


def test_a_plain_stream_is_not_taken_for_a_compressed_one() -> None:
    data = [b"BZh91AY&SY", b"", b"more"]
    assert list(decompressed(Plain(data))) == [b"BZh91AY&SY", b"more"]
    stream = Plain(data)
    assert [stream.read(4), stream.read(100), stream.read(-1)] == [b"BZh9", b"1AY&SY", b"more"]
    assert stream.read(1) == b""
