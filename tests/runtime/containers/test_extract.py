"""Archives into directories in use: what is made, what is refused, what stays untouched."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.copy.extract import Destination, Rules, extract
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.linux.root import Root

CALLERS = Rules(keep_owner=False)


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def archive(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in members:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def onto_host(tar: bytes, directory: Path, rules: Rules = CALLERS) -> None:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        extract(iter([tar]), Destination(fd=fd, shown=str(directory)), rules)
    finally:
        os.close(fd)


def into_root(tar: bytes, top: Path, path: str = "/", rules: Rules | None = None) -> None:
    with Root.at(str(top)) as root:
        fd = root.open(path, os.O_PATH | os.O_DIRECTORY)
        try:
            destination = Destination(fd=fd, shown=path, root=root, path=path)
            extract(iter([tar]), destination, rules or Rules(keep_owner=os.geteuid() == 0))
        finally:
            os.close(fd)


def test_all_kinds_of_members_are_made(tmp_path: Path) -> None:
    tar = archive(
        member("d", tarfile.DIRTYPE, mode=0o750, mtime=1_000_000_000),
        (member("d/f", mode=0o640, mtime=1_100_000_000), b"text"),
        member("d/l", tarfile.SYMTYPE, linkname="f"),
        member("d/h", tarfile.LNKTYPE, linkname="d/f"),
        member("d/p", tarfile.FIFOTYPE, mode=0o622),
    )
    onto_host(tar, tmp_path)
    assert (tmp_path / "d/f").read_bytes() == b"text"
    assert (tmp_path / "d/l").readlink() == Path("f")
    assert (tmp_path / "d/h").samefile(tmp_path / "d/f")
    assert (tmp_path / "d/p").is_fifo()
    modes = {p.name: stat.S_IMODE(p.lstat().st_mode) for p in tmp_path.rglob("*")}
    assert (modes["d"], modes["f"], modes["p"]) == (0o750, 0o640, 0o622)
    # the directory's time is set when it is full
    assert ((tmp_path / "d").stat().st_mtime, (tmp_path / "d/f").stat().st_mtime) == (1e9, 1.1e9)


def test_directories_without_a_member_are_made(tmp_path: Path) -> None:
    onto_host(archive((member("a/b/c"), b"1")), tmp_path)
    assert (tmp_path / "a/b/c").read_bytes() == b"1"


def test_the_destination_itself_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir(mode=0o711)
    onto_host(archive(member("./", tarfile.DIRTYPE, mode=0o777)), tmp_path / "to")
    assert stat.S_IMODE((tmp_path / "to").stat().st_mode) == 0o711


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/../../../etc/x"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "to").mkdir()
    with pytest.raises(InvalidInput, match="leads out of it"):
        onto_host(archive((member(name), b"1")), tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_absolute_names_begin_at_the_destination(tmp_path: Path) -> None:
    onto_host(archive((member("/etc/x"), b"1")), tmp_path)
    assert (tmp_path / "etc/x").read_bytes() == b"1"


@pytest.mark.parametrize("replaced", ["file", "link", "fifo"])
def test_what_is_in_the_way_is_replaced_never_written_through(
    tmp_path: Path, replaced: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (tmp_path / "to").mkdir()
    target = tmp_path / "to" / "x"
    if replaced == "file":
        os.link(outside, target)
    elif replaced == "link":
        target.symlink_to(outside)
    else:
        os.mkfifo(target)
    onto_host(archive((member("x"), b"new")), tmp_path / "to")
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()
    assert outside.read_text() == "untouched"


def test_kinds_are_kept_when_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    directory = archive(member("f", tarfile.DIRTYPE))
    file = archive((member("d"), b""))
    with pytest.raises(Conflict, match=r'cannot overwrite directory ".*/d" with non-directory'):
        onto_host(file, tmp_path)
    with pytest.raises(Conflict, match=r'cannot overwrite non-directory ".*/f" with directory'):
        onto_host(directory, tmp_path)
    free = Rules(keep_owner=False, keep_kinds=False)
    onto_host(file, tmp_path, free)
    onto_host(directory, tmp_path, free)
    assert (tmp_path / "d").is_file()
    assert (tmp_path / "f").is_dir()


def test_directories_are_merged(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/old").touch()
    onto_host(archive(member("d", tarfile.DIRTYPE), (member("d/new"), b"")), tmp_path)
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"old", "new"}


def test_row_20_cve_2021_41089_what_existed_on_the_host_keeps_its_mode(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.touch(mode=0o600)
    to = tmp_path / "to"
    (to / "d").mkdir(mode=0o700, parents=True)
    tar = archive(
        member("a", tarfile.SYMTYPE, linkname=str(shadow)),
        (member("a", mode=0o777), b"new"),
        member("d", tarfile.DIRTYPE, mode=0o777),
        member("hard", tarfile.SYMTYPE, linkname=str(shadow)),
        member("again", tarfile.LNKTYPE, linkname="hard"),
    )
    onto_host(tar, to)
    assert stat.S_IMODE(shadow.stat().st_mode) == 0o600
    assert stat.S_IMODE((to / "d").stat().st_mode) == 0o700
    assert (to / "again").is_symlink()  # the link itself has two names, not what it leads to
    assert shadow.stat().st_nlink == 1


def test_a_link_of_the_archive_is_no_way_out_of_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "to").mkdir()
    tar = archive(
        member("l", tarfile.SYMTYPE, linkname=str(outside)),
        (member("l/x"), b"evil"),
    )
    with pytest.raises(Conflict, match="not a directory"):
        onto_host(tar, tmp_path / "to")
    assert list(outside.iterdir()) == []


def test_in_a_container_links_on_the_way_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/lib")
    (root / "out").symlink_to("../../../../../..")
    into_root(archive((member("lib/x"), b"1"), (member("out/y"), b"2")), root)
    assert (root / "usr/lib/x").read_bytes() == b"1"
    assert (root / "y").read_bytes() == b"2"


@pytest.mark.root
def test_set_id_bits_and_devices_of_a_container_are_nobodys_chance_on_the_host(
    tmp_path: Path,
) -> None:
    tar = archive(
        (member("su", mode=0o6755), b""),
        member("disk", tarfile.BLKTYPE, mode=0o666, devmajor=7, devminor=250),
    )
    onto_host(tar, tmp_path)
    assert stat.S_IMODE((tmp_path / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "disk").stat().st_mode) == 0o600


@pytest.mark.root
def test_owners_are_the_archives_the_callers_or_somebodys(tmp_path: Path) -> None:
    def owners(rules: Rules, name: str) -> tuple[int, int, int]:
        (tmp_path / name).mkdir()
        tar = archive(
            (member("f", mode=0o4755, uid=11, gid=22), b""),
            member("l", tarfile.SYMTYPE, linkname="f", uid=11, gid=22),
        )
        into_root(tar, tmp_path / name, "/", rules)
        file, link = (tmp_path / name / "f").lstat(), (tmp_path / name / "l").lstat()
        assert (file.st_uid, file.st_gid) == (link.st_uid, link.st_gid)
        return file.st_uid, file.st_gid, stat.S_IMODE(file.st_mode)

    assert owners(Rules(), "kept") == (11, 22, 0o4755)
    assert owners(Rules(owner=(33, 44)), "given") == (33, 44, 0o4755)
    assert owners(Rules(keep_owner=False), "mine") == (os.geteuid(), os.getegid(), 0o4755)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        onto_host(archive((member("f", mode=0o666), b""), member("d", b"5", mode=0o777)), tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o666
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o777


def test_deep_trees_do_not_use_up_descriptors(tmp_path: Path) -> None:
    names = ["/".join(f"d{n}" for n in range(depth)) for depth in range(1, 150)]
    links = member("l", tarfile.LNKTYPE, linkname=f"{names[-1]}/f")
    tar = archive(
        *(member(name, tarfile.DIRTYPE) for name in names), (member(f"{names[-1]}/f"), b"x"), links
    )
    onto_host(tar, tmp_path)
    assert (tmp_path / "l").read_bytes() == b"x"
    assert len(os.listdir("/proc/self/fd")) < 100


def test_a_truncated_archive_is_told(tmp_path: Path) -> None:
    tar = archive((member("f"), b"x" * 5000))
    with pytest.raises(InvalidInput, match="ends in the middle"):
        onto_host(tar[:2000], tmp_path)


# ------------------------------------------------------------------ anything


NAMES = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    kind = draw(st.sampled_from([b"0", b"5", b"2", b"1", b"6"]))
    link = draw(st.one_of(NAMES, NAMES.map(lambda n: f"/{n}"), NAMES.map(lambda n: f"../../{n}")))
    setuid = member(
        draw(st.one_of(NAMES, NAMES.map(lambda n: f"/{n}"))),
        kind,
        mode=draw(st.sampled_from([0o777, 0o600, 0o4755])),
        linkname=link if kind in (b"1", b"2") else "",
    )
    return setuid, b"evil" if kind == b"0" else b""


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def outside_of(top: Path) -> dict[str, tuple[int, int, bytes]]:
    sizes = {}
    for path in top.rglob("*"):
        if "to" not in path.relative_to(top).parts:
            status = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            sizes[str(path)] = (status.st_mode, status.st_nlink, data)
    return sizes


@settings(max_examples=120, deadline=None)
@given(st.lists(members(), max_size=10), st.booleans(), st.booleans())
def test_row_52_whatever_an_archive_says_nothing_outside_is_touched(
    entries: list[tuple[tarfile.TarInfo, bytes]], on_host: bool, keep_kinds: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        for name in ("a", "b", "c", "x/a", "x/b"):
            (top / name).parent.mkdir(exist_ok=True)
            (top / name).write_text("good")
        to = top / "x" / "to"
        to.mkdir()
        (to / "a").symlink_to(top)
        before = outside_of(top)
        rules = Rules(keep_owner=False, keep_kinds=keep_kinds)
        try:
            if on_host:
                onto_host(archive(*entries), to, rules)
            else:
                into_root(archive(*entries), to, "/", rules)
        except (Conflict, InvalidInput):
            pass  # refused half-way: what matters is where it was
        assert outside_of(top) == before
