"""The plan's steps that concern control groups."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from dockmagic_runtime.cgroups import DEFAULT_DEVICES
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.sandbox.cgroup_operations import (
    CGROUP,
    WARNINGS,
    CreateCgroup,
    EnterSupervisorCgroup,
    JoinCgroup,
    LimitDevices,
    LimitResources,
    cgroups_of,
)
from dockmagic_runtime.sandbox.operation import Context, Operation, from_wire, to_wire
from dockmagic_runtime.testing.fake_cgroups import OWN_PID, ROOT, FakeCgroups

MIB = 1024 * 1024
LIMITS = Resources(memory=64 * MIB, nano_cpus=1_500_000_000, pids_limit=100, cpuset_cpus="0-1")
PLAN: tuple[Operation, ...] = (
    EnterSupervisorCgroup("dockmagic"),
    CreateCgroup("dockmagic", "abc"),
    LimitResources.of("dockmagic", "abc", LIMITS),
    LimitDevices.of("dockmagic", "abc"),
    JoinCgroup("dockmagic", "abc"),
)


@pytest.fixture(params=["v1", "v2"])
def fake(request: pytest.FixtureRequest) -> FakeCgroups:
    return FakeCgroups.v1(hybrid=True) if request.param == "v1" else FakeCgroups.v2()


@pytest.fixture
def context(fake: FakeCgroups) -> Context:
    return Context(linux=fake)


def test_the_steps_cross_a_process_border_unchanged() -> None:
    assert from_wire(json.loads(json.dumps(to_wire(PLAN)))) == PLAN


def test_the_steps_put_a_container_where_it_belongs(fake: FakeCgroups, context: Context) -> None:
    context.init_pid = 77
    for step in PLAN:
        step.execute(context)
    host = cgroups_of(context)
    assert host.supervisors("dockmagic").pids() == (OWN_PID,)
    assert host.at("dockmagic", "abc").pids() == (77,)
    assert host.at("dockmagic", "abc").stats().memory_limit == 64 * MIB
    assert CGROUP.require(context.slots).pids() == (77,)


def test_a_limit_of_nothing_at_all_is_a_limit() -> None:
    limit = LimitResources.of("dockmagic", "abc", Resources(memory_swappiness=0))
    assert limit.resources().memory_swappiness == 0
    assert LimitResources.of("dockmagic", "abc", Resources()).limits == ()


@pytest.mark.root
def test_block_devices_are_limited_by_their_numbers(
    fake: FakeCgroups, context: Context, tmp_path: Path
) -> None:
    disk = str(tmp_path / "disk")
    os.mknod(disk, stat.S_IFBLK | 0o600, os.makedev(8, 16))
    limits = Resources(throttles=(("read_bps", disk, 1024),))
    CreateCgroup("dockmagic", "abc").execute(context)
    step = LimitResources.of("dockmagic", "abc", limits)
    assert step.describe() == f"limit the container to a rate of 1024 bytes/s from {disk}"
    (again,) = from_wire(json.loads(json.dumps(to_wire((step,)))))
    again.execute(context)
    written = [(path, data) for path, data, *_ in fake.arguments_of("write_file")]
    assert any(data.startswith(b"8:16 ") and path.endswith(("io.max", "read_bps_device"))
               for path, data in written)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/disk", "stat /nowhere/disk: no such file or directory"),
        ("/dev/null", "/dev/null is not a block device"),
    ],
)
def test_what_is_no_block_device_cannot_be_limited(
    context: Context, path: str, message: str
) -> None:
    limits = Resources(blkio_weight_devices=((path, 100),))
    CreateCgroup("dockmagic", "abc").execute(context)
    with pytest.raises(InvalidInput, match=message):
        LimitResources.of("dockmagic", "abc", limits).execute(context)


def test_a_child_joins_by_itself(fake: FakeCgroups, context: Context) -> None:
    CreateCgroup("dockmagic", "abc").execute(context)
    JoinCgroup("dockmagic", "abc").execute(context)
    assert CGROUP.require(context.slots).pids() == (OWN_PID,)


def test_the_host_is_asked_once(fake: FakeCgroups, context: Context) -> None:
    for step in PLAN:
        step.execute(context)
    asked = [path for path, _ in fake.arguments_of("read_file") if path.startswith("/proc/")]
    assert asked.count("/proc/self/mountinfo") == 1


def test_a_supervisor_that_was_born_in_its_group_is_not_moved(
    fake: FakeCgroups, context: Context
) -> None:
    enter = EnterSupervisorCgroup("dockmagic")
    enter.execute(context)
    lines = [f"{number}:x:/dockmagic/supervisors" for number in range(len(fake.legacy) or 1)]
    fake.files["/proc/self/cgroup"] = "\n".join(lines).encode()
    del fake.calls[:]
    enter.execute(context)
    assert fake.arguments_of("write_file") == []


def test_undoing_kills_what_is_left_and_removes_the_group(
    fake: FakeCgroups, context: Context
) -> None:
    create = CreateCgroup("dockmagic", "abc")
    create.execute(context)
    CGROUP.require(context.slots).join(77)
    create.undo(context)
    assert not any(path.endswith("/abc") for path in fake.groups())


def test_undoing_needs_no_memory_of_the_making(fake: FakeCgroups, context: Context) -> None:
    create = CreateCgroup("dockmagic", "abc")
    create.execute(context)
    create.undo(Context(linux=fake))
    assert not any(path.endswith("/abc") for path in fake.groups())


@pytest.mark.parametrize("on_call", range(2, 20, 3))
def test_a_group_that_is_made_only_in_part_is_taken_back(on_call: int) -> None:
    fake = FakeCgroups.v1(hybrid=True)
    fake.fail("mkdir", errno.ENOSPC, on_call=on_call)
    with pytest.raises(OSError, match="space"):
        CreateCgroup("dockmagic", "abc").execute(Context(linux=fake))
    assert not any(path.endswith("/abc") for path in fake.groups())


def test_what_the_host_cannot_give_is_kept_as_a_warning() -> None:
    fake = FakeCgroups({"memory": ("memory",)})
    context = Context(linux=fake)
    CreateCgroup("dockmagic", "abc").execute(context)
    LimitResources.of("dockmagic", "abc", Resources(blkio_weight=10)).execute(context)
    (warning,) = WARNINGS.require(context.slots)
    assert warning.startswith("Your kernel does not support Block I/O weight")


def test_only_limits_that_are_asked_for_are_in_the_plan() -> None:
    assert LimitResources.of("p", "n", Resources(pids_limit=5)).limits == (("pids_limit", 5),)
    assert LimitResources.of("p", "n", LIMITS).resources() == LIMITS


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Resources(), "nothing"),
        (LIMITS, "64 MiB of memory, 1.5 CPUs, the CPUs 0-1, 100 processes"),
        (
            Resources(memory_swap=96 * MIB, memory_reservation=MIB, cpu_shares=512),
            "96 MiB of memory and swap, a memory reservation of 1 MiB, 512 CPU shares",
        ),
        (
            Resources(cpu_quota=50_000, cpuset_mems="0", blkio_weight=10),
            "0.5 CPUs, the memory nodes 0, a block I/O weight of 10",
        ),
    ],
)
def test_limits_are_described_in_words(limits: Resources, words: str) -> None:
    assert LimitResources.of("p", "n", limits).describe() == f"limit the container to {words}"


def test_every_step_says_what_it_does() -> None:
    said = [step.describe() for step in PLAN]
    assert said[0] == "move the supervisor into the control group dockmagic/supervisors"
    assert said[1] == "create the control group dockmagic/abc"
    assert said[3].startswith("deny the container all devices but c *:* m, b *:* m, c 1:3 rwm")
    assert said[4] == "join the control group dockmagic/abc"


def test_row_44_every_container_is_kept_from_devices(fake: FakeCgroups, context: Context) -> None:
    CreateCgroup("dockmagic", "abc").execute(context)
    LimitDevices.of("dockmagic", "abc").execute(context)
    if fake.legacy:
        written = [data for path, data, _ in fake.arguments_of("write_file") if "allow" in path]
        assert written == [str(rule).encode() for rule in DEFAULT_DEVICES]
        assert f"{ROOT}/devices/dockmagic/abc" in fake.directories
    else:
        assert len(fake.arguments_of("bpf_attach")) == 1


def test_what_a_start_that_was_killed_has_left_inside_does_not_go_on(
    fake: FakeCgroups, context: Context
) -> None:
    host = cgroups_of(context)
    for step in PLAN[:2]:
        step.execute(context)
    host.at("dockmagic", "abc").join(77)
    CreateCgroup("dockmagic", "abc").execute(Context(linux=fake))
    assert host.at("dockmagic", "abc").pids() == ()
