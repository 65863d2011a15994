"""Volumes and mounts in containers that run. Rows and CVE ids are those of historic faults."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount

from .conftest import Build, Run, collect

pytestmark = [pytest.mark.root, pytest.mark.network]


def volume(source: str, target: str, **more: object) -> Mount:
    return Mount(kind="volume", source=source, target=target, **more)  # type: ignore[arg-type]


def bind(source: Path | str, target: str, **more: object) -> Mount:
    return Mount(kind="bind", source=str(source), target=target, **more)  # type: ignore[arg-type]


def data(engine: Engine, name: str) -> Path:
    return Path(engine.inspect_volume(name)["Mountpoint"])


@pytest.fixture
def seeded(build: Build) -> str:
    """An image with something of every kind in /data and an empty /empty of its own owner."""
    return build(
        "FROM busybox\n"
        "RUN mkdir -p /data/sub /empty && cd /data && echo one > file && ln file sub/hard"
        " && ln -s file soft && mkfifo fifo && touch -d '2020-01-02 03:04:05' file"
        " && chown 1000:1001 file sub && chmod 2750 sub && chmod 4711 fifo"
        " && chown 33:34 /data /empty && chmod 1770 /data && chmod 700 /empty\n"
        "VOLUME /anonymous\n"
    )


# ------------------------------------------------------------------ what lives on


def test_a_named_volume_outlives_its_containers(engine: Engine, run: Run) -> None:
    mounts = (volume("kept", "/v"),)
    assert run("sh", "-c", "echo hello > /v/x", mounts=mounts).code == 0
    assert run("cat", "/v/x", mounts=mounts).stdout == "hello\n"
    assert (data(engine, "kept") / "x").read_text() == "hello\n"


def test_an_images_volume_is_anonymous_and_goes_with_rm(
    engine: Engine, run: Run, seeded: str
) -> None:
    engine.run_detached(ContainerSpec(image=seeded, command=("sleep", "100"), name="web"))
    (found,) = engine.volumes()
    assert found.is_anonymous
    assert len(found.name) == 64
    engine.remove("web", force=True, volumes=True)
    assert engine.volumes() == ()


def test_a_container_of_rm_takes_its_anonymous_volumes_along(
    engine: Engine, run: Run, seeded: str
) -> None:
    run("true", image=seeded, mounts=(volume("named", "/v"),))
    assert [one.name for one in engine.volumes()] == ["named"]


def test_a_detached_container_of_rm_takes_its_volumes_along_when_nobody_is_there(
    engine: Engine, seeded: str
) -> None:
    spec = ContainerSpec(
        image=seeded, command=("cat",), name="web", auto_remove=True, open_stdin=True
    )
    engine.run_detached(spec)
    engine.create(ContainerSpec(image="busybox", name="user", volumes_from=("web",)))
    engine.stop("web", timeout=0)
    assert [one.name for one in engine.containers(all=True)] == ["user"]
    assert len(engine.volumes()) == 1  # it has another user
    engine.remove("user", volumes=True)
    engine.run_detached(spec)
    engine.stop("web", timeout=0)
    assert engine.volumes() == ()


def test_rm_without_v_leaves_an_anonymous_volume(engine: Engine, seeded: str) -> None:
    engine.create(ContainerSpec(image=seeded, name="web"))
    engine.remove("web")
    assert [one.is_anonymous for one in engine.volumes()] == [True]


def test_an_anonymous_volume_stays_while_another_container_uses_it(
    engine: Engine, run: Run, seeded: str
) -> None:
    engine.create(ContainerSpec(image=seeded, name="first"))
    engine.create(ContainerSpec(image="busybox", name="second", volumes_from=("first",)))
    engine.remove("first", volumes=True)
    assert len(engine.volumes()) == 1
    engine.remove("second", volumes=True)
    assert engine.volumes() == ()


def test_a_volume_in_use_is_not_removed_even_by_force(engine: Engine) -> None:
    container = engine.create(
        ContainerSpec(image="busybox", name="web", mounts=(volume("used", "/v"),))
    )
    for force in (False, True):
        with pytest.raises(Conflict) as raised:
            engine.remove_volume("used", force=force)
        assert raised.value.message == f"remove used: volume is in use - [{container.id}]"
    engine.remove("web")
    engine.remove_volume("used")
    assert engine.volumes() == ()


# ------------------------------------------------------------------ copy-up


def test_an_empty_volume_is_filled_with_all_that_the_image_has(
    engine: Engine, run: Run, seeded: str
) -> None:
    engine.create(ContainerSpec(image=seeded, mounts=(volume("vol", "/data"),)))
    root = data(engine, "vol")
    facts = {path.name: path.lstat() for path in root.rglob("*")}
    assert set(facts) == {"file", "sub", "hard", "soft", "fifo"}
    assert os.readlink(root / "soft") == "file"
    assert facts["file"].st_ino == facts["hard"].st_ino
    assert (facts["file"].st_uid, facts["file"].st_gid) == (1000, 1001)
    assert facts["file"].st_mtime == 1577934245
    assert stat.S_ISFIFO(facts["fifo"].st_mode)
    assert [oct(stat.S_IMODE(facts[name].st_mode)) for name in ("sub", "fifo")] == [
        "0o2750",
        "0o4711",
    ]
    top = root.stat()
    assert (top.st_uid, top.st_gid, oct(stat.S_IMODE(top.st_mode))) == (33, 34, "0o1770")
    assert sorted(os.listdir(root.parent)) == ["_data", "fill.lock", "hold.lock", "volume.json"]


def test_extended_attributes_are_copied_up(engine: Engine, build: Build) -> None:
    image = build("FROM busybox\nRUN mkdir /data && touch /data/file\n")
    layer = engine._layers.path(engine.image(image).chain_ids[-1])
    os.setxattr(f"{layer}/data/file", "user.colour", b"blue")
    os.setxattr(f"{layer}/data", "user.colour", b"red")
    engine.create(ContainerSpec(image=image, mounts=(volume("vol", "/data"),)))
    assert os.getxattr(data(engine, "vol") / "file", "user.colour") == b"blue"
    assert os.getxattr(data(engine, "vol"), "user.colour") == b"red"


def test_a_volume_takes_the_owner_of_an_empty_directory(engine: Engine, seeded: str) -> None:
    engine.create(ContainerSpec(image=seeded, mounts=(volume("vol", "/empty"),)))
    found = data(engine, "vol").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (33, 34, 0o700)


def test_nothing_is_copied_over_data_or_with_nocopy_or_into_a_bind(
    engine: Engine, run: Run, seeded: str, tmp_path: Path
) -> None:
    run("touch", "/v/mine", mounts=(volume("full", "/v"),))
    source = tmp_path / "bound"
    source.mkdir()
    for mount in (
        volume("full", "/data"),
        volume("bare", "/data", copy_up=False),
        bind(source, "/data"),
    ):
        engine.create(ContainerSpec(image=seeded, mounts=(mount,)))
    assert os.listdir(data(engine, "full")) == ["mine"]
    assert os.listdir(data(engine, "bare")) == []
    assert os.listdir(source) == []


def test_a_volume_that_another_container_runs_on_is_filled_in_place(
    engine: Engine, run: Run, seeded: str
) -> None:
    mounts = (volume("vol", "/v"),)
    engine.run_detached(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="old", mounts=mounts)
    )
    engine.create(ContainerSpec(image=seeded, mounts=(volume("vol", "/data"),)))
    assert "file" in collect(engine.exec("old", ExecSpec(command=("ls", "/v")))).stdout.split()


def test_a_half_made_copy_is_thrown_away_and_a_whole_one_is_completed(
    engine: Engine, seeded: str
) -> None:
    for state, left in (("partial", "rubbish"), ("whole", "kept")):
        name = engine.create_volume(f"v-{state}").name
        staging = data(engine, name).parent / f".dockmagic-copy-e3b0c44298fc1c14.{state}"
        staging.mkdir()
        (staging / left).touch()
        engine.create(ContainerSpec(image=seeded, mounts=(volume(name, "/data"),)))
        assert not staging.exists()
    assert "file" in os.listdir(data(engine, "v-partial"))
    assert "rubbish" not in os.listdir(data(engine, "v-partial"))
    assert os.listdir(data(engine, "v-whole")) == ["kept"]


_CREATE = """
import sys
import threading
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, Mount
with Engine(sys.argv[1]) as engine:
    mount = Mount(kind="volume", source="vol", target="/data")
    engine.create(ContainerSpec(image=sys.argv[2], mounts=(mount,)))
