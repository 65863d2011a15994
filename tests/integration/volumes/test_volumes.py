"""What volumes of real containers keep, what fills them, and what drivers' options do."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount
from tests.integration.conftest import Build, Run, collect

from .conftest import bind, data, volume

pytestmark = [pytest.mark.root, pytest.mark.network]


# ------------------------------------------------------------------ what lives on


def test_a_named_volume_outlives_its_containers(engine: Engine, run: Run) -> None:
    mounts = (volume("kept", "/v"),)
    assert run("sh", "-c", "echo hello > /v/x", mounts=mounts).code == 0
    assert run("cat", "/v/x", mounts=mounts).stdout == "hello\n"
    assert (data(engine, "kept") / "x").read_text() == "hello\n"


def test_an_images_volume_is_anonymous_and_goes_with_rm(
    engine: Engine, run: Run, seeded: str
) -> None:
    engine.containers.run(
        ContainerSpec(image=seeded, command=("sleep", "100"), name="web"), detach=True
    )
    (volume,) = engine.volumes.list()
    assert volume.is_anonymous
    assert len(volume.name) == 64
    engine.containers.remove("web", force=True, volumes=True)
    assert engine.volumes.list() == ()


def test_a_container_of_rm_takes_its_anonymous_volumes_along(
    engine: Engine, run: Run, seeded: str
) -> None:
    run("true", image=seeded, mounts=(volume("named", "/v"),))
    assert [volume.name for volume in engine.volumes.list()] == ["named"]


def test_a_detached_container_of_rm_takes_its_volumes_along_when_nobody_is_there(
    engine: Engine, seeded: str
) -> None:
    spec = ContainerSpec(
        image=seeded, command=("cat",), name="web", auto_remove=True, open_stdin=True
    )
    engine.containers.run(spec, detach=True)
    engine.containers.create(ContainerSpec(image="busybox", name="user", volumes_from=("web",)))
    engine.containers.stop("web", timeout=0)
    assert [container.name for container in engine.containers.list(all=True)] == ["user"]
    assert len(engine.volumes.list()) == 1  # it has another user
    engine.containers.remove("user", volumes=True)
    engine.containers.run(spec, detach=True)
    engine.containers.stop("web", timeout=0)
    assert engine.volumes.list() == ()


def test_rm_without_v_leaves_an_anonymous_volume(engine: Engine, seeded: str) -> None:
    engine.containers.create(ContainerSpec(image=seeded, name="web"))
    engine.containers.remove("web")
    assert [volume.is_anonymous for volume in engine.volumes.list()] == [True]


def test_an_anonymous_volume_stays_while_another_container_uses_it(
    engine: Engine, run: Run, seeded: str
) -> None:
    engine.containers.create(ContainerSpec(image=seeded, name="first"))
    engine.containers.create(ContainerSpec(image="busybox", name="second", volumes_from=("first",)))
    engine.containers.remove("first", volumes=True)
    assert len(engine.volumes.list()) == 1
    engine.containers.remove("second", volumes=True)
    assert engine.volumes.list() == ()


def test_a_volume_in_use_is_not_removed_even_by_force(engine: Engine) -> None:
    container = engine.containers.create(
        ContainerSpec(image="busybox", name="web", mounts=(volume("used", "/v"),))
    )
    for force in (False, True):
        with pytest.raises(Conflict) as raised:
            engine.volumes.remove("used", force=force)
        assert raised.value.message == f"remove used: volume is in use - [{container.id}]"
    engine.containers.remove("web")
    engine.volumes.remove("used")
    assert engine.volumes.list() == ()


# ------------------------------------------------------------------ copy-up


def test_an_empty_volume_is_filled_with_all_that_the_image_has(
    engine: Engine, run: Run, seeded: str
) -> None:
    engine.containers.create(ContainerSpec(image=seeded, mounts=(volume("vol", "/data"),)))
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
    layer = engine._components.layers.path(engine.images.get(image).chain_ids[-1])
    os.setxattr(f"{layer}/data/file", "user.colour", b"blue")
    os.setxattr(f"{layer}/data", "user.colour", b"red")
    engine.containers.create(ContainerSpec(image=image, mounts=(volume("vol", "/data"),)))
    assert os.getxattr(data(engine, "vol") / "file", "user.colour") == b"blue"
    assert os.getxattr(data(engine, "vol"), "user.colour") == b"red"


def test_a_volume_takes_the_owner_of_an_empty_directory(engine: Engine, seeded: str) -> None:
    engine.containers.create(ContainerSpec(image=seeded, mounts=(volume("vol", "/empty"),)))
    status = data(engine, "vol").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (33, 34, 0o700)


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
        engine.containers.create(ContainerSpec(image=seeded, mounts=(mount,)))
    assert os.listdir(data(engine, "full")) == ["mine"]
    assert os.listdir(data(engine, "bare")) == []
    assert os.listdir(source) == []


def test_a_volume_that_another_container_runs_on_is_filled_in_place(
    engine: Engine, run: Run, seeded: str
) -> None:
    mounts = (volume("vol", "/v"),)
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="old", mounts=mounts),
        detach=True,
    )
    engine.containers.create(ContainerSpec(image=seeded, mounts=(volume("vol", "/data"),)))
    assert (
        "file"
        in collect(engine.containers.exec("old", ExecSpec(command=("ls", "/v")))).stdout.split()
    )


def test_a_half_made_copy_is_thrown_away_and_a_whole_one_is_completed(
    engine: Engine, seeded: str
) -> None:
    for state, left in (("partial", "rubbish"), ("whole", "kept")):
        name = engine.volumes.create(f"v-{state}").name
        staging = data(engine, name).parent / f".dockmagic-copy-e3b0c44298fc1c14.{state}"
        staging.mkdir()
        (staging / left).touch()
        engine.containers.create(ContainerSpec(image=seeded, mounts=(volume(name, "/data"),)))
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
    engine.containers.create(ContainerSpec(image=sys.argv[2], mounts=(mount,)))
"""


