"""Overlay mounts by the mount API of today's kernels, and by that of older ones, which all have."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.overlay import mount_overlay, mount_overlay_classic
from dockmagic_runtime.testing.child import in_child
from dockmagic_runtime.testing.fake_linux import FakeLinux

Mount = Callable[..., int]

WAYS = pytest.mark.parametrize(
    "mount",
    [mount_overlay, partial(mount_overlay_classic, volatile=False)],
    ids=["today", "classic"],
)


@pytest.fixture(params=["plain", "a, b", "colon:", "back\\slash"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two layers and what else an overlay needs, below a directory with such a name."""
    place = tmp_path / str(request.param)
    for name in ("layers/one", "layers/two", "upper", "work", "target"):
        (place / name).mkdir(parents=True)
    (place / "layers/one/both").write_text("one")
    (place / "layers/two/both").write_text("two")
    (place / "layers/two/below").write_text("below")
    return place


def _mounted(mount: Mount, place: Path, use: Callable[[int], object], *, writable: bool) -> object:
    """What `use` says of the descriptor, in a process with mounts of its own."""

    def inside() -> object:
        kernel = Kernel()
        kernel.unshare(c.CLONE_NEWNS)
        kernel.mount("none", "/", "", c.MS_REC | c.MS_PRIVATE, "")
        lowers = [str(place / "layers" / name) for name in ("one", "two")]
        upper, work = (str(place / name) if writable else "" for name in ("upper", "work"))
        fd = mount(kernel, lowers, upper, work, target=str(place / "target"))
        return use(fd)

    return in_child(inside)


def _read(fd: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY, dir_fd=fd)
    with open(file) as stream:
        return stream.read()


@pytest.mark.root
@WAYS
def test_the_first_layer_is_the_topmost(mount: Mount, place: Path) -> None:
    def use(fd: int) -> object:
        return _read(fd, "both"), _read(fd, "below")

    assert _mounted(mount, place, use, writable=False) == ("one", "below")


@pytest.mark.root
@WAYS
def test_what_is_written_lands_in_the_upper_directory(mount: Mount, place: Path) -> None:
    def use(fd: int) -> object:
        os.close(os.open("made", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        return os.listdir(place / "target")

    assert _mounted(mount, place, use, writable=True) == []  # it is mounted nowhere
    assert os.listdir(place / "upper") == ["made"]


@pytest.mark.root
@WAYS
def test_without_an_upper_directory_it_is_read_only(mount: Mount, place: Path) -> None:
    def use(fd: int) -> object:
        with pytest.raises(OSError, match="Read-only") as raised:
            os.open("made", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
        return raised.value.errno

    assert _mounted(mount, place, use, writable=False) == errno.EROFS


def _fake_mount(linux: FakeLinux) -> int:
    return mount_overlay(linux, ["/a/1", "/a/2"], "/up", "/work", target="/target")


def test_a_kernel_that_takes_any_parameter_gets_the_layers_in_one_string() -> None:
    linux = FakeLinux()
    linux.take_any_parameter = True  # before Linux 6.5
    linux.directories |= {"/a", "/target"}
    _fake_mount(linux)
    ((_, target, fstype, _, data),) = linux.arguments_of("mount")
    assert (target, fstype) == ("/target", "overlay")
    assert data.endswith("/1:/proc/self/fd/101/2,upperdir=/up,workdir=/work")
    assert "fsconfig_create" not in linux.names()  # the log of the kernel stays clean
    assert linux.arguments_of("umount") == [("/target", c.MNT_DETACH)]


def test_a_kernel_that_does_not_know_the_parameter_gets_them_in_one_string_too() -> None:
    linux = FakeLinux()  # Linux 6.5
    linux.directories |= {"/a", "/target"}
    linux.fail("fsconfig_string", errno.EINVAL)
    _fake_mount(linux)
    assert len(linux.arguments_of("mount")) == 1


def test_a_kernel_that_knows_it_gets_a_parameter_for_each_layer() -> None:
    linux = FakeLinux()
    _fake_mount(linux)
    settings = [arguments[1:] for arguments in linux.arguments_of("fsconfig_string")]
    assert settings[:2] == [("lowerdir+", "/a/1"), ("lowerdir+", "/a/2")]
    assert "mount" not in linux.names()


def test_more_layers_than_an_old_kernel_can_take_are_an_error_that_says_so() -> None:
    linux = FakeLinux()
    linux.take_any_parameter = True
    linux.directories |= {"/a", "/target"}
    with pytest.raises(InvalidInput, match="the image has 400 layers, too many for this kernel"):
        mount_overlay(linux, [f"/a/{number}" for number in range(400)], "", "", target="/target")
    assert len(linux.open_fds) == 0