"""


def test_processes_that_fill_one_volume_at_the_same_time_fill_it_once(
    engine: Engine, build: Build
) -> None:
    image = build("FROM busybox\nRUN mkdir /data && cd /data && seq 500 | xargs touch\n")
    arguments = [sys.executable, "-c", _CREATE, str(engine.area.root), image]
    makers = [subprocess.Popen(arguments) for _ in range(3)]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert len(os.listdir(data(engine, "vol"))) == 500


def test_a_volume_over_a_file_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="cannot mount volume over existing file, file exists"):
        engine.create(ContainerSpec(image="busybox", mounts=(volume("vol", "/etc/passwd"),)))
    assert engine.containers(all=True) == ()


# ------------------------------------------------------------------ kinds of mounts


def test_v_makes_a_missing_source_and_mount_refuses_it(
    engine: Engine, run: Run, tmp_path: Path
) -> None:
    missing = tmp_path / "a" / "b"
    with pytest.raises(NotFound, match="bind source path does not exist"):
        run("true", mounts=(bind(missing, "/x"),))
    assert run("true", mounts=(bind(missing, "/x", create_source=True),)).code == 0
    assert missing.is_dir()


def test_a_single_file_is_bound(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "config"
    source.write_text("setting\n")
    for target in ("/etc/motd", "/new/place/file"):
        ended = run("cat", target, mounts=(bind(source, target, create_source=True),))
        assert ended.stdout == "setting\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc"])
def test_file_and_directory_do_not_go_together(run: Run, tmp_path: Path, target: str) -> None:
    source = tmp_path / "source"
    if target == "/etc":
        source.touch()
    else:
        source.mkdir()
    with pytest.raises(StartFailed, match=r"Are you trying to mount a directory onto a file") as e:
        run("true", mounts=(bind(source, target),))
    assert e.value.exit_code == 127


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host, shared, with another file system mounted in it."""
    outer = tmp_path / "outer"
    outer.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "outer", outer], check=True)
    (outer / "inner").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "inner", outer / "inner"], check=True)
    (outer / "inner" / "file").touch()
    try:
        yield outer
    finally:
        subprocess.run(["umount", "-R", outer], check=True)


