"""Security 6 and 12: every verb on a disk that has no block, no inode, or is read-only.

Each command line has an engine of its own, as in a terminal. What only reads works, what makes
room makes it, and everything else says in one line that there is none and changes nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic import cli
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.network import NetworkSpec
from dockmagic_runtime.testing.host import HostSnapshot, left_behind
from tests.integration.full_disks import KINDS, SmallDisk, small_disk

READING = [
    "version", "info", "ps -a", "images", "inspect dead", "image inspect busybox", "logs dead",
    "history busybox", "layers busybox", "diff dead", "port alive", "top alive",
    "stats --no-stream alive", "events --since 1h --until 0s", "volume ls", "volume inspect kept",
    "network ls", "network inspect kept", "system df", "exec alive true", "cp dead:/x {out}/x",
    "export -o {out}/exported.tar dead", "save -o {out}/saved.tar busybox", "explain alive",
    "wait dead", "pause alive", "unpause alive", "kill -s USR1 alive",
]  # fmt: skip
WRITING = [
    "run --rm busybox true", "run -d --name new busybox sleep 1", "create --name new busybox",
    "build -q -t new {out}/context", "load -q -i {out}/images.tar", "import {out}/files.tar new",
    "commit dead new", "volume create --label a=b new", "network create new", "start dead",
    "cp {out}/images.tar dead:/new",
]  # fmt: skip
REMOVING = [
    "stop -t 0 alive", "rm dead", "rm -f alive", "rmi second", "volume rm gone", "network rm gone",
    "container prune -f", "image prune -af", "builder prune -af", "volume prune -af",
    "network prune -f", "system prune -af",
]  # fmt: skip


Line = Callable[[str], tuple[int, str]]


def inventory(root: Path) -> list[object]:
    """What there is, as verbs show it and as directories."""
    with Engine(root, catalogue="never") as engine:
        engine.system.recover()
        images = [(image.id, image.tags) for image in engine.images.list(all=True)]
        containers = [(each.name, each.status) for each in engine.containers.list(all=True)]
        names = [volume.name for volume in engine.volumes.list()]
        names += [network.name for network in engine.networks.list()]
    kept = ("blobs/sha256", "containers", "layers", "networks", "tmp", "volumes")
    return [images, containers, names, *(sorted(os.listdir(root / name)) for name in kept)]


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(request.param, tmp_path) as disk:
        yield disk


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where command lines find and leave files: not on the small disk."""
    path = tmp_path / "out"
    (path / "context").mkdir(parents=True)
    (path / "context" / "Dockerfile").write_text("FROM busybox\nRUN echo new > /new\n")
    return path


@pytest.fixture
def area(disk: SmallDisk, out: Path) -> Iterator[Path]:
    """Some of everything, on the small disk before it is full."""
    root = disk.path / "area"
    before = HostSnapshot.nothing()
    with Engine(root, catalogue="always") as engine:
        list(engine.images.pull("busybox"))
        engine.containers.run("busybox", ["sleep", "600"], name="alive", detach=True)
        engine.containers.run("busybox", ["touch", "/x"], name="dead").wait()
        engine.containers.commit("dead")
        engine.images.tag("busybox", "second")
        for name in ("kept", "gone"):
            engine.volumes.create(name)
            engine.networks.create(NetworkSpec(name=name))
        with (out / "images.tar").open("wb") as file:
            engine.images.save(["busybox"], file)
        with (out / "files.tar").open("wb") as file:
            file.writelines(engine.containers.export("dead"))
        data_root = engine.data_root
    yield root
    disk.release()
    with Engine(root) as engine:
        engine.system.uninstall()
    shutil.rmtree(data_root.run, ignore_errors=True)
    assert not left_behind(before, data_root)


