"""`cp` between real containers and this machine.

`docker_cp.json` has what Docker 20.10 with the client of Docker 28 made of the same trees: the
words of its errors, or what was new afterwards. The historic faults are named by their row of the
security table and their number.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic import commands
from dockmagic.commands.result import Chunk, Result
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount, Status

from .conftest import Build, collect

pytestmark = [pytest.mark.root, pytest.mark.network]
DOCKER = json.loads((Path(__file__).parent / "docker_cp.json").read_text())
# the same names in the container, below /c, and on the host
CONTAINER = """FROM busybox
RUN <<EOF
mkdir -p /c/d/s /c/ex /c/conf/a /c/conf2
cd /c
echo cf > f; echo a > d/a; echo b > d/s/b; echo old > ex/old; echo exf > exf; echo z > conf/a/z
echo x > conf2/d
ln -s f lf; ln -s d ld; ln -s nope lx; ln -s ex lex; ln -s newf dangle; ln -s /c/d labs
ln -s l2 l1; ln -s l1 l2; ln -s exf lexf
ln d/a d/hard; mkfifo d/fifo; ln -s /etc/passwd d/pw
EOF
"""


@pytest.fixture
def image(build: Build) -> str:
    return build(CONTAINER)


def make_host_tree(top: Path) -> None:
    files = {
        "f": "file\n", "d/a": "a\n", "d/s/b": "b\n", "ex/old": "old\n", "exf": "exfile\n",
        "conf/a/z": "z\n", "conf2/d": "file named d\n",
    }  # fmt: skip
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    links = {
        "lf": "f", "ld": "d", "lx": "nope", "lex": "ex", "dangle": "newf",
        "loop/l1": "l2", "loop/l2": "l1", "d/labs": "/etc/passwd",
    }  # fmt: skip
    (top / "loop").mkdir()
    for name, target in links.items():
        (top / name).symlink_to(target)
    os.link(top / "d/a", top / "d/hard")
    os.mkfifo(top / "d/fifo")


def host_tree(top: Path) -> set[str]:
    found = set()
    for path in top.rglob("*"):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found.add(f"{name} -> {path.readlink()}")
        elif path.is_dir():
            found.add(f"{name}/")
        elif path.is_fifo():
            found.add(f"{name} fifo")
        else:
            found.add(f"{name} = {path.read_text().strip()}")
    return found


def container_tree(engine: Engine, name: str) -> set[str]:
    found = set()
    with tarfile.open(fileobj=io.BytesIO(read(engine, name, "/c"))) as tar:
        for member in tar:
            if member.issym():
                found.add(f"{member.name} -> {member.linkname}")
            elif member.islnk():
                found.add(f"{member.name} hard link to {member.linkname}")
            elif member.isdir():
                found.add(f"{member.name}/")
            elif member.isfifo():
                found.add(f"{member.name} fifo")
            else:
                stream = tar.extractfile(member)
                assert stream is not None
                found.add(f"{member.name} = {stream.read().decode().strip()}")
    return found


def read(engine: Engine, name: str, path: str) -> bytes:
    """The tar of a path, without the time it takes to complain."""
    _, stream = engine.copy_out(name, path)
    with stream:
        return b"".join(stream)


def contents(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = [(member, tar.extractfile(member)) for member in tar if member.isfile()]
        return {member.name: stream.read() for member, stream in files if stream}


def make_tar(files: dict[str, bytes], compress: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    plain = out.getvalue()
    if compress == "zst":
        import zstandard

        return zstandard.compress(plain)
    if not compress:
        return plain
    return {"gz": gzip, "xz": lzma, "bz2": bz2}[compress].compress(plain)  # type: ignore[no-any-return]


def cp(engine: Engine, *words: str) -> bytes:
    """Run the command; what it wrote to stdout, if that is where it copied to."""
    outcome = commands.execute(engine, commands.parse(["cp", *words]))
    if isinstance(outcome, Result):
        return b""
    return b"".join(event.data for event in outcome if isinstance(event, Chunk))


# ------------------------------------------------------------------ as Docker does


def outcome_of(words: list[str], engine: Engine, host: Path, name: str) -> tuple[str, bytes]:
    try:
        return "", cp(engine, *words)
    except DockmagicError as error:
        said = error.message.replace(str(host), "{host}")
        return f"error: {said.replace(f'container {name}', '{name}')}", b""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "host"
    top.mkdir()
    monkeypatch.chdir(top)
    return top


def fresh(engine: Engine, image: str, host: Path, *, running: bool) -> None:
    """The container `tt` and the host's tree as they are before a case."""
    if engine.containers(all=True):
        engine.remove("tt", force=True)
    engine.create(ContainerSpec(image=image, command=("sleep", "1000"), name="tt"))
    if running:
        engine.start("tt")
    for path in sorted(host.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    make_host_tree(host)


def some(cases: dict[str, object], *, running: bool) -> list[tuple[str, object]]:
    """All, or a sixth of them where each takes the start of a container."""
    return list(cases.items())[:: 6 if running else 1]


@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_what_is_copied_in_goes_where_docker_puts_it(
    engine: Engine, image: str, host: Path, running: bool
) -> None:
    different = {}
    fresh(engine, image, host, running=False)
    before = container_tree(engine, "tt")
    for case, expected in some(DOCKER["in"], running=running):
        fresh(engine, image, host, running=running)
        *flags, source, target = case.split()
        said, _ = outcome_of([*flags, source, f"tt:{target}"], engine, host, "tt")
        found: object = said or sorted(container_tree(engine, "tt") - before)
        if found != expected:
            different[case] = (expected, found)
    assert not different


@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_what_is_copied_out_goes_where_docker_puts_it(
    engine: Engine, image: str, host: Path, running: bool
) -> None:
    different = {}
    for case, expected in some(DOCKER["out"], running=running):
        fresh(engine, image, host, running=running)
        before = host_tree(host)
        *flags, source, target = case.split()
        said, _ = outcome_of([*flags, f"tt:{source}", target], engine, host, "tt")
        found: object = said or sorted(host_tree(host) - before)
        if found != expected:
            different[case] = (expected, found)
    assert not different


def test_archives_to_stdout_have_dockers_names(engine: Engine, image: str, host: Path) -> None:
    fresh(engine, image, host, running=False)
    different = {}
    for case, expected in DOCKER["tar"].items():
        *flags, source = case.split()
        said, archive = outcome_of([*flags, f"tt:{source}", "-"], engine, host, "tt")
        found: object = said
        if not said:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                found = sorted(tar.getnames())
        if found != expected:
            different[case] = (expected, found)
    assert not different


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b"), "must specify at least one container source"),
        (("-", "-"), "must specify at least one container source"),
        (("one:/a", "two:/b"), "copying between containers is not supported"),
        (("", "one:/a"), "source can not be empty"),
        (("one:/a", ""), "destination can not be empty"),
        (("nosuch:/a", "x"), "No such container: nosuch"),
        (("/etc/passwd", "nosuch:/a"), "No such container: nosuch"),
    ],
)
def test_lines_that_cannot_be(
    engine: Engine, host: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DockmagicError, match=message):
        cp(engine, *words)


