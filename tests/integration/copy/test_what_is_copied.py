"""Volumes, mounts, owners, modes and archives as `cp` meets them in real containers."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount, Status
from tests.integration.conftest import Build, collect

from .conftest import CONTAINER, contents, cp, fresh, make_tar, read, start_and_wait_for

pytestmark = [pytest.mark.root, pytest.mark.network]


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


def test_volumes_and_bind_mounts_are_copied_running_or_not(engine: Engine, host: Path) -> None:
    engine.containers.create(with_mounts(host))
    assert contents(read(engine, "cc", "/b")) == {"b/b": b"from the host"}
    engine.containers.put_archive("cc", "/v", io.BytesIO(make_tar({"before": b"1"})))
    start_and_wait_for(engine, "cc", "/t/f")
    assert contents(read(engine, "cc", "/v")) == {"v/before": b"1", "v/f": b"volume\n"}
    assert contents(read(engine, "cc", "/t")) == {"t/f": b"tmp\n"}
    assert contents(read(engine, "cc", "/etc/one")) == {"one": b"one file"}
    engine.containers.put_archive("cc", "/b", io.BytesIO(make_tar({"while": b"2"})))
    engine.containers.kill("cc")
    assert (host / "bound" / "while").read_bytes() == b"2"
    assert set(contents(read(engine, "cc", "/v"))) == {"v/before", "v/f"}
    assert contents(read(engine, "cc", "/t")) == {}
    assert b"localhost" in contents(read(engine, "cc", "/etc/hosts"))["hosts"]


def test_looking_at_a_container_leaves_it_as_it_is(engine: Engine, host: Path) -> None:
    engine.containers.create(with_mounts(host))
    read(engine, "cc", "/v")
    assert engine.containers.diff("cc") == ()  # not even mount points were made


@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_what_is_read_only_is_not_written_to(engine: Engine, host: Path, running: bool) -> None:
    engine.containers.create(with_mounts(host))
    spec = ContainerSpec(
        image="busybox", name="fixed", read_only=True, command=("sleep", "1000"),
        mounts=(Mount(kind="volume", source="data", target="/v"),),
    )  # fmt: skip
    engine.containers.create(spec)
    if running:
        engine.containers.start("cc")
        engine.containers.start("fixed")
    archive = make_tar({"x": b"x"})
    with pytest.raises(Conflict, match="mounted volume is marked read-only"):
        engine.containers.put_archive("cc", "/ro", io.BytesIO(archive))
    with pytest.raises(Conflict, match="container rootfs is marked read-only"):
        engine.containers.put_archive("fixed", "/tmp", io.BytesIO(archive))
    engine.containers.put_archive(
        "fixed", "/v", io.BytesIO(archive)
    )  # a volume keeps its own setting
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
        engine.containers.put_archive("tt", "/etc", io.BytesIO(make_tar({"hosts": b"mine"})))
    shown = collect(engine.containers.exec("tt", ExecSpec(command=("cat", "/etc/hosts")))).stdout
    assert "localhost" in shown


def test_a_start_waits_for_a_copy_into_the_container(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    starts: list[threading.Thread] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if not starts:
                starts.append(threading.Thread(target=engine.containers.start, args=("tt",)))
                starts[0].start()
                starts[0].join(0.2)
                assert starts[0].is_alive()
                assert engine.containers.get("tt").status is Status.CREATED
            return super().read(size)

    engine.containers.put_archive("tt", "/c", Slow(make_tar({"x": b"x"})))
    starts[0].join()
    assert engine.containers.get("tt").status is Status.RUNNING
    assert contents(read(engine, "tt", "/c/x")) == {"x": b"x"}


def test_a_container_that_is_looked_at_starts_at_once(
    engine: Engine, image: str, host: Path
) -> None:
    fresh(engine, image, host, running=False)
    _, stream = engine.containers.get_archive("tt", "/")
    with stream:
        next(stream)
        assert engine.containers.start("tt").status is Status.RUNNING


# ------------------------------------------------------------------ owners and modes


def owner(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid


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
        assert [(member.uid, member.gid) for member in tar] == [(77, 88)]


@pytest.mark.parametrize("compress", ["", "gz", "xz", "bz2", "zst"])
def test_archives_are_read_from_a_stream(engine: Engine, image: str, compress: str) -> None:
    engine.containers.create(ContainerSpec(image=image, command=("true",), name="tt"))
    tar = make_tar({"deep/er/x": b"x" * 100_000, "y": b""}, compress)
    engine.containers.put_archive("tt", "/c", io.BytesIO(tar))
    assert contents(read(engine, "tt", "/c/deep")) == {"deep/er/x": b"x" * 100_000}
    assert engine.containers.path_stat("tt", "/c/y").size == 0


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
    engine.containers.create(ContainerSpec(image=image, command=("true",), name="tt"))
    engine.containers.put_archive("tt", "/", io.BytesIO(make_tar({"lib64/x": b"x"})))
    assert contents(read(engine, "tt", "/usr/lib64")) == {"lib64/x": b"x"}


def test_what_is_no_archive_is_refused(engine: Engine, image: str) -> None:
    engine.containers.create(ContainerSpec(image=image, command=("true",), name="tt"))
    for junk in (b"junk" * 1000, make_tar({"x": b"x" * 3000})[:2000]):
        with pytest.raises(InvalidInput, match="archive"):
            engine.containers.put_archive("tt", "/c", io.BytesIO(junk))


def test_stats_of_paths_have_gos_modes(engine: Engine, image: str) -> None:
    engine.containers.create(ContainerSpec(image=image, command=("true",), name="tt"))
    assert engine.containers.path_stat("tt", "/c/d").go_mode == 1 << 31 | 0o755
    link = engine.containers.path_stat("tt", "/c/labs")
    assert (link.name, link.go_mode, link.link_target) == ("labs", 1 << 27 | 0o777, "/c/d")
    assert engine.containers.path_stat("tt", "/c/d/fifo").go_mode == 1 << 25 | 0o644
    assert engine.containers.path_stat("tt", "/tmp").go_mode == 1 << 31 | 1 << 20 | 0o777
    assert engine.containers.path_stat("tt", "/c/lx").link_target == "/c/nope"