def test_processes_that_fill_one_volume_at_the_same_time_fill_it_once(
    engine: Engine, build: Build
) -> None:
    image = build("FROM busybox\nRUN mkdir /data && cd /data && seq 500 | xargs touch\n")
    arguments = [sys.executable, "-c", _CREATE, str(engine.data_root.root), image]
    makers = [subprocess.Popen(arguments) for _ in range(3)]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert len(os.listdir(data(engine, "vol"))) == 500


def test_a_volume_over_a_file_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="cannot mount volume over existing file, file exists"):
        engine.containers.create(
            ContainerSpec(image="busybox", mounts=(volume("vol", "/etc/passwd"),))
        )
    assert engine.containers.list(all=True) == ()


# ------------------------------------------------------------------ driver options


def test_a_volume_in_memory_leaves_nothing_on_the_host(engine: Engine, run: Run) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=2m,uid=7,noexec"}
    engine.volumes.create("memory", driver_opts=options)
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
    mounts = (volume(engine.volumes.create("memory", driver_opts=options).name, "/v"),)
    spec = ContainerSpec(
        image="busybox", command=("sleep", "100"), name="first", mounts=mounts, network="none"
    )
    engine.containers.run(spec, detach=True)
    assert run("touch", "/v/from-second", mounts=mounts, network="none").code == 0
    ended = collect(engine.containers.exec("first", ExecSpec(command=("ls", "/v"))))
    assert ended.stdout == "from-second\n"
    # a link in the way: what it leads to is not the volume, so the third begins with an empty one
    script = "mkdir /w && mount -t tmpfs none /w && touch /w/no && umount /v && ln -sfn /w /v"
    engine.containers.remove("first", force=True)
    engine.containers.run(replace(spec, privileged=True), detach=True)
    collect(
        engine.containers.exec(
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
    engine.volumes.create("bound", driver_opts=options)
    assert run("cat", "/data/file", image=seeded, mounts=(volume("bound", "/data"),)).code == 0
    assert sorted(os.listdir(source)) == ["fifo", "file", "soft", "sub"]
    part = volume("bound", "/part", subpath="sub")
    assert run("ls", "/part", mounts=(part,)).stdout == "hard\n"
    engine.volumes.remove("bound")
    assert (source / "file").exists()


def test_copies_see_the_volumes_of_a_container_that_does_not_run(
    engine: Engine, tmp_path: Path, seeded: str
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "file").write_text("from the host\n")
    engine.volumes.create("bound", driver_opts={"type": "none", "device": str(real), "o": "bind"})
    mounts = (volume("bound", "/b"), Mount(kind="image", source=seeded, target="/i"))
    engine.containers.create(ContainerSpec(image="busybox", name="web", mounts=mounts))
    for path, text in (("/b/file", b"from the host\n"), ("/i/data/file", b"one\n")):
        _, stream = engine.containers.get_archive("web", path)
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
        engine.volumes.create("disk", driver_opts={"type": "ext4", "device": device})
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
        name = engine.volumes.create(f"broken{number}", driver_opts=options).name
        with pytest.raises(StartFailed, match=r"failed to mount local volume: mount .*: no such"):
            run("true", mounts=(volume(name, "/v"),))


def test_prune_never_takes_a_volume_from_a_container_that_is_being_made(
    engine: Engine, seeded: str
) -> None:
    done = threading.Event()
    pruner = threading.Thread(target=lambda: _prune_until(engine, done))
    pruner.start()
    try:
        processes = [
            engine.containers.create(
                ContainerSpec(image=seeded, mounts=(volume(f"named{n % 3}", "/data"),))
            )
            for n in range(30)
        ]
    finally:
        done.set()
        pruner.join()
    for container in processes:
        for mount in engine.containers.inspect(container.id)["Mounts"]:
            assert Path(mount["Source"]).is_dir()
    assert all("file" in os.listdir(data(engine, f"named{n}")) for n in range(3))


def _prune_until(engine: Engine, done: threading.Event) -> None:
    while not done.is_set():
        engine.volumes.prune({"all": ["true"]})