def test_how_much_was_copied_is_said_in_dockers_words(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    made = commands.execute(engine, commands.parse(["cp", "f", "tt:/tmp/"]))
    assert str(made) == "Successfully copied 2.05kB to tt:/tmp/"
    (host / "empty").touch()
    made = commands.execute(engine, commands.parse(["cp", "empty", "tt:new"]))
    assert str(made) == "Successfully copied 1.54kB to tt:new"
    made = commands.execute(engine, commands.parse(["cp", "tt:/c/f", "./ex/../here"]))
    assert str(made) == f"Successfully copied 2.05kB to {host}/here"


def test_nothing_is_left_open(engine: Engine, image: str, host: Path) -> None:
    fresh(engine, image, host, running=True)
    cp(engine, "tt:/c", "warm")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        cp(engine, "tt:/c", "out")
        cp(engine, "d", "tt:/c/in")
        with pytest.raises(DockmagicError):
            cp(engine, "tt:/nope", "out")
        _, stream = engine.copy_out("tt", "/c")
        stream.close()  # before it was read at all
        _, stream = engine.copy_out("tt", "/c")
        next(stream)
        stream.close()
    assert len(os.listdir("/proc/self/fd")) == before


# ------------------------------------------------------------------ what is where


def with_mounts(host: Path) -> ContainerSpec:
    (host / "bound").mkdir()
    (host / "bound" / "b").write_text("from the host")
    (host / "fixed").mkdir()
    (host / "file").write_text("one file")
    return ContainerSpec(
        image="busybox",
        name="cc",
        command=("sh", "-c", "echo volume > /v/f; echo tmp > /t/f; sleep 1000"),
        mounts=(
            Mount(kind="volume", source="data", target="/v"),
            Mount(kind="bind", source=str(host / "bound"), target="/b"),
            Mount(kind="bind", source=str(host / "fixed"), target="/ro", read_only=True),
            Mount(kind="bind", source=str(host / "file"), target="/etc/one"),
            Mount(kind="tmpfs", target="/t"),
        ),
    )


def start_and_wait_for(engine: Engine, name: str, path: str) -> None:
    engine.start(name)
    test = f"until test -s {path}; do sleep 0.02; done"
    collect(engine.exec(name, ExecSpec(command=("sh", "-c", test))))


def test_volumes_and_bind_mounts_are_copied_running_or_not(engine: Engine, host: Path) -> None:
    engine.create(with_mounts(host))
    assert contents(read(engine, "cc", "/b")) == {"b/b": b"from the host"}
    engine.copy_in("cc", "/v", io.BytesIO(make_tar({"before": b"1"})))
    start_and_wait_for(engine, "cc", "/t/f")
    assert contents(read(engine, "cc", "/v")) == {"v/before": b"1", "v/f": b"volume\n"}
    assert contents(read(engine, "cc", "/t")) == {"t/f": b"tmp\n"}
    assert contents(read(engine, "cc", "/etc/one")) == {"one": b"one file"}
    engine.copy_in("cc", "/b", io.BytesIO(make_tar({"while": b"2"})))
    engine.kill("cc")
    assert (host / "bound" / "while").read_bytes() == b"2"
    assert set(contents(read(engine, "cc", "/v"))) == {"v/before", "v/f"}
    assert contents(read(engine, "cc", "/t")) == {}
    assert b"localhost" in contents(read(engine, "cc", "/etc/hosts"))["hosts"]


def test_looking_at_a_container_leaves_it_as_it_is(engine: Engine, host: Path) -> None:
    engine.create(with_mounts(host))
    read(engine, "cc", "/v")
    assert engine.diff("cc") == ()  # not even mount points were made


@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_what_is_read_only_is_not_written_to(engine: Engine, host: Path, running: bool) -> None:
    engine.create(with_mounts(host))
    spec = ContainerSpec(
        image="busybox", name="fixed", read_only=True, command=("sleep", "1000"),
        mounts=(Mount(kind="volume", source="data", target="/v"),),
    )  # fmt: skip
    engine.create(spec)
    if running:
        engine.start("cc")
        engine.start("fixed")
    one = make_tar({"x": b"x"})
    with pytest.raises(Conflict, match="mounted volume is marked read-only"):
        engine.copy_in("cc", "/ro", io.BytesIO(one))
    with pytest.raises(Conflict, match="container rootfs is marked read-only"):
        engine.copy_in("fixed", "/tmp", io.BytesIO(one))
    engine.copy_in("fixed", "/v", io.BytesIO(one))  # a volume keeps its own setting
    assert contents(read(engine, "fixed", "/v"))["v/x"] == b"x"


def test_what_the_kernel_shows_is_not_copied(engine: Engine, image: str, host: Path) -> None:
    fresh(engine, image, host, running=True)
    with tarfile.open(fileobj=io.BytesIO(read(engine, "tt", "/"))) as tar:
        names = set(tar.getnames())
    assert {"/proc", "/sys", "/dev"} <= names
    assert not [name for name in names if name.startswith(("/proc/", "/sys/", "/dev/"))]
    with pytest.raises(NotFound, match="Could not find the file /proc/version in container tt"):
        read(engine, "tt", "/proc/version")


def test_a_mount_point_is_not_replaced(engine: Engine, image: str, host: Path) -> None:
    fresh(engine, image, host, running=True)
    with pytest.raises(Conflict, match="/etc/hosts: device or resource busy"):
        engine.copy_in("tt", "/etc", io.BytesIO(make_tar({"hosts": b"mine"})))
    shown = collect(engine.exec("tt", ExecSpec(command=("cat", "/etc/hosts")))).stdout
    assert "localhost" in shown


def test_a_start_waits_for_a_copy_into_the_container(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    starts: list[threading.Thread] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if not starts:
                starts.append(threading.Thread(target=engine.start, args=("tt",)))
                starts[0].start()
                starts[0].join(0.2)
                assert starts[0].is_alive()
                assert engine.container("tt").status is Status.CREATED
            return super().read(size)

    engine.copy_in("tt", "/c", Slow(make_tar({"x": b"x"})))
    starts[0].join()
    assert engine.container("tt").status is Status.RUNNING
    assert contents(read(engine, "tt", "/c/x")) == {"x": b"x"}


def test_a_container_that_is_looked_at_starts_at_once(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    _, stream = engine.copy_out("tt", "/")
    with stream:
        next(stream)
        assert engine.start("tt").status is Status.RUNNING


# ------------------------------------------------------------------ owners and modes


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


def test_owners_are_kept_into_a_container_and_become_the_callers_out_of_it(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    os.chown("f", 1234, 4321)
    Path("f").chmod(0o4640)
    os.utime("f", (1e9, 1e9))
    cp(engine, "f", "tt:/c/x")
    with tarfile.open(fileobj=io.BytesIO(read(engine, "tt", "/c/x"))) as tar:
        (member,) = tar.getmembers()
    assert (member.uid, member.gid, member.mode, member.mtime) == (1234, 4321, 0o4640, 1e9)
    cp(engine, "tt:/c/x", "plain")
    cp(engine, "-a", "tt:/c/x", "archive")
    assert owner(Path("plain")) == (os.geteuid(), os.getegid())
    assert owner(Path("archive")) == (1234, 4321)
    assert Path("plain").stat().st_mode & 0o7777 == 0o640  # no set-uid root out of a container
    assert Path("archive").stat().st_mode & 0o7777 == 0o4640
    assert Path("plain").stat().st_mtime == 1e9


def test_archive_mode_gives_files_to_the_user_that_the_container_runs_as(
    engine: Engine, image: str, host: Path, build: Build
) -> None:
    named = build(f"{CONTAINER}RUN echo 'me:x:77:88::/:/bin/sh' >> /etc/passwd\nUSER me\n")
    fresh(engine, named, host, running=False)
    cp(engine, "-a", "f", "tt:/c/x")
    with tarfile.open(fileobj=io.BytesIO(read(engine, "tt", "/c/x"))) as tar:
        assert [(one.uid, one.gid) for one in tar] == [(77, 88)]


@pytest.mark.parametrize("compress", ["", "gz", "xz", "bz2", "zst"])
def test_archives_are_read_from_a_stream(engine: Engine, image: str, compress: str) -> None:
    engine.create(ContainerSpec(image=image, command=("true",), name="tt"))
    tar = make_tar({"deep/er/x": b"x" * 100_000, "y": b""}, compress)
    engine.copy_in("tt", "/c", io.BytesIO(tar))
    assert contents(read(engine, "tt", "/c/deep")) == {"deep/er/x": b"x" * 100_000}
    assert engine.path_stat("tt", "/c/y").size == 0


def test_a_name_that_looks_like_a_compressed_stream_is_only_a_name(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    Path("BZh9").write_text("no bzip2")
    cp(engine, "BZh9", "tt:/c/")
    cp(engine, "tt:/c/BZh9", "back")
    assert Path("back").read_text() == "no bzip2"


def test_directories_reached_through_a_link_of_the_container_are_filled(
    engine: Engine, build: Build
) -> None:
    image = build("FROM busybox\nRUN mkdir -p /usr/lib64 && ln -s usr/lib64 /lib64\n")
    engine.create(ContainerSpec(image=image, command=("true",), name="tt"))
    engine.copy_in("tt", "/", io.BytesIO(make_tar({"lib64/x": b"x"})))
    assert contents(read(engine, "tt", "/usr/lib64")) == {"lib64/x": b"x"}


def test_what_is_no_archive_is_refused(engine: Engine, image: str) -> None:
    engine.create(ContainerSpec(image=image, command=("true",), name="tt"))
    for junk in (b"junk" * 1000, make_tar({"x": b"x" * 3000})[:2000]):
        with pytest.raises(InvalidInput, match="archive"):
            engine.copy_in("tt", "/c", io.BytesIO(junk))


def test_stats_of_paths_have_gos_modes(engine: Engine, image: str) -> None:
    engine.create(ContainerSpec(image=image, command=("true",), name="tt"))
    assert engine.path_stat("tt", "/c/d").go_mode == 1 << 31 | 0o755
    link = engine.path_stat("tt", "/c/labs")
    assert (link.name, link.go_mode, link.link_target) == ("labs", 1 << 27 | 0o777, "/c/d")
    assert engine.path_stat("tt", "/c/d/fifo").go_mode == 1 << 25 | 0o644
    assert engine.path_stat("tt", "/tmp").go_mode == 1 << 31 | 1 << 20 | 0o777
    assert engine.path_stat("tt", "/c/lx").link_target == "/c/nope"


# ------------------------------------------------------------------ historic faults


def snapshot(top: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below, with modes and contents."""
    found = {}
    for path in (top, *top.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (path.lstat().st_mode, content)
    return found


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the host that nothing may read or change."""
    top = tmp_path / "victim"
    top.mkdir()
    (top / "x").write_text("the host's")
    return top


SWAP = """
mkdir -p {swapped}{path}; echo 'of the container' > {swapped}{path}/x
while :; do
  ln -sfn / {swapped}.new; mv {swapped} {swapped}.old; mv {swapped}.new {swapped}
  rm {swapped}; mv {swapped}.old {swapped}
done
"""


def swapping(
    engine: Engine, path: Path, swapped: str = "/w", mounts: tuple[Mount, ...] = ()
) -> None:
    """A container in which `swapped` is now a directory, now a link to "/"."""
    script = SWAP.format(path=path, swapped=swapped)
    engine.run_detached(
        ContainerSpec(image="busybox", name="swap", command=("sh", "-c", script), mounts=mounts)
    )
    ready = f"until test -e {swapped}{path}/x; do :; done"
    collect(engine.exec("swap", ExecSpec(command=("sh", "-c", ready))))


def attempts(engine: Engine, path: str, count: int = 100) -> Iterator[bytes]:
    for _ in range(count):
        with contextlib.suppress(DockmagicError):
            yield read(engine, "swap", path)


def test_row_18_cve_2018_15664_a_swapped_link_never_leads_a_copy_to_the_host(
    engine: Engine, victim: Path
) -> None:
    swapping(engine, victim)
    seen: set[bytes] = set()
    for archive in attempts(engine, f"/w{victim}/x"):
        seen.update(contents(archive).values())
    assert seen <= {b"of the container\n"}
    assert seen  # the race was not lost every time


def test_row_18_cve_2019_10152_nor_what_is_copied_in(engine: Engine, victim: Path) -> None:
    swapping(engine, victim)
    before = snapshot(victim)
    done = 0
    for number in range(100):
        with contextlib.suppress(DockmagicError):
            tar = make_tar({f"evil{number}": b"1", "x": b"2"})
            engine.copy_in("swap", f"/w{victim}", io.BytesIO(tar))
            done += 1
    assert snapshot(victim) == before
    assert done


def test_row_19_cve_2019_14271_nothing_of_the_container_is_loaded(
    engine: Engine, build: Build, host: Path
) -> None:
    """Libraries and modules that would fail or leave a mark if anything loaded them."""
    marker = host / "loaded"
    evil = f"open({str(marker)!r}, 'w')"
    paths = [*_search_paths(), "/lib", "/lib64", "/usr/lib", "/lib/x86_64-linux-gnu"]
    lines = "\n".join(
        f'mkdir -p {path}/encodings; echo "{evil}" > {path}/encodings/idna.py; '
        f'echo "{evil}" > {path}/pwd.py; echo no library > {path}/libnss_files.so.2'
        for path in paths
    )
    image = build(f"FROM busybox\nRUN <<EOF\n{lines}\nEOF\nUSER 1:1\n")
    volume = (Mount(kind="volume", source="vv", target="/v"),)
    engine.create(ContainerSpec(image=image, name="tt", command=("sleep", "9"), mounts=volume))
    for _ in ("created", "running"):
        cp(engine, "tt:/etc", ".")
        engine.copy_in("tt", "/v", io.BytesIO(make_tar({"x": b"x"})), copy_uid_gid=True)
        engine.start("tt")
    assert (host / "etc" / "passwd").exists()
    assert not marker.exists()


def _search_paths() -> list[str]:
    import sys

    return [path for path in sys.path if path.startswith("/") and not path.endswith(".zip")]


def test_row_20_cve_2021_41089_files_of_the_host_keep_their_modes(
    engine: Engine, image: str, host: Path, victim: Path
) -> None:
    fresh(engine, image, host, running=True)
    (victim / "x").chmod(0o600)
    before = snapshot(victim)
    script = f"mkdir /out; ln -s {victim}/x /out/a; ln -s {victim} /out/d; chmod 777 /out"
    collect(engine.exec("tt", ExecSpec(command=("sh", "-c", script))))
    (host / "out").mkdir(mode=0o700)
    cp(engine, "tt:/out", ".")  # the links are there now
    again = "rm /out/a /out/d; echo 1 > /out/a; mkdir /out/d; echo 2 > /out/d/x; chmod 777 /out/a"
    collect(engine.exec("tt", ExecSpec(command=("sh", "-c", again))))
    with pytest.raises(Conflict, match=r'cannot overwrite non-directory ".*/d" with directory'):
        cp(engine, "tt:/out", ".")
    assert snapshot(victim) == before
    assert (host / "out").stat().st_mode & 0o777 == 0o700


def test_row_22_cve_2023_0778_links_in_a_volume_lead_nowhere_else(
    engine: Engine, victim: Path
) -> None:
    volume = (Mount(kind="volume", source="vv", target="/v"),)
    swapping(engine, victim, "/v/w", mounts=volume)
    seen: set[bytes] = set()
    for archive in attempts(engine, f"/v/w{victim}/x", 50):
        seen.update(contents(archive).values())
    for _ in range(5):
        with engine.export("swap") as stream:
            exported = b"".join(stream)
        assert b"the host's" not in exported
    assert seen <= {b"of the container\n"}


@pytest.mark.parametrize("kind", ["volume", "bind"])
def test_row_50_cve_2026_42306_a_swapped_mount_point_does_not_redirect_a_copy(
    engine: Engine, victim: Path, tmp_path: Path, kind: str
) -> None:
    """And CVE-2026-41568: no file appears on the host, not even an empty one."""
    source = tmp_path / "source"
    source.mkdir()
    place = f"/w{victim}/mounted"
    (victim / "mounted").mkdir()
    name = "vv" if kind == "volume" else str(source)
    swapping(engine, victim, mounts=(Mount(kind=kind, source=name, target=place),))
    before = snapshot(victim)
    for number in range(100):
        with contextlib.suppress(DockmagicError):
            engine.copy_in("swap", place, io.BytesIO(make_tar({f"n{number}": b"1"})))
        with contextlib.suppress(DockmagicError):
            read(engine, "swap", place)
    assert snapshot(victim) == before


@pytest.mark.parametrize("compress", ["gz", "xz", "bz2", "zst"])
def test_row_51_cve_2026_41567_no_program_of_the_container_unpacks(
    engine: Engine, build: Build, host: Path, compress: str
) -> None:
    names = "xz unxz gzip gunzip unpigz pigz bzip2 bunzip2 zstd unzstd"
    marker = host / "ran"
    image = build(
        "FROM busybox\nRUN <<EOF\nmkdir -p /usr/bin /usr/local/bin\n"
        f"for name in {names}; do for place in /bin /usr/bin /usr/local/bin; do\n"
        f"rm -f $place/$name; printf '#!/bin/sh\\necho x > {marker}\\n' > $place/$name\n"
        "chmod 755 $place/$name; done; done\nEOF\n"
    )
    engine.create(ContainerSpec(image=image, name="tt", command=("sleep", "9")))
    for _ in ("created", "running"):
        engine.copy_in("tt", "/tmp", io.BytesIO(make_tar({"x": b"x"}, compress)))
        engine.start("tt")
    assert contents(read(engine, "tt", "/tmp/x")) == {"x": b"x"}
    assert not marker.exists()
    with pytest.raises(NotFound):
        engine.path_stat("tt", str(marker))
