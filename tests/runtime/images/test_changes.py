"""A, C and D of an upper directory are those of the whole trees, as an overlay shows them."""

from __future__ import annotations

import io
import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.copy.changes import changes
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images import overlay as marks
from dockmagic_runtime.images.changes import differences
from dockmagic_runtime.images.pack import pack
from dockmagic_runtime.images.unpack import unpack
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Change, ChangeKind
from dockmagic_runtime.sandbox.overlay import mount_overlay
from dockmagic_runtime.testing.trees import Tree, deepen, snapshot

pytestmark = pytest.mark.root


def told(upper: Path, *lowers: Path) -> list[str]:
    result = differences(str(upper), [str(lower) for lower in lowers])
    return [f"{item.kind} {item.path}" for item in result]


@contextmanager
def overlay(base: Path, lowers: Sequence[Path], upper: Path) -> Iterator[Path]:
    """The merged tree, mounted nowhere: it is reached through its descriptor."""
    work = Path(tempfile.mkdtemp(dir=base))
    target = Path(tempfile.mkdtemp(dir=base))
    fd = mount_overlay(
        Kernel(), [str(lower) for lower in lowers], str(upper), str(work), target=str(target)
    )
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@pytest.fixture
def low(tmp_path: Path) -> Path:
    """An image's layer with a bit of everything."""
    low = tmp_path / "low"
    for name in ("etc/motd", "etc/ssl/cert", "usr/lib/x", "var/a", "var/b/c"):
        (low / name).parent.mkdir(parents=True, exist_ok=True)
        (low / name).write_text(name)
    return low


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    path = tmp_path / "upper"
    path.mkdir()
    return path


def change(base: Path, low: Path, upper: Path, action: Callable[[Path], object]) -> list[str]:
    with overlay(base, [low], upper) as merged:
        action(merged)
    return told(upper, low)


def test_nothing_changed_is_nothing(tmp_path: Path, low: Path, upper: Path) -> None:
    assert change(tmp_path, low, upper, lambda m: (m / "etc/motd").read_text()) == []


def test_new_changed_and_deleted_files_mark_the_directories_above(
    tmp_path: Path, low: Path, upper: Path
) -> None:
    def action(merged: Path) -> None:
        (merged / "etc/new").touch()
        (merged / "etc/ssl/cert").write_text("other text")
        (merged / "var/a").unlink()
        (merged / "root/x").parent.mkdir()
        (merged / "root/x").touch()

    assert change(tmp_path, low, upper, action) == [
        "C /etc",
        "A /etc/new",
        "C /etc/ssl",
        "C /etc/ssl/cert",
        "A /root",
        "A /root/x",
        "C /var",
        "D /var/a",
    ]


def test_a_deleted_directory_is_one_line(tmp_path: Path, low: Path, upper: Path) -> None:
    result = change(tmp_path, low, upper, lambda m: shutil.rmtree(m / "var"))
    assert result == ["D /var"]


def test_an_opaque_directory_tells_what_it_hides(tmp_path: Path, low: Path, upper: Path) -> None:
    def action(merged: Path) -> None:
        shutil.rmtree(merged / "var")
        (merged / "var").mkdir()
        (merged / "var/new").touch()

    result = change(tmp_path, low, upper, action)
    assert result == ["C /var", "D /var/a", "D /var/b", "A /var/new"]


def test_an_opaque_directory_hides_at_every_depth(tmp_path: Path, low: Path, upper: Path) -> None:
    def action(merged: Path) -> None:
        shutil.rmtree(merged / "var")
        (merged / "var/b").mkdir(parents=True)

    result = change(tmp_path, low, upper, action)
    assert result == ["C /var", "D /var/a", "C /var/b", "D /var/b/c"]


def test_what_was_copied_up_and_is_the_same_is_not_told(
    tmp_path: Path, low: Path, upper: Path
) -> None:
    def action(merged: Path) -> None:
        (merged / "etc/motd").chmod(0o600)
        (merged / "etc/motd").chmod(0o644)
        (merged / "usr/lib").chmod(0o700)

    result = change(tmp_path, low, upper, action)
    assert (upper / "etc/motd").exists()
    assert result == ["C /usr", "C /usr/lib"]


