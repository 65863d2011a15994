"""The fake and the kernel are the same door: same methods, same signatures, agreeing answers."""

from __future__ import annotations

import errno
import inspect
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.testing.fake_linux import FIRST_FD, FakeLinux

METHODS = sorted(name for name in vars(Linux) if not name.startswith("_"))


def _shape(function: Callable[..., object]) -> list[tuple[str, object, object, str]]:
    signature = inspect.signature(function)
    parameters = [
        (p.name, p.kind, p.default, str(p.annotation)) for p in signature.parameters.values()
    ]
    return [*parameters, ("return", None, None, str(signature.return_annotation))]


@pytest.mark.parametrize("implementation", [Kernel, FakeLinux])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_signature_of_the_protocol(
    implementation: type[object], method: str
) -> None:
    assert _shape(getattr(implementation, method)) == _shape(getattr(Linux, method))


def test_the_kernel_has_no_method_that_the_protocol_does_not_name() -> None:
    assert sorted(name for name in vars(Kernel) if not name.startswith("_")) == METHODS


def _example(parameter: inspect.Parameter) -> object:
    examples: dict[str, object] = {
        "int": FIRST_FD,
        "str": "/fresh",
        "bytes": b"1",
        "bool": True,
        "list[int]": [1],
        "int | None": None,
    }
    return examples[str(parameter.annotation)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_fake_answers_and_is_recorded(method: str) -> None:
    fake = FakeLinux(files={"/fresh/file": b""}, directories={"/"})
    assert fake.fsopen("tmpfs") == FIRST_FD
    prepared = {"read_file": "files", "unlink": "files", "rmdir": "directories"}
    if prepared.get(method) == "files":
        fake.files["/fresh"] = b"1"
    if method in ("rmdir", "subdirectories"):
        fake.files.clear()
        fake.directories.add("/fresh")
    bound = getattr(fake, method)
    parameters = inspect.signature(bound).parameters.values()
    positional = [_example(p) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name: _example(p) for p in parameters if p.kind is p.KEYWORD_ONLY}
    bound(*positional, **named)
    assert fake.names() == ["fsopen", method]


@pytest.fixture(params=["fake", "kernel"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Linux, str]:
    """A door and an empty directory behind it: whatever is asserted must hold for both."""
    if request.param == "kernel":
        return Kernel(), str(tmp_path)
    return FakeLinux(directories={"/", str(tmp_path)}), str(tmp_path)


def test_a_directory_can_be_made_once(world: tuple[Linux, str]) -> None:
    linux, top = world
    linux.mkdir(f"{top}/a", 0o755)
    with pytest.raises(FileExistsError) as caught:
        linux.mkdir(f"{top}/a", 0o755)
    assert caught.value.filename == f"{top}/a"
    assert linux.subdirectories(top) == ["a"]


def test_what_was_written_is_read(world: tuple[Linux, str]) -> None:
    linux, top = world
    fd = linux.openat2(c.AT_FDCWD, f"{top}/f", os.O_WRONLY | os.O_CREAT, 0o644, 0)
    linux.close(fd)
    linux.write_file(f"{top}/f", b"value")
    assert linux.read_file(f"{top}/f") == b"value"


def test_a_path_is_resolved_from_a_directory_descriptor(world: tuple[Linux, str]) -> None:
    linux, top = world
    linux.mkdir(f"{top}/d", 0o755)
    fd = linux.openat2(c.AT_FDCWD, f"{top}/d", os.O_DIRECTORY, 0, 0)
    linux.mkdir("inner", 0o755, fd)
    linux.symlink("inner", "link", fd)
    assert linux.subdirectories(f"{top}/d") == ["inner"]
    linux.unlink("link", fd)
    linux.rmdir("inner", fd)
    linux.rmdir(f"{top}/d")
    linux.close(fd)


def test_a_directory_with_entries_is_not_removed(world: tuple[Linux, str]) -> None:
    linux, top = world
    linux.mkdir(f"{top}/d", 0o755)
    linux.mkdir(f"{top}/d/e", 0o755)
    with pytest.raises(OSError, match="not empty") as caught:
        linux.rmdir(f"{top}/d")
    assert caught.value.errno == errno.ENOTEMPTY


@pytest.mark.parametrize("method", ["read_file", "subdirectories", "rmdir", "unlink"])
def test_what_is_missing_is_named(world: tuple[Linux, str], method: str) -> None:
    linux, top = world
    with pytest.raises(FileNotFoundError) as caught:
        getattr(linux, method)(f"{top}/missing")
    assert caught.value.filename == f"{top}/missing"


def test_a_descriptor_can_be_closed_once(world: tuple[Linux, str]) -> None:
    linux, top = world
    fd = linux.openat2(c.AT_FDCWD, top, os.O_DIRECTORY, 0, 0)
    linux.close(fd)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
        linux.close(fd)
    assert caught.value.errno == errno.EBADF


def test_the_chosen_call_fails_and_no_other() -> None:
    fake = FakeLinux()
    fake.fail("mount", errno.EPERM, on_call=2)
    fake.mount("none", "/a", "tmpfs", 0, "")
    with pytest.raises(PermissionError) as caught:
        fake.mount("none", "/b", "tmpfs", 0, "")
    fake.mount("none", "/c", "tmpfs", 0, "")
    assert caught.value.filename == "/b"
    assert [arguments[1] for arguments in fake.arguments_of("mount")] == ["/a", "/b", "/c"]


def test_a_call_that_fails_changes_nothing() -> None:
    fake = FakeLinux()
    fake.fail("mkdir", errno.ENOSPC)
    with pytest.raises(OSError, match="space"):
        fake.mkdir("/a", 0o755)
    assert "/a" not in fake.directories


def test_a_failure_of_a_method_that_does_not_exist_is_a_mistake_of_the_test() -> None:
    with pytest.raises(AttributeError, match="umuont"):
        FakeLinux().fail("umuont", errno.EPERM)


def test_descriptors_rise_and_know_their_file_system() -> None:
    fake = FakeLinux(filesystems={"/proc": c.PROC_SUPER_MAGIC})
    inside = fake.openat2(c.AT_FDCWD, "/proc/sys", os.O_PATH, 0, 0)
    outside = fake.openat2(c.AT_FDCWD, "/process", os.O_PATH, 0, 0)
    assert outside == inside + 1
    assert fake.fstatfs_type(inside) == c.PROC_SUPER_MAGIC
    assert fake.fstatfs_type(outside) == c.TMPFS_MAGIC


def test_a_device_node_is_kept_with_its_numbers() -> None:
    fake = FakeLinux()
    fake.mknod("/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert fake.devices == {"/null": (stat.S_IFCHR | 0o666, os.makedev(1, 3))}
