"""Copies of trees: nothing of a file is lost, and half a copy is never taken for a whole one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.volumes import populate
from dockmagic_runtime.volumes.tree_copy import TreeCopy


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def copy(source: Path, target: Path) -> None:
    with opened(source) as source_fd, opened(target) as target_fd:
        TreeCopy(source_fd, target_fd).run()


def facts(top: Path) -> dict[str, tuple[object, ...]]:
    """All that a copy must keep, by relative path; links by the first name of their file."""
    entries: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        name = str(path.relative_to(top))
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        same = first.setdefault(status.st_ino, name)
        attributes = tuple(
            (x, os.getxattr(path, x, follow_symlinks=False))
            for x in sorted(os.listxattr(path, follow_symlinks=False))
        )
        entries[name] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev,
            content, same, attributes,
        )  # fmt: skip
    return entries


@pytest.mark.root
def test_nothing_of_a_file_is_lost(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep" / "deeper").mkdir(parents=True)
    target.mkdir()
    file = source / "deep" / "file"
    file.write_text("text")
    os.link(file, source / "deep" / "deeper" / "again")
    os.symlink("/etc/passwd", source / "link")
    os.symlink("nowhere", source / "dangling")
    os.mkfifo(source / "fifo")
    os.mknod(source / "null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.chown(file, 12, 34)
    os.chown(source / "link", 5, 6, follow_symlinks=False)
    file.chmod(0o6755)  # after the owner: changing that clears these bits
    (source / "null").chmod(0o604)
    (source / "deep").chmod(0o3711)
    os.setxattr(file, "user.note", b"kept")
    # a capability of version 2: CAP_NET_RAW, permitted and effective
    os.setxattr(file, "security.capability", bytes.fromhex("0100000200200000" + "00" * 12))
    for path in (file, source / "deep", source):
        os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    os.utime(source / "link", ns=(3, 4), follow_symlinks=False)
    copy(source, target)
    assert facts(target) == facts(source)


@pytest.mark.root
def test_holes_stay_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    with (source / "sparse").open("wb") as stream:
        stream.seek(8 << 20)
        stream.write(b"middle")
        stream.truncate(16 << 20)
    copy(source, target)
    assert (target / "sparse").read_bytes() == (source / "sparse").read_bytes()
    assert (target / "sparse").stat().st_blocks <= (source / "sparse").stat().st_blocks


NAMES = st.text(alphabet="ab.é \n", min_size=1, max_size=3).filter(lambda n: n not in (".", ".."))
TREES = st.recursive(
    st.one_of(st.binary(max_size=20), st.just("link")),
    lambda below: st.dictionaries(NAMES, below, max_size=4),
    max_leaves=12,
)


def make(path: Path, tree: object) -> None:
    if isinstance(tree, dict):
        path.mkdir()
        for name, below in tree.items():
            make(path / name, below)
    elif isinstance(tree, bytes):
        path.write_bytes(tree)
    else:
        path.symlink_to("..")


@pytest.mark.root
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_is_copied_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    top = tmp_path_factory.mktemp("copy")
    make(top / "source", tree)
    (top / "target").mkdir()
    copy(top / "source", top / "target")
    assert facts(top / "target") == facts(top / "source")


class Volume:
    """A volume's directory and an image's, as the store hands them to the copy."""

    def __init__(self, top: Path) -> None:
        self.beside, self.data, self.image = top / "volume", top / "volume" / "_data", top / "image"
        self.data.mkdir(parents=True)
        self.image.mkdir()
        for name in ("a", "b", "c"):
            (self.image / name).write_text(name)

    def fill(self) -> None:
        with Root.at(str(self.data)) as data, Root.at(str(self.beside)) as beside:
            if not populate.is_filled(data, beside):
                with opened(self.image) as source:
                    populate.fill(data, beside, source)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


@pytest.mark.root
def test_a_volume_with_something_in_it_is_left_alone(volume: Volume) -> None:
    (volume.data / "mine").touch()
    volume.fill()
    assert os.listdir(volume.data) == ["mine"]


@pytest.mark.root
@pytest.mark.parametrize("step", range(1, 12))
def test_a_copy_that_is_cut_short_anywhere_is_completed(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The process dies at the n-th change it makes; the next call leaves the volume full."""
    count = 0

    def dying(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                raise KeyboardInterrupt
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, call)

    with monkeypatch.context():
        for name in ("mkdir", "rename", "fchown", "utime", "rmdir", "ftruncate"):
            dying(name)
        try:
            volume.fill()
        except KeyboardInterrupt:
            pass
        monkeypatch.undo()
    before = set(os.listdir(volume.data))
    assert before <= {"a", "b", "c"}
    volume.fill()
    assert sorted(os.listdir(volume.data)) == ["a", "b", "c"]
    assert [(volume.data / name).read_text() for name in "abc"] == ["a", "b", "c"]
    assert os.listdir(volume.beside) == ["_data"]


@pytest.mark.root
def test_what_a_container_wrote_meanwhile_is_kept(volume: Volume) -> None:
    whole = volume.beside / ".dockmagic-copy-e3b0c44298fc1c14.whole"
    whole.mkdir()
    for name in ("a", "b"):
        (whole / name).write_text("image")
    (volume.data / "a").write_text("mine")
    volume.fill()
    assert (volume.data / "a").read_text() == "mine"
    assert (volume.data / "b").read_text() == "image"
    assert not whole.exists()