_TOUCH = "touch /m/x 2>/dev/null && echo outer; touch /m/inner/x 2>/dev/null && echo inner; true"


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, ["outer", "inner"]),
        ({"read_only": True}, []),
        ({"read_only": True, "submounts_read_only": False}, ["inner"]),
        ({"read_only": True, "recursive": False}, []),
    ],
)
def test_read_only_binds(
    run: Run, nested: Path, options: dict[str, bool], written: list[str]
) -> None:
    ended = run("sh", "-c", _TOUCH, mounts=(bind(nested, "/m", **options),))
    assert ended.stdout.split() == written


def test_a_bind_that_is_not_recursive_leaves_submounts_out(run: Run, nested: Path) -> None:
    ended = run("ls", "/m/inner", mounts=(bind(nested, "/m", recursive=False),))
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("propagation", "seen_inside", "seen_outside"),
    [
        ("rprivate", False, False),
        ("rslave", True, False),
        ("slave", True, False),
        ("rshared", True, True),
        ("shared", True, True),
    ],
)
def test_mounts_propagate_as_asked(
    engine: Engine, nested: Path, propagation: str, seen_inside: bool, seen_outside: bool
) -> None:
    subprocess.run(["mount", "--make-rshared", nested], check=True)
    for name in ("host", "container"):
        (nested / name).mkdir()
    engine.run_detached(
        ContainerSpec(
            image="busybox",
            command=("sleep", "100"),
            name="web",
            privileged=True,
            mounts=(bind(nested, "/m", propagation=propagation),),
        )
    )
    subprocess.run(["mount", "-t", "tmpfs", "late", nested / "host"], check=True)
    inside = collect(engine.exec("web", ExecSpec(command=("cat", "/proc/self/mountinfo")))).stdout
    assert (" /m/host " in inside) is seen_inside
    spec = ExecSpec(command=("mount", "-t", "tmpfs", "late", "/m/container"), privileged=True)
    assert collect(engine.exec("web", spec)).code == 0
    assert (f" {nested}/container " in Path("/proc/self/mountinfo").read_text()) is seen_outside


