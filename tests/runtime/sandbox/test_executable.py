"""The interpreter that cannot be written to: as a read-only mount, and as a sealed copy."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.executable import protect
from dockmagic_runtime.testing.fake_linux import FakeLinux


def without_mounts() -> Linux:
    linux = FakeLinux()
    linux.fail("open_tree", errno.EPERM)
    return linux


@pytest.fixture(params=[pytest.param("mount", marks=pytest.mark.root), "copy"])
def linux(request: pytest.FixtureRequest) -> Linux:
    return Kernel() if request.param == "mount" else without_mounts()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    shutil.copy2("/bin/cat", path)
    return path


@pytest.fixture
def protected(linux: Linux, program: Path) -> Iterator[int]:
    fd = protect(linux, str(program))
    yield fd
    os.close(fd)


def overwrite(name: str) -> None:
    with open(name, "r+b", buffering=0) as stream:
        stream.write(b"x")


def test_security_1_it_has_the_same_contents_and_can_be_executed(
    protected: int, program: Path
) -> None:
    name = f"/proc/self/fd/{protected}"
    assert Path(name).read_bytes() == program.read_bytes()
    pid = os.posix_spawn(name, ["cat", "/dev/null"], {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_security_1_it_is_never_written_nor_shortened(protected: int, program: Path) -> None:
    before = program.read_bytes()
    name = f"/proc/self/fd/{protected}"
    for attack in (
        lambda: overwrite(name),
        lambda: os.truncate(name, 0),
        lambda: Path(name).write_bytes(b"x"),
    ):
        with pytest.raises(OSError, match=r"Read-only file system|Operation not permitted"):
            attack()
    assert Path(name).read_bytes() == program.read_bytes() == before


def test_its_descriptor_is_out_of_the_way_and_is_not_inherited(protected: int) -> None:
    assert protected >= 10
    assert not os.get_inheritable(protected)


@pytest.mark.root
def test_a_mount_is_of_the_file_itself_and_costs_no_memory(program: Path) -> None:
    fd = protect(Kernel(), str(program))
    assert os.path.samestat(os.fstat(fd), program.stat())
    os.close(fd)


def test_nothing_stays_open_when_the_file_is_missing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        protect(without_mounts(), str(tmp_path / "nothing"))
    assert len(os.listdir("/proc/self/fd")) == before
