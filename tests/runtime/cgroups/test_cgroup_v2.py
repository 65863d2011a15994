"""One control group of version 2, on a tree in memory."""

from __future__ import annotations

import errno

import pytest

from dockmagic_runtime.cgroups import DEFAULT_DEVICES, Cgroup, CgroupStats, detect
from dockmagic_runtime.cgroups.devices import device_program
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.testing.fake_cgroups import ROOT, FakeCgroups

from .conftest import MIB

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def v2() -> FakeCgroups:
    return FakeCgroups.v2()


@pytest.fixture
def new(v2: FakeCgroups) -> Cgroup:
    group = detect(v2).at("dockmagic", "abc")
    group.create()
    return group


def test_controllers_are_handed_down_to_the_container(v2: FakeCgroups, new: Cgroup) -> None:
    for directory in (ROOT, f"{ROOT}/dockmagic"):
        enabled = v2.text(f"{directory}/cgroup.subtree_control").split()
        assert sorted(enabled) == ["cpu", "cpuset", "io", "memory", "pids"]
    assert v2.text(f"{ROOT}/dockmagic/abc/cgroup.subtree_control") == ""


def test_what_is_enabled_is_not_enabled_again(v2: FakeCgroups, new: Cgroup) -> None:
    del v2.calls[:]
    detect(v2).at("dockmagic", "def").create()
    assert v2.arguments_of("write_file") == []


def test_a_parent_whose_maker_has_not_enabled_yet_is_completed(v2: FakeCgroups) -> None:
    v2.mkdir(f"{ROOT}/dockmagic", 0o755)
    group = detect(v2).at("dockmagic", "abc")
    group.create()
    group.apply(Resources(pids_limit=5))
    assert v2.text(f"{ROOT}/dockmagic/abc/pids.max") == "5"


def test_a_controller_that_is_not_offered_is_named_when_a_limit_needs_it() -> None:
    fake = FakeCgroups.v2(offered=("cpu", "pids"))
    group = detect(fake).at("dockmagic", "abc")
    group.create()
    (warning,) = group.apply(Resources(cpu_shares=1024, blkio_weight=10))
    assert warning.endswith("Weight discarded.")
    with pytest.raises(Unsupported, match="the memory cgroup controller is not available"):
        group.apply(Resources(memory=64 * MIB))


def test_processes_in_the_way_of_controllers_are_not_moved() -> None:
    fake = FakeCgroups.v2()
    fake.files["/proc/self/cgroup"] = b"0::/service\n"
    fake.mkdir(f"{ROOT}/service", 0o755)
    fake._enable(ROOT, "+memory")
    fake.add_process(1, f"{ROOT}/service")
    fake.read_only.add(ROOT)
    group = detect(fake).at("dockmagic", "abc")
    group.create()
    assert group.directories == (f"{ROOT}/service/dockmagic/abc",)
    assert fake.text(f"{ROOT}/service/cgroup.procs") == "1"
    with pytest.raises(Unsupported, match="memory"):
        group.apply(Resources(memory=64 * MIB))


def test_a_user_works_in_the_highest_subtree_that_is_delegated() -> None:
    fake = FakeCgroups.v2()
    path = ROOT
    for part in ("user.slice", "user-1000.slice", "user@1000.service", "app.slice"):
        path = f"{path}/{part}"
        fake.mkdir(path, 0o755)
    fake.files["/proc/self/cgroup"] = path.removeprefix(ROOT).join(("0::", "\n")).encode()
    user = f"{ROOT}/user.slice/user-1000.slice"
    fake.read_only |= {ROOT, f"{ROOT}/user.slice", user}
    group = detect(fake).at("dockmagic", "abc")
    assert group.directories == (f"{user}/user@1000.service/dockmagic/abc",)
    assert not detect(fake).can_limit_devices()


def test_devices_are_kept_by_a_program_that_the_group_holds(v2: FakeCgroups, new: Cgroup) -> None:
    new.allow_devices(DEFAULT_DEVICES)
    assert v2.arguments_of("bpf_load") == [
        (c.BPF_PROG_TYPE_CGROUP_DEVICE, device_program(DEFAULT_DEVICES))
    ]
    ((target, program, kind, flags),) = v2.arguments_of("bpf_attach")
    assert target != program
    assert (kind, flags) == (c.BPF_CGROUP_DEVICE, c.BPF_F_ALLOW_MULTI)
    assert v2.open_fds == {}


@pytest.mark.parametrize("call", ["bpf_load", "bpf_attach", "openat2"])
def test_no_descriptor_is_lost_when_a_program_cannot_be_attached(
    v2: FakeCgroups, new: Cgroup, call: str
) -> None:
    v2.fail(call, errno.EINVAL)
    with pytest.raises(OSError, match="Invalid argument"):
        new.allow_devices(DEFAULT_DEVICES)
    assert v2.open_fds == {}


def test_a_host_that_does_not_let_us_load_programs_is_named(v2: FakeCgroups, new: Cgroup) -> None:
    v2.fail("bpf_load", errno.EPERM)
    with pytest.raises(Unsupported, match="does not let us load the program"):
        new.allow_devices(DEFAULT_DEVICES)


def test_usage_is_read_from_the_one_tree(v2: FakeCgroups, new: Cgroup) -> None:
    for file, text in {
        "cpu.stat": "usage_usec 1234\nuser_usec 1000",
        "memory.current": "1000",
        "memory.stat": "anon 1\ninactive_file 300",
        "memory.max": "4096",
        "memory.events": "low 0\noom 3\noom_kill 2",
        "pids.current": "4",
        "io.stat": "8:0 rbytes=100 wbytes=20 rios=1 wios=1\n8:16 rbytes=1 wbytes=2 rios=9",
    }.items():
        v2.files[f"{ROOT}/dockmagic/abc/{file}"] = f"{text}\n".encode()
    assert new.stats() == CgroupStats(
        cpu_ns=1_234_000,
        memory_bytes=700,
        memory_limit=4096,
        pids=4,
        block_read=101,
        block_write=22,
    )
    assert new.oom_events() == 2


def test_a_container_sees_one_mount(v2: FakeCgroups) -> None:
    view = detect(v2).view()
    assert [(mount.fstype, mount.target, mount.settings) for mount in view.mounts] == [
        ("cgroup2", ROOT, ())
    ]
    assert view.links == ()