@pytest.mark.parametrize(
    ("propagation", "kind"), [("rshared", "shared"), ("rslave", "shared or slave")]
)
def test_what_is_not_shared_on_the_host_cannot_be_propagated(
    run: Run, nested: Path, propagation: str, kind: str
) -> None:
    subprocess.run(["mount", "--make-rprivate", nested], check=True)
    with pytest.raises(InvalidInput, match=f"is mounted on .*/outer but it is not a {kind} mount"):
        run("true", mounts=(bind(nested / "inner" / "..", "/m", propagation=propagation),))


def test_a_part_of_a_volume(engine: Engine, run: Run) -> None:
    run("sh", "-c", "mkdir -p /v/a/b && echo deep > /v/a/b/x", mounts=(volume("vol", "/v"),))
    mounts = (volume("vol", "/part", subpath="a/b"), volume("vol", "/file", subpath="a/b/x"))
    assert run("sh", "-c", "cat /part/x; cat /file", mounts=mounts).stdout == "deep\ndeep\n"
    for subpath, message in (("nope", "cannot access path"), ("../x", "must be a relative path")):
        with pytest.raises(DockmagicError, match=message):
            run("true", mounts=(volume("vol", "/part", subpath=subpath),))


def test_row23_a_part_of_a_volume_stays_inside_it(engine: Engine, run: Run) -> None:
    """CVE-2024-23651 and its kind: a link in the volume leads to a directory of the host."""
    run(
        "sh",
        "-c",
        "mkdir /v/etc && ln -s /etc /v/l; ln -s ../../.. /v/up",
        mounts=(volume("vol", "/v"),),
    )
    assert run("ls", "/part", mounts=(volume("vol", "/part", subpath="l"),)).stdout == ""
    assert run("ls", "/part", mounts=(volume("vol", "/part", subpath="up"),)).stdout.split() == [
        "etc",
        "l",
        "up",
    ]


def test_an_image_is_mounted_read_only(engine: Engine, run: Run, seeded: str) -> None:
    for subpath, path in (("", "/image/data/file"), ("data", "/image/file")):
        mount = Mount(kind="image", source=seeded, target="/image", subpath=subpath)
        ended = run("sh", "-c", f"cat {path}; touch {path}", mounts=(mount,))
        assert ended.stdout == "one\n"
        assert "Read-only file system" in ended.stderr
    mount = Mount(kind="image", source="busybox", target="/image")
    assert "bin" in run("ls", "/image", mounts=(mount,)).stdout.split()
    with pytest.raises(NotFound, match="No such image"):
        run("true", mounts=(Mount(kind="image", source="nope", target="/image"),))


def test_a_mounted_image_keeps_its_layers(engine: Engine, build: Build, run: Run) -> None:
    image = build("FROM busybox\nRUN echo kept > /kept\n")
    mount = Mount(kind="image", source=image, target="/image")
    engine.create(
        ContainerSpec(image="busybox", name="web", command=("cat", "/image/kept"), mounts=(mount,))
    )
    engine.remove_image(image)
    engine._layers.prune()
    assert collect(engine.attach_start("web")).stdout == "kept\n"


