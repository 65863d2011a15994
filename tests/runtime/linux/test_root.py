"""Paths inside a tree that a stranger made: nothing outside is ever read, made or removed."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.testing.trees import deepen


class NoOpenat2(Kernel):
    """A kernel whose openat2 always fails with `number`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = 0

    def openat2(self, dir_fd: int, path: str, flags: int, mode: int, resolve: int) -> int:
        self.calls += 1
        raise OSError(self.number, os.strerror(self.number), path)


KERNELS: dict[str, Callable[[], Kernel]] = {
    "openat2": Kernel,
    "by hand": lambda: NoOpenat2(errno.ENOSYS),
    "forbidden": lambda: NoOpenat2(errno.EPERM),
}


@pytest.fixture(params=KERNELS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "root").mkdir()
    with Root.at(str(tmp_path / "root"), KERNELS[request.param]()) as root:
        yield root


@pytest.fixture
def tree(tmp_path: Path, root: Root) -> Path:
    return tmp_path / "root"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


def test_absolute_link_and_dotdot_end_inside(root: Root, tree: Path, outside: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("inside")
    (tree / "absolute").symlink_to("/etc/passwd")
    (tree / "up").symlink_to("../../../../../etc/passwd")
    assert root.read("absolute") == root.read("/up") == root.read("../../etc/passwd") == b"inside"


def test_link_to_the_outside_finds_nothing(root: Root, tree: Path, outside: Path) -> None:
    (tree / "a").symlink_to(outside / "secret")
    (tree / "b").symlink_to("../outside/secret")
    for path in ("a", "b", str(outside / "secret"), "../outside/secret"):
        assert not root.exists(path)
        with pytest.raises(FileNotFoundError):
            root.read(path)


def test_row21_cve_2022_23648_a_volumes_link_leads_to_the_images_own_directory(
    root: Root, tree: Path, outside: Path
) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/own").touch()
    (tree / "v").symlink_to("../../../../etc")
    with root.subroot("/v") as volume:
        assert [entry.name for entry in volume.scandir()] == ["own"]


def test_loop_is_refused(root: Root, tree: Path) -> None:
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels") as caught:
        root.open("a")
    assert caught.value.errno == errno.ELOOP
    assert not root.exists("a")


def test_cve_2024_45310_mkdirs_and_touch_make_link_targets_inside(
    root: Root, tree: Path, outside: Path
) -> None:
    (tree / "a").symlink_to(outside / "new")
    (tree / "run").symlink_to("/var/run")
    os.close(root.mkdirs("/a/b"))
    os.close(root.touch("/run/resolv.conf"))
    assert os.listdir(outside) == ["secret"]
    assert (tree / "var/run/resolv.conf").is_file()
    assert (tree / str(outside)[1:] / "new/b").is_dir()


def test_mkdirs_gives_mode_and_owner_to_what_it_made_only(root: Root, tree: Path) -> None:
    (tree / "old").mkdir(mode=0o700)
    umask = os.umask(0o077)
    try:
        fd = root.mkdirs("/old/x/y", 0o775, os.getuid(), os.getgid())
    finally:
        os.umask(umask)
    assert os.fstat(fd).st_ino == (tree / "old/x/y").stat().st_ino
    os.close(fd)
    modes = [stat.S_IMODE((tree / p).stat().st_mode) for p in ("old", "old/x", "old/x/y")]
    assert modes == [0o700, 0o775, 0o775]


def test_mkdirs_on_a_file_is_refused(root: Root, tree: Path) -> None:
    (tree / "file").touch()
    for path in ("file", "file/x"):
        with pytest.raises(NotADirectoryError):
            root.mkdirs(path)


def test_touch_keeps_what_exists(root: Root, tree: Path) -> None:
    (tree / "f").write_text("data")
    os.close(root.touch("f"))
    os.close(root.touch("new/g", 0o640))
    assert (tree / "f").read_text() == "data"
    assert stat.S_IMODE((tree / "new/g").stat().st_mode) == 0o640


def test_open_parent_does_not_follow_the_last_name(root: Root, tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "d/link").symlink_to("/nowhere")
    for path, name, where in (
        ("/d/link", "link", "d"),
        ("d/link///", "link", "d"),
        ("link", "link", "."),
        ("/", ".", "."),
        ("", ".", "."),
        ("/d/..", ".", "."),
        ("d/.", ".", "d"),
        ("../../d", "d", "."),
    ):
        fd, last = root.open_parent(path)
        assert (last, os.fstat(fd).st_ino) == (name, (tree / where).stat().st_ino), path
        os.close(fd)


def test_open_with_creat_never_goes_through_a_swapped_link(root: Root, tree: Path) -> None:
    os.close(root.open("made", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    (tree / "link").symlink_to("made")
    with pytest.raises(OSError, match="Too many levels"):
        root.open("link", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def test_read_and_write_follow_links_inside(root: Root, tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/hosts").symlink_to("/run/hosts")
    (tree / "run").mkdir()
    root.write("/etc/hosts", b"one", 0o600)
    root.write("/etc/hosts", b"2")
    assert (tree / "run/hosts").read_bytes() == root.read("run/hosts") == b"2"
    assert stat.S_IMODE((tree / "run/hosts").stat().st_mode) == 0o600
    assert root.readlink("/etc/hosts") == "/run/hosts"


def test_read_refuses_fifos_directories_and_too_much(root: Root, tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    (tree / "big").write_bytes(b"12345")
    for path, number in (("fifo", errno.EINVAL), (".", errno.EINVAL), ("big", errno.EFBIG)):
        with pytest.raises(OSError, match=path.replace(".", r"\.")) as caught:
            root.read(path, limit=4)
        assert caught.value.errno == number
    with pytest.raises(OSError, match="fifo"):
        root.write("fifo", b"x")


def test_nul_and_overlong_paths_are_refused(root: Root) -> None:
    for path, number in (("a\0b", errno.EINVAL), ("a/" * 2100, errno.ENAMETOOLONG)):
        for verb in (root.open, root.mkdirs, root.touch, root.open_parent):
            with pytest.raises(OSError, match=r"Invalid|too long") as caught:
                verb(path)
            assert caught.value.errno == number


def test_walk_lists_parents_first_and_enters_no_link(root: Root, tree: Path) -> None:
    (tree / "b/c").mkdir(parents=True)
    (tree / "b/c/file").touch()
    (tree / "a").mkdir()
    (tree / "b/loop").symlink_to("/b")
    listing = [(path, [e.name for e in entries]) for path, _, entries in root.walk()]
    assert listing == [("", ["a", "b"]), ("a", []), ("b", ["c", "loop"]), ("b/c", ["file"])]
    assert {e.name: e.is_symlink() for e in root.scandir("b")} == {"c": False, "loop": True}


def test_walk_stays_out_of_what_is_taken_from_the_list(root: Root, tree: Path) -> None:
    (tree / "a/b").mkdir(parents=True)
    seen = []
    for path, _, entries in root.walk():
        seen.append(path)
        entries[:] = [entry for entry in entries if entry.name != "b"]
    assert seen == ["", "a"]


def test_walk_of_any_depth_has_few_directories_open(root: Root, tree: Path) -> None:
    deepen(tree, ["d"] * 1000)
    deepen(tree, ["e"] * 3)
    before = len(os.listdir("/proc/self/fd"))
    paths = []
    for path, _, _ in root.walk():
        paths.append(path)
        assert len(os.listdir("/proc/self/fd")) < before + 140
    chains = [("d", 1000), ("e", 3)]
    assert paths == ["", *("/".join([d] * n) for d, most in chains for n in range(1, most + 1))]
    root.remove_tree("d")


def test_walk_ends_with_an_error_when_the_way_back_is_gone(
    root: Root, tree: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic_runtime.linux.directory_stack._MOST", 1)
    for name in ("a/b/c", "a/d"):
        (tree / name).mkdir(parents=True)
    walk = root.walk()
    assert [next(walk)[0] for _ in range(4)] == ["", "a", "a/b", "a/b/c"]
    (tree / "a").rename(tree / "moved")
    (tree / "a").symlink_to(outside)
    with pytest.raises(FileNotFoundError, match="'a/b'"):
        next(walk)


def test_walk_of_a_tree_in_use_leaves_out_what_is_taken_away(
    root: Root, tree: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockmagic_runtime.linux.directory_stack._MOST", 1)
    for name in ("a/b/c", "a/d", "e/f", "g"):
        (tree / name).mkdir(parents=True)
    walk = root.walk(in_use=True)
    assert [next(walk)[0] for _ in range(4)] == ["", "a", "a/b", "a/b/c"]
    for name in ("a", "e"):
        (tree / name).rename(tree / f"moved-{name}")
        (tree / name).symlink_to(outside)
    assert [path for path, _, _ in walk] == ["g"]
    walk = root.walk()
    next(walk)
    (tree / "g").rmdir()
    with pytest.raises(FileNotFoundError):
        list(walk)


def test_an_abandoned_walk_closes_its_descriptors(root: Root, tree: Path) -> None:
    (tree / "a/b/c").mkdir(parents=True)
    before = os.listdir("/proc/self/fd")
    walk = root.walk()
    next(walk), next(walk), next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert os.listdir("/proc/self/fd") == before


def test_unlink_and_rmdir_take_the_name_itself(root: Root, tree: Path, outside: Path) -> None:
    (tree / "link").symlink_to(outside)
    (tree / "d").mkdir()
    root.unlink("link")
    root.rmdir("/d")
    assert os.listdir(tree) == []
    assert os.listdir(outside) == ["secret"]


def test_remove_tree_follows_no_link(root: Root, tree: Path, outside: Path) -> None:
    (tree / "d/e").mkdir(parents=True)
    (tree / "d/e/out").symlink_to(outside)
    (tree / "d/up").symlink_to("..")
    os.mkfifo(tree / "d/fifo")
    (tree / "keep").touch()
    root.remove_tree("d")
    assert os.listdir(tree) == ["keep"]
    root.remove_tree("/")
    assert os.listdir(tree) == []
    assert os.listdir(outside) == ["secret"]
    with pytest.raises(FileNotFoundError):
        root.remove_tree("gone")


def test_remove_tree_needs_no_descriptor_per_level(root: Root, tree: Path) -> None:
    with ExitStack() as stack:
        fd = os.open(tree, os.O_RDONLY)
        stack.callback(lambda: os.close(fd))
        for _ in range(1500):
            for name in ("0", "1"):  # names that the removal could want for itself, too
                os.mkdir(f".{name}", dir_fd=fd)
            deeper = os.open(".0", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = deeper
    root.remove_tree("/")
    assert os.listdir(tree) == []


@pytest.mark.root
def test_remove_tree_stops_at_a_mount(root: Root, tree: Path, outside: Path) -> None:
    (tree / "d/mnt").mkdir(parents=True)
    kernel = Kernel()
    kernel.mount("none", str(tree / "d/mnt"), "tmpfs", 0, "size=64k")
    try:
        (tree / "d/mnt/precious").touch()
        with pytest.raises(OSError, match="mnt") as caught:
            root.remove_tree("d")
        assert caught.value.errno == errno.EXDEV
        assert (tree / "d/mnt/precious").exists()
    finally:
        kernel.umount(str(tree / "d/mnt"), 0)


def test_subroot_is_as_tight(root: Root, tree: Path) -> None:
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/f").write_text("inner")
    (tree / "f").write_text("outer")
    with root.subroot("a") as inner:
        assert inner.read("../f") == inner.read("/f") == b"inner"
        assert inner.is_real_dir("b")
        assert not inner.is_real_dir("f")
        assert not inner.is_real_dir("missing")


def test_close_is_idempotent_and_the_descriptor_is_never_reused(tmp_path: Path) -> None:
    root = Root.at(str(tmp_path))
    root.close()
    root.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        root.open(".")


def test_eagain_is_retried_and_then_walked_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    kernel = NoOpenat2(errno.EAGAIN)
    with Root.at(str(tmp_path), kernel) as root:
        assert root.stat("a/..").st_ino == tmp_path.stat().st_ino
        assert kernel.calls == 16
        root.stat("a")
        assert kernel.calls == 32  # busy now says nothing about later


def test_enosys_is_asked_once(tmp_path: Path) -> None:
    kernel = NoOpenat2(errno.ENOSYS)
    with Root.at(str(tmp_path), kernel) as root:
        root.stat("/")
        root.stat("/")
    assert kernel.calls == 1


# --- random trees ------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.one_of(NAMES, st.sampled_from(["..", ".", ""]))
RELATIVE = st.lists(STEPS, min_size=1, max_size=6).map("/".join)
PATHS = st.builds(lambda slash, path: slash + path, st.sampled_from(["", "/", "/../"]), RELATIVE)
HOSTILE = st.sampled_from(["OUTSIDE", "OUTSIDE/secret", "../outside", "/../outside", "../.."])
NODES = st.one_of(
    st.tuples(st.just("dir"), st.just("")),
    st.tuples(st.just("file"), st.just("")),
    st.tuples(st.just("link"), st.one_of(PATHS, HOSTILE)),
)
PLACES = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.lists(st.tuples(PLACES, NODES), max_size=14)


def _grow(top: str, tree: list[tuple[str, tuple[str, str]]], outside: str) -> None:
    for place, (kind, target) in tree:
        path = f"{top}/{place}"
        if any(os.path.islink(f"{top}/{part}") for part in _ancestors(place)):
            continue
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if kind == "dir":
                os.mkdir(path)
            elif kind == "file":
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW))
            else:
                os.symlink(target.replace("OUTSIDE", outside) or ".", path)
        except (FileExistsError, NotADirectoryError):
            pass  # an earlier node is in the way


def _ancestors(place: str) -> list[str]:
    parts = place.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _snapshot(top: str) -> list[tuple[str, str]]:
    """What is below `top`, with the links' texts; nothing is followed."""
    listing = []
    for directory, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(directory, name)
            is_link = os.path.islink(path)
            kind = os.readlink(path) if is_link else oct(os.lstat(path).st_mode)
            listing.append((os.path.relpath(path, top), kind))
    return sorted(listing)


def _outcome(action: Callable[[], object]) -> object:
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def _identity(top: str, fd: int) -> str:
    """Where in `top` the descriptor leads: fails when it is elsewhere."""
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    assert path == top or path.startswith(f"{top}/"), f"{path} is outside"
    return path[len(top) :]


@settings(max_examples=150, deadline=None)
@given(TREES, PATHS, st.booleans())
def test_both_ways_to_resolve_agree_and_stay_inside(
    tree: list[tuple[str, tuple[str, str]]], path: str, follow: bool
) -> None:
    flags = os.O_PATH | (0 if follow else os.O_NOFOLLOW)
    with tempfile.TemporaryDirectory() as base:
        top, outside = f"{base}/root", f"{base}/outside"
        os.mkdir(top)
        os.mkdir(outside)
        _grow(top, tree, outside)
        outcomes = []
        for make in KERNELS.values():
            with Root.at(top, make()) as root:
                opened = _outcome(lambda root=root: _identity(top, root.open(path, flags)))  # type: ignore[misc]
                outcomes.append((opened, root.exists(path), root.is_real_dir(path)))
        assert outcomes[0] == outcomes[1] == outcomes[2]


def _verbs(root: Root, top: str, path: str) -> dict[str, Callable[[], object]]:
    def parent() -> object:
        fd, name = root.open_parent(path)
        assert name not in ("", "..")
        return _identity(top, fd), name

    return {
        "mkdirs": lambda: _identity(top, root.mkdirs(path)),
        "touch": lambda: _identity(top, root.touch(path)),
        "write": lambda: root.write(path, b"data"),
        "create": lambda: _identity(top, root.open(path, os.O_WRONLY | os.O_CREAT, 0o600)),
        "unlink": lambda: root.unlink(path),
        "rmdir": lambda: root.rmdir(path),
        "remove_tree": lambda: root.remove_tree(path),
        "open_parent": parent,
        "readlink": lambda: root.readlink(path),
    }


VERBS = list(_verbs(None, "", ""))  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(TREES, st.lists(st.tuples(st.sampled_from(VERBS), PATHS), min_size=1, max_size=4))
def test_no_verb_touches_the_outside_and_both_ways_do_the_same(
    tree: list[tuple[str, tuple[str, str]]], script: list[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as base:
        outside = f"{base}/outside"
        os.mkdir(outside)
        Path(outside, "secret").touch()
        results = []
        for number, make in enumerate(KERNELS.values()):
            top = f"{base}/{number}"
            os.mkdir(top)
            _grow(top, tree, outside)
            with Root.at(top, make()) as root:
                outcomes = [_outcome(_verbs(root, top, path)[verb]) for verb, path in script]
            results.append((outcomes, _snapshot(top)))
            assert os.listdir(outside) == ["secret"]
            assert sorted(os.listdir(base)) == [*map(str, range(number + 1)), "outside"]
        assert results[0] == results[1] == results[2]


@settings(max_examples=40, deadline=None)
@given(TREES, PATHS)
def test_a_new_file_is_seen_under_the_path_it_was_made_with(
    tree: list[tuple[str, tuple[str, str]]], path: str
) -> None:
    with tempfile.TemporaryDirectory() as base:
        _grow(base, tree, "/nowhere")
        for make in KERNELS.values():
            with Root.at(base, make()) as root:
                if root.exists(path):
                    continue
                if isinstance(_outcome(lambda root=root: root.write(path, b"x")), str):  # type: ignore[misc]
                    continue
                assert root.read(path) == b"x"
