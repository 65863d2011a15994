"""How a container's processes get into its control group: created there, or by joining it."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

import pytest

from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.sandbox.cgroup_operations import (
    CGROUP,
    CLONED_INTO_CGROUP,
    CreateCgroup,
    JoinCgroup,
)
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.supervisor.forks import fork
from dockmagic_runtime.testing.fake_cgroups import OWN_PID, FakeCgroups
from dockmagic_runtime.testing.fake_linux import FIRST_PID, FakeLinux

GROUP = "/sys/fs/cgroup/dockmagic/abc"


def _never(is_member: bool) -> NoReturn:
    raise AssertionError("only a child comes here, and the fake has none")


@pytest.fixture
def linux() -> FakeLinux:
    linux = FakeLinux()
    linux.directories.add(GROUP)
    return linux


@pytest.mark.parametrize("sibling", [False, True])
def test_a_child_is_born_in_its_control_group(linux: FakeLinux, sibling: bool) -> None:
    assert fork(linux, GROUP, _never, sibling=sibling) == FIRST_PID
    assert linux.arguments_of("clone_into_cgroup") == [(GROUP, sibling)]
    assert linux.open_fds == {}


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EAGAIN, errno.EACCES, errno.EBUSY])
def test_where_it_cannot_be_it_is_born_beside_us(linux: FakeLinux, number: int) -> None:
    linux.fail("clone_into_cgroup", number)
    assert fork(linux, GROUP, _never, sibling=True) == FIRST_PID
    assert linux.names()[-1] == "clone_parent"
    assert linux.open_fds == {}


def test_no_group_no_attempt(linux: FakeLinux) -> None:
    fork(linux, "", _never, sibling=True)
    assert linux.names() == ["clone_parent"]


def test_inside_is_told_where_it_was_born() -> None:
    reading, writing = os.pipe()

    def inside(is_member: bool) -> NoReturn:
        os.write(writing, b"inside" if is_member else b"beside")
        os._exit(0)

    pid = fork(FakeLinux(), "", inside)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == b"beside"
    os.waitpid(pid, 0)


def test_version_2_alone_has_a_birthplace() -> None:
    group = detect(FakeCgroups.v2()).at("dockmagic", "abc")
    assert group.cgroup_path == group.directories[0]
    assert detect(FakeCgroups.v1(hybrid=True)).at("dockmagic", "abc").cgroup_path == ""


@pytest.mark.parametrize(("is_member", "pids"), [(True, ()), (False, (OWN_PID,))])
def test_a_child_created_in_the_group_does_not_join_it(
    is_member: bool, pids: tuple[int, ...]
) -> None:
    context = Context(linux=FakeCgroups.v2())
    CLONED_INTO_CGROUP.put(context.slots, is_member)
    CreateCgroup("dockmagic", "abc").execute(context)
    JoinCgroup("dockmagic", "abc").execute(context)
    assert CGROUP.require(context.slots).pids() == pids