@pytest.fixture
def line(area: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> Line:
    """Runs a command line with an engine of its own: exit code and standard error."""

    def run(text: str) -> tuple[int, str]:
        session = Session(root=str(area), catalogue="never")
        try:
            code = cli.main(text.format(out=out).split(), session)
        finally:
            session.close()
        return code, capfd.readouterr().err

    return run


def is_refusal(error: str) -> bool:
    """One line with the reason, as users read it."""
    reasons = ("no space left on device", "read-only file system")
    return error.count("\n") == 1 and any(reason in error for reason in reasons)


@pytest.mark.parametrize("disk", KINDS, indirect=True)
def test_security_6_every_verb_on_a_disk_that_takes_nothing(
    disk: SmallDisk, area: Path, line: Line, request: pytest.FixtureRequest
) -> None:
    before = inventory(area)
    disk.exhaust()
    for text in READING:
        assert line(text) == (0, ""), text
    for text in WRITING:
        disk.exhaust()
        code, error = line(text)
        assert code, text
        assert is_refusal(error), (text, error)
    if "read-only" in str(request.node.name):
        for text in REMOVING:
            if "alive" not in text:  # it would be stopped, as by Docker, before that is known
                assert is_refusal(line(text)[1]), text
        disk.release()
        assert inventory(area) == before
        return
    for text in REMOVING:
        disk.exhaust()
        assert line(text) == (0, ""), text
    disk.release()
    with Engine(area, catalogue="never") as engine:
        assert engine.containers.list(all=True) == ()
        assert engine.images.list() == ()
        assert "gone" not in {volume.name for volume in engine.volumes.list()}
        assert "gone" not in {network.name for network in engine.networks.list()}


@pytest.mark.parametrize("disk", KINDS, indirect=True)
def test_security_6_what_a_full_disk_refuses_leaves_nothing(
    disk: SmallDisk, area: Path, line: Line
) -> None:
    before = inventory(area)
    for text in WRITING:
        disk.exhaust()
        code, error = line(text)
        assert code, text
        assert is_refusal(error), (text, error)
        disk.release()
        assert inventory(area) == before, text


@pytest.mark.parametrize("disk", KINDS, indirect=True)
def test_security_6_a_restart_without_room_leaves_the_container_running(
    disk: SmallDisk, area: Path, line: Line
) -> None:
    def pid() -> int:
        with Engine(area, catalogue="never") as engine:
            return int(engine.containers.inspect("alive")["State"]["Pid"])

    before = pid()
    disk.exhaust()
    code, error = line("restart -t 0 alive")
    assert (code, is_refusal(error)) == (1, True), error
    assert pid() == before
    disk.release()
    assert line("restart -t 0 alive") == (0, "")
    assert pid() not in (0, before)


@pytest.mark.parametrize("left", [4, 16, 64, 256, 288, 320])
@pytest.mark.parametrize("disk", KINDS[:3], indirect=True)
def test_security_6_a_restart_with_little_room_ends_with_a_container_that_runs(
    disk: SmallDisk, area: Path, line: Line, left: int
) -> None:
    disk.exhaust(left=left << 10)
    code, error = line("restart -t 0 alive")
    assert code == 0 or is_refusal(error), error
    with Engine(area, catalogue="never") as engine:
        assert engine.containers.get("alive").status is Status.RUNNING


@pytest.mark.parametrize("left", [0, 8, 20, 32, 40, 60])
@pytest.mark.parametrize("disk", ["ext4 blocks of 1024"], indirect=True)
def test_security_12_no_verb_dies_of_a_few_free_blocks(
    disk: SmallDisk, area: Path, line: Line, left: int
) -> None:
    disk.exhaust(left=left << 10)
    assert line("ps -a") == (0, "")
    disk.exhaust(left=left << 10)
    assert line("container prune -f") == (0, "")
    assert line("rm -f alive") == (0, "")


@pytest.mark.parametrize("disk", ["ext4 blocks of 4096"], indirect=True)
def test_security_6_an_engine_that_stays_open_removes_on_a_full_disk(
    disk: SmallDisk, area: Path
) -> None:
    with Engine(area, catalogue="never") as engine:
        disk.exhaust()
        with pytest.raises(OSError, match="No space left on device"):
            engine.volumes.create("new", labels={"a": "b"})
        assert len(engine.containers.list(all=True)) == 2
        engine.containers.remove("dead")
        disk.exhaust()
        engine.containers.remove("alive", force=True)
        assert engine.containers.list(all=True) == ()