def test_memory_is_not_executable_unless_asked_and_has_the_mode_of_what_it_covers(
    run: Run,
) -> None:
    def mounted(target: str, *options: str) -> list[str]:
        mount = Mount(kind="tmpfs", target=target, options=options)
        script = f"grep ' {target} ' /proc/self/mountinfo; stat -c %a {target}"
        return run("sh", "-c", script, mounts=(mount,)).stdout.split()

    words = mounted("/new")
    assert words[5].split(",") == ["rw", "nosuid", "nodev", "noexec", "relatime"]
    assert words[-1] == "1777"
    words = mounted("/root", "exec", "suid", "size=1m")
    assert words[5].split(",") == ["rw", "nodev", "relatime"]
    assert "size=1024k" in words[-2]
    assert words[-1] == "700"
    assert mounted("/new", "mode=711", "ro")[-1] == "711"


def test_mounts_below_mounts_come_after_them(run: Run, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    mounts = (
        Mount(kind="tmpfs", target="/a/b/c"),
        volume("inner", "/a/b"),
        bind(outer, "/a"),
    )
    ended = run("sh", "-c", "touch /a/1 /a/b/2 /a/b/c/3 && ls /a /a/b /a/b/c", mounts=mounts)
    assert ended.stdout.split() == ["/a:", "1", "b", "/a/b:", "2", "c", "/a/b/c:", "3"]


def test_two_mounts_on_one_place_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^Duplicate mount point: /x$"):
        run("true", mounts=(volume("a", "/x"), bind(tmp_path, "/x/")))


def test_volumes_of_another_container(engine: Engine, run: Run, tmp_path: Path) -> None:
    mounts = (volume("vol", "/v"), bind(tmp_path, "/bound", read_only=True))
    engine.create(ContainerSpec(image="busybox", name="first", mounts=mounts))
    script = "touch /v/x && echo v; touch /bound/x && echo bound"
    assert run("sh", "-c", script, volumes_from=("first",)).stdout == "v\n"
    assert run("sh", "-c", script, volumes_from=("first:ro",)).stdout == ""
    own = (volume("other", "/v"),)
    assert run("ls", "/v", volumes_from=("first",), mounts=own).stdout == ""
    for text, message in (
        ("nope", "No such container: nope"),
        ("first:nope", "invalid mode: nope"),
    ):
        with pytest.raises(DockmagicError, match=message):
            run("true", volumes_from=(text,))


def test_a_read_only_container_writes_to_its_volumes(run: Run) -> None:
    mounts = (volume("vol", "/v"), Mount(kind="tmpfs", target="/t"))
    ended = run("sh", "-c", "touch /v/x /t/x && touch /x", read_only=True, mounts=mounts)
    assert ended.stderr == "touch: /x: Read-only file system\n"


# ------------------------------------------------------------------ driver options


def test_a_volume_in_memory_leaves_nothing_on_the_host(engine: Engine, run: Run) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=2m,uid=7,noexec"}
    engine.create_volume("memory", driver_options=options)
    script = "grep ' /v ' /proc/self/mountinfo; stat -c %u /v; touch /v/x"
    ended = run("sh", "-c", script, mounts=(volume("memory", "/v"),))
    words = ended.stdout.split()
    assert "noexec" in words[5]
    assert "size=2048k" in words[-2]
    assert words[-1] == "7"
    assert os.listdir(data(engine, "memory")) == []
    assert "memory/_data" not in Path("/proc/self/mountinfo").read_text()


def test_containers_that_run_share_a_volume_in_memory(engine: Engine, run: Run) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    mounts = (volume(engine.create_volume("memory", driver_options=options).name, "/v"),)
    spec = ContainerSpec(
        image="busybox", command=("sleep", "100"), name="first", mounts=mounts, network="none"
    )
    engine.run_detached(spec)
    assert run("touch", "/v/from-second", mounts=mounts, network="none").code == 0
    ended = collect(engine.exec("first", ExecSpec(command=("ls", "/v"))))
    assert ended.stdout == "from-second\n"
    # a link in the way: what it leads to is not the volume, so the third begins with an empty one
    script = "mkdir /w && mount -t tmpfs none /w && touch /w/no && umount /v && ln -sfn /w /v"
    engine.remove("first", force=True)
    engine.run_detached(replace(spec, privileged=True))
    collect(
        engine.exec(
            "first",
            ExecSpec(command=("sh", "-c", f"{script}; rmdir /v; ln -s /w /v"), privileged=True),
        )
    )
    assert run("ls", "/v", mounts=mounts, network="none").stdout == ""


def test_a_volume_that_is_a_directory_of_the_host(
    engine: Engine, run: Run, tmp_path: Path, seeded: str
) -> None:
    source = tmp_path / "real"
    source.mkdir()
    options = {"type": "none", "device": str(source), "o": "bind"}
    engine.create_volume("bound", driver_options=options)
    assert run("cat", "/data/file", image=seeded, mounts=(volume("bound", "/data"),)).code == 0
    assert sorted(os.listdir(source)) == ["fifo", "file", "soft", "sub"]
    part = volume("bound", "/part", subpath="sub")
    assert run("ls", "/part", mounts=(part,)).stdout == "hard\n"
    engine.remove_volume("bound")
    assert (source / "file").exists()


def test_copies_see_the_volumes_of_a_container_that_does_not_run(
    engine: Engine, tmp_path: Path, seeded: str
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "file").write_text("from the host\n")
    engine.create_volume("bound", driver_options={"type": "none", "device": str(real), "o": "bind"})
    mounts = (volume("bound", "/b"), Mount(kind="image", source=seeded, target="/i"))
    engine.create(ContainerSpec(image="busybox", name="web", mounts=mounts))
    for path, text in (("/b/file", b"from the host\n"), ("/i/data/file", b"one\n")):
        _, stream = engine.copy_out("web", path)
        assert text in b"".join(stream)


def test_a_volume_on_a_block_device_is_filled_and_kept(
    engine: Engine, run: Run, tmp_path: Path, seeded: str
) -> None:
    if not shutil.which("mkfs.ext4"):
        pytest.skip("optional: mkfs.ext4 is not installed")
    image = tmp_path / "disk"
    with image.open("wb") as stream:
        stream.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    loop = subprocess.run(
        ["losetup", "-f", "--show", image], capture_output=True, text=True, check=False
    )
    if loop.returncode:
        pytest.skip(f"optional: no loop devices: {loop.stderr.strip()}")
    device = loop.stdout.strip()
    try:
        engine.create_volume("disk", driver_options={"type": "ext4", "device": device})
        mounts = (volume("disk", "/data"),)
        run("true", image=seeded, mounts=mounts)
        assert "lost+found" in run("ls", "/data", mounts=mounts).stdout
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def test_what_cannot_be_mounted_is_told_in_dockers_words(
    engine: Engine, run: Run, tmp_path: Path
) -> None:
    for number, options in enumerate(
        (
            {"type": "none", "device": str(tmp_path / "nope"), "o": "bind"},
            {"type": "nosuchfs", "device": "x"},
        )
    ):
        name = engine.create_volume(f"broken{number}", driver_options=options).name
        with pytest.raises(StartFailed, match=r"failed to mount local volume: mount .*: no such"):
            run("true", mounts=(volume(name, "/v"),))


# ------------------------------------------------------------------ historic faults

_SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
while True:
    libc.renameat2(-100, b"a", -100, b"link", 2)  # RENAME_EXCHANGE
"""


@pytest.fixture
def swapped(engine: Engine, run: Run) -> Iterator[Path]:
    """A volume `vol` in which the directory `a` and a link to the top change places without end.

    It is done on the host, faster than a container could.
    """
    links = "mkdir -p /v/a/b && echo volume > /v/a/name && ln -s ../../../../../../../../.. /v/link"
    run("sh", "-c", links, mounts=(volume("vol", "/v"),))
    root = data(engine, "vol")
    arguments = [sys.executable, "-c", _SWAP, str(root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        yield root
        swapper.kill()


def shows_host_root(mountinfo: str) -> bool:
    """Whether the top of the host's root file system is mounted anywhere."""
    found = Path("/").stat().st_dev
    device = f"{os.major(found)}:{os.minor(found)}"
    lines = (line.split() for line in mountinfo.splitlines())
    return any(words[2:4] == [device, "/"] for words in lines)


def test_row8_cve_2021_30465_links_that_are_swapped_while_mounting_lead_nowhere(
    engine: Engine, run: Run, swapped: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    marker.mkdir()
    name = f"dockmagic-{os.getpid()}-row8"
    mounts = (volume("vol", "/v"), bind(marker, f"/v/a/{name}"), volume("vol", "/v/a/b"))
    started = 0
    for _ in range(100):
        try:
            ended = run("cat", "/proc/self/mountinfo", mounts=mounts, network="none")
        except StartFailed:  # a directory was no longer one when it was its turn
            continue
        started += 1
        assert f"{marker} " in ended.stdout
        assert not shows_host_root(ended.stdout)
    assert started > 10
    assert not Path("/", name).exists()
    assert str(marker) not in Path("/proc/self/mountinfo").read_text()


def test_row22_cve_2023_0778_a_part_that_is_swapped_for_a_link_stays_in_the_volume(
    run: Run, swapped: Path
) -> None:
    seen = set()
    for _ in range(100):
        mount = volume("vol", "/part", subpath="a")
        ended = run(
            "sh",
            "-c",
            "ls /part; echo -; cat /proc/self/mountinfo",
            mounts=(mount,),
            network="none",
        )
        listing, _, mountinfo = ended.stdout.partition("-\n")
        seen.add(tuple(listing.split()))
        assert not shows_host_root(mountinfo)
    # the directory itself, or the top of the volume: whatever it was at that moment
    assert seen <= {("b", "name"), ("a", "link")}


def test_row9_cve_2024_45310_missing_mount_points_are_made_inside(
    engine: Engine, build: Build, run: Run, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    image = build(f"FROM busybox\nRUN ln -s {outside} /a\n")
    file = tmp_path / "file"
    file.touch()
    for mount in (
        volume("vol", "/a/volume"),
        bind(file, "/a/deep/file"),
        Mount(kind="tmpfs", target="/a/memory"),
        Mount(kind="image", source="busybox", target="/a/image"),
    ):
        assert run("test", "-e", mount.target, image=image, mounts=(mount,)).code == 0
    assert os.listdir(outside) == []


@pytest.mark.parametrize("target", ["../../../../etc", "/etc"])
def test_row21_cve_2022_23648_a_volume_behind_a_link_is_filled_from_the_image(
    engine: Engine, build: Build, target: str
) -> None:
    image = build(
        f"FROM busybox\nRUN echo image > /etc/hostname-of-image; ln -s {target} /v\nVOLUME /v\n"
    )
    engine.create(ContainerSpec(image=image))
    (found,) = engine.volumes()
    names = set(os.listdir(found.mountpoint))
    assert "hostname-of-image" in names
    assert "shadow" not in names


def test_nothing_is_mounted_inside_proc(run: Run, build: Build) -> None:
    image = build("FROM busybox\nRUN ln -s /proc/sys /link\n")
    for mount in (
        volume("vol", "/link"),
        Mount(kind="tmpfs", target="/link"),
        Mount(kind="image", source="busybox", target="/proc"),
    ):
        with pytest.raises(DockmagicError, match="inside /proc"):
            run("true", image=image, mounts=(mount,))


def test_prune_never_takes_a_volume_from_a_container_that_is_being_made(
    engine: Engine, seeded: str
) -> None:
    done = threading.Event()
    pruner = threading.Thread(target=lambda: _prune_until(engine, done))
    pruner.start()
    try:
        made = [
            engine.create(ContainerSpec(image=seeded, mounts=(volume(f"named{n % 3}", "/data"),)))
            for n in range(30)
        ]
    finally:
        done.set()
        pruner.join()
    for container in made:
        for mount in engine.inspect(container.id)["Mounts"]:
            assert Path(mount["Source"]).is_dir()
    assert all("file" in os.listdir(data(engine, f"named{n}")) for n in range(3))


def _prune_until(engine: Engine, done: threading.Event) -> None:
    while not done.is_set():
        engine.prune_volumes({"all": ["true"]})
