"""What the options of the `local` driver ask the kernel for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.sandbox import filesystems
from dockmagic_runtime.testing.fake_linux import FakeLinux
from dockmagic_runtime.volumes.options import Device, device


def test_a_volume_without_a_device_is_a_directory() -> None:
    assert device({}) is None


def test_words_are_split() -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=3,"}
    assert device(options) == Device("tmpfs", "tmpfs", ("size=1m", "uid=3"))


def test_servers_are_looked_up() -> None:
    options = {"type": "nfs", "device": ":/x", "o": "addr=localhost,vers=4"}
    assert device(options) == Device("nfs", ":/x", ("addr=127.0.0.1", "vers=4"))
    options = {"type": "nfs4", "device": ":/x", "o": "addr=10.0.0.1"}
    assert device(options) == Device("nfs4", ":/x", ("addr=10.0.0.1",))
    options = {"type": "cifs", "device": "//localhost/share", "o": "username=a"}
    assert device(options) == Device("cifs", "//127.0.0.1/share", ("username=a",))


def test_a_server_that_is_not_found() -> None:
    with pytest.raises(NotFound, match="resolving passed in network volume address: lookup nope"):
        device({"type": "nfs", "device": ":/x", "o": "addr=nope.invalid"})


@pytest.mark.parametrize("words", [(), ("bind",), ("rbind", "ro")])
def test_a_bind_is_no_file_system(words: tuple[str, ...]) -> None:
    assert Device("none", "/x", words).is_bind is bool(words)


def test_words_that_are_the_mounts_own_do_not_reach_the_file_system() -> None:
    linux = FakeLinux()
    fd = filesystems.open_filesystem(
        linux, "ext4", "/dev/x", ("noexec", "data=journal", "ro", "exec", "noatime", "quiet")
    )
    settings = [(key, value) for _, key, value in linux.arguments_of("fsconfig_string")]
    assert settings == [("source", "/dev/x"), ("data", "journal")]
    assert [flag for _, flag in linux.arguments_of("fsconfig_flag")] == ["ro", "quiet"]
    ((_, attributes),) = linux.arguments_of("fsmount")
    assert attributes == c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOATIME
    linux.close(fd)


def test_a_bind_is_cloned_and_private() -> None:
    linux = FakeLinux(directories={"/", "/x"})
    filesystems.open_filesystem(linux, "none", "/x", ("rbind", "ro"))
    assert linux.names() == ["open_tree", "mount_setattr"]
    with pytest.raises(OSError, match="Invalid argument"):
        filesystems.open_filesystem(linux, "none", "/x", ("bind", "colour=red"))


@pytest.mark.parametrize("word", ["remount", "shared", "move"])
def test_words_that_change_other_mounts_are_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{word}' cannot be given to a volume"):
        filesystems.open_filesystem(FakeLinux(), "tmpfs", "tmpfs", (word,))


OPPOSITES = [("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([word for pair in OPPOSITES for word in pair])))
def test_of_opposite_words_the_last_one_holds(words: list[str]) -> None:
    bits = filesystems.attributes(words)
    for sets, clears in OPPOSITES:
        said = [word for word in words if word in (sets, clears)]
        expected = bool(said) and said[-1] == sets
        assert bool(bits & filesystems.attributes([sets])) is expected