def test_a_capability_is_a_change(tmp_path: Path, low: Path, upper: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    result = change(
        tmp_path,
        low,
        upper,
        lambda m: os.setxattr(m / "usr/lib/x", "security.capability", capability),
    )
    assert result == ["C /usr", "C /usr/lib", "C /usr/lib/x"]


def test_kinds_may_change(tmp_path: Path, low: Path, upper: Path) -> None:
    def action(merged: Path) -> None:
        shutil.rmtree(merged / "var/b")
        (merged / "var/b").write_text("file")
        (merged / "var/a").unlink()
        (merged / "var/a").mkdir()
        (merged / "var/a/inner").touch()
        os.mknod(merged / "null", stat.S_IFCHR, os.makedev(1, 3))

    result = change(tmp_path, low, upper, action)
    assert result == ["A /null", "C /var", "C /var/a", "A /var/a/inner", "C /var/b"]


def test_lower_layers_hide_each_other(tmp_path: Path, low: Path, upper: Path) -> None:
    """What a middle layer deleted is new when it comes back."""
    middle = tmp_path / "middle"
    middle.mkdir()
    with overlay(tmp_path, [low], middle) as merged:
        (merged / "etc/motd").unlink()
        shutil.rmtree(merged / "var")
        (merged / "var/only").parent.mkdir()
        (merged / "var/only").touch()
    with overlay(tmp_path, [middle, low], upper) as merged:
        (merged / "etc/motd").touch()
        (merged / "var/a").touch()
        (merged / "var/only").unlink()
    assert told(upper, middle, low) == [
        "C /etc",
        "A /etc/motd",
        "C /var",
        "A /var/a",
        "D /var/only",
    ]


def test_many_new_files_beside_old_ones(tmp_path: Path, low: Path, upper: Path) -> None:
    def action(merged: Path) -> None:
        for number in range(30):
            (merged / f"var/n{number:02}").touch()
        (merged / "var/a").write_text("changed")

    result = change(tmp_path, low, upper, action)
    assert result == ["C /var", "C /var/a", *[f"A /var/n{number:02}" for number in range(30)]]


def test_sizes_are_told_when_asked_for(upper: Path) -> None:
    (upper / "f").write_bytes(b"12345")
    (upper / "d").mkdir()
    assert [(d.path, d.size) for d in differences(str(upper), [], sizes=True)] == [
        ("/d", 0),
        ("/f", 5),
    ]


def test_changes_are_the_models_values(upper: Path) -> None:
    (upper / "f").touch()
    assert changes(str(upper), []) == (Change("/f", ChangeKind.ADDED),)


def test_a_failure_leaves_no_descriptor_open(tmp_path: Path, upper: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        differences(str(upper), [str(upper), str(tmp_path / "missing")])
    assert os.listdir("/proc/self/fd") == before


def test_depth_costs_no_descriptors(tmp_path: Path, low: Path, upper: Path) -> None:
    deepen(low, ["d"] * 400)
    deepen(upper, ["d"] * 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 200, hard))
    try:
        result = told(upper, low)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        remove_tree(str(low / "d"))
        remove_tree(str(upper / "d"))
    both, new = range(1, 401), range(401, 1001)
    assert result == [*(f"C {'/d' * n}" for n in both), *(f"A {'/d' * n}" for n in new)]


def test_paths_that_would_fill_the_memory_are_refused(upper: Path) -> None:
    deepen(upper, ["n" * 250] * 70)
    with pytest.raises(InvalidInput, match=r"^/n+ has directories in too many others"):
        told(upper)
    remove_tree(str(upper / ("n" * 250)))


def test_what_is_removed_meanwhile_is_not_looked_into(
    upper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (upper / name / "inside").mkdir(parents=True)
    known = marks.is_opaque

    def is_opaque(fd: int) -> bool:  # asked when a directory is entered
        if (upper / "a").exists():
            shutil.rmtree(upper / "a")
            (upper / "b").rename(upper / "moved")
            (upper / "b").symlink_to("/")
        return known(fd)

    monkeypatch.setattr(marks, "is_opaque", is_opaque)
    assert told(upper) == ["A /a", "A /b", "A /c", "A /c/inside"]


# --- random trees and actions, compared with a look at everything -----------------------------

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
VERBS = st.sampled_from(
    [
        "write",
        "write",
        "mkdir",
        "remove",
        "chmod",
        "rmtree",
        "renew",
        "renew",
        "link",
        "rename",
        "fifo",
    ]
)
SCRIPT = st.lists(st.tuples(VERBS, PATHS, PATHS), min_size=3, max_size=10)
FULL = [("mkdir", d, "") for d in ("a", "b", "a/a", "a/b", "b/c")] + [
    ("write", f, "") for f in ("c", "a/c", "a/a/a", "a/b/b", "b/a", "b/c/c")
]


def _act(top: Path, verb: str, path: str, other: str, stamp: int) -> None:
    """One change, if it is possible as things are."""
    target = top / path
    try:
        if verb == "write":
            # O_NONBLOCK: it may be a fifo
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644)
            os.write(fd, b"%d" % stamp * (stamp % 3 + 1))
            os.close(fd)
        elif verb == "mkdir":
            target.mkdir()
        elif verb == "remove":
            target.unlink()
        elif verb == "chmod":
            target.chmod(0o700 | stamp % 8)
        elif verb in ("rmtree", "renew"):
            if target.is_dir() and not target.is_symlink():  # it would open a fifo, and wait
                shutil.rmtree(target)
                if verb == "renew":
                    target.mkdir()
        elif verb == "link":
            target.symlink_to(other)
        elif verb == "rename":
            os.rename(top / other, target)
        else:
            os.mkfifo(target)
        if verb in ("write", "link", "fifo"):  # the clock's times would differ by chance
            os.utime(target, (stamp, stamp), follow_symlinks=verb == "write")
    except OSError:
        pass  # not possible here: no parent, in the way, across layers


def _naive(old: Tree, new: Tree) -> list[str]:
    """Docker's comparison of whole trees."""
    lines: set[str] = set()
    for path, value in new.items():
        if path not in old:
            lines.add(f"A {path}")
        elif _facts(value) != _facts(old[path]):
            lines.add(f"C {path}")
    for path in old:
        parent = os.path.dirname(path)
        # what was in a directory that is gone, or is no directory now, is gone with it
        is_told = not parent or (parent in new and new[parent][0] == stat.S_IFDIR)
        if path not in new and is_told:
            lines.add(f"D {path}")
    for line in list(lines):
        parent = os.path.dirname(line[2:])
        while parent:
            if f"A {parent}" not in lines:
                lines.add(f"C {parent}")
            parent = os.path.dirname(parent)
    return sorted(f"{line[0]} /{line[2:]}" for line in lines)


def _facts(value: tuple[object, ...]) -> tuple[object, ...]:
    """Without the names of one inode; of directories neither time nor overlay's marks."""
    kind, mode, uid, gid, content, _, time = value[:7]
    return (kind, mode, uid, gid, content, None if kind == stat.S_IFDIR else time)


@settings(max_examples=80, deadline=None)
@given(SCRIPT, SCRIPT, SCRIPT, st.sampled_from([1, 8, 128]))
def test_any_change_is_told_as_comparing_everything_would(
    first: list[tuple[str, str, str]],
    second: list[tuple[str, str, str]],
    third: list[tuple[str, str, str]],
    descriptors: int,
) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        patch("dockmagic_runtime.linux.directory_stack._MOST", descriptors),
    ):
        base = Path(directory)
        lowers: list[Path] = []
        trees: list[Tree] = [{}]
        for number, script in enumerate((FULL + first, second, third)):
            upper = base / str(number)
            upper.mkdir()
            (base / "empty").mkdir(exist_ok=True)
            with overlay(base, [*lowers, base / "empty"], upper) as merged:
                for step, (verb, path, other) in enumerate(script):
                    _act(merged, verb, path, other, 100 * number + step)
                trees.append(snapshot(merged, times=True))
            assert sorted(told(upper, *lowers)) == _naive(trees[-2], trees[-1])
            lowers.insert(0, upper)
        _check_layers_travel(base, lowers, trees[-1])


def _check_layers_travel(base: Path, lowers: list[Path], expected: Tree) -> None:
    """Packed and unpacked elsewhere, the layers show the same tree."""
    copies: list[Path] = []
    for number, layer in enumerate(reversed(lowers)):
        out = io.BytesIO()
        packed = pack(str(layer), out)
        copy = base / f"copy{number}"
        copy.mkdir()
        out.seek(0)
        below = [str(item) for item in copies]
        unpack(out, str(copy), lowers=below, expected_diff_id=packed.diff_id)
        assert pack(str(copy)) == packed
        copies.insert(0, copy)
    (base / "last").mkdir()
    with overlay(base, copies, base / "last") as merged:
        result = snapshot(merged, times=True)
    assert {path: _facts(value) for path, value in result.items()} == {
        path: _facts(value) for path, value in expected.items()
    }
