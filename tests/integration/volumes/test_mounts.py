"""Every kind of mount in real containers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError, InvalidInput, NotFound, StartFailed
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Mount
from tests.integration.conftest import Build, Run, collect

from .conftest import bind, volume

pytestmark = [pytest.mark.root, pytest.mark.network]


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
    engine.containers.run(
        ContainerSpec(
            image="busybox",
            command=("sleep", "100"),
            name="web",
            privileged=True,
            mounts=(bind(nested, "/m", propagation=propagation),),
        ),
        detach=True,
    )
    subprocess.run(["mount", "-t", "tmpfs", "late", nested / "host"], check=True)
    inside = collect(
        engine.containers.exec("web", ExecSpec(command=("cat", "/proc/self/mountinfo")))
    ).stdout
    assert (" /m/host " in inside) is seen_inside
    spec = ExecSpec(command=("mount", "-t", "tmpfs", "late", "/m/container"), privileged=True)
    assert collect(engine.containers.exec("web", spec)).code == 0
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
    engine.containers.create(
        ContainerSpec(image="busybox", name="web", command=("cat", "/image/kept"), mounts=(mount,))
    )
    engine.images.remove(image)
    engine._components.layers.prune()
    assert collect(engine.containers.start_attached("web")).stdout == "kept\n"


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
    engine.containers.create(ContainerSpec(image="busybox", name="first", mounts=mounts))
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


def test_nothing_is_mounted_inside_proc(run: Run, build: Build) -> None:
    image = build("FROM busybox\nRUN ln -s /proc/sys /link\n")
    for mount in (
        volume("vol", "/link"),
        Mount(kind="tmpfs", target="/link"),
        Mount(kind="image", source="busybox", target="/proc"),
    ):
        with pytest.raises(DockmagicError, match="inside /proc"):
            run("true", image=image, mounts=(mount,))
