"""One control group, on trees in memory of each version."""

from __future__ import annotations

import errno
import signal

import pytest

from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.cgroups import (
    DEFAULT_DEVICES,
    Cgroup,
    CgroupMount,
    CgroupStats,
    detect,
)
from dockmagic_runtime.linux.cgroups.devices import device_program
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.testing.fake_cgroups import OWN_PID, ROOT, FakeCgroups

MIB = 1024 * 1024
WORLDS = {
    "v1": FakeCgroups.v1,
    "hybrid": lambda: FakeCgroups.v1(hybrid=True),
    "v2": FakeCgroups.v2,
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


@pytest.fixture(params=sorted(WORLDS))
def fake(request: pytest.FixtureRequest) -> FakeCgroups:
    world: FakeCgroups = WORLDS[request.param]()
    return world


@pytest.fixture
def group(fake: FakeCgroups) -> Cgroup:
    group = detect(fake).at("dockmagic", "abc")
    group.create()
    return group


# ---------------------------------------------------------------------- every version


def test_it_is_made_in_every_tree_below_our_parent(fake: FakeCgroups, group: Cgroup) -> None:
    assert fake.groups() == {
        one for leaf in group.directories for one in (leaf, leaf.removesuffix("/abc"))
    }
    assert len(group.directories) == (8 if fake.legacy else 1)


def test_making_it_twice_is_making_it_once(fake: FakeCgroups, group: Cgroup) -> None:
    before = fake.groups()
    group.create()
    assert fake.groups() == before


def test_a_second_one_needs_no_look_at_the_parent(fake: FakeCgroups, group: Cgroup) -> None:
    del fake.calls[:]
    other = detect(fake).at("dockmagic", "def")
    other.create()
    assert len(fake.arguments_of("mkdir")) == len(group.directories)


def test_a_parent_may_be_several_deep(fake: FakeCgroups) -> None:
    group = detect(fake).at("a/b", "abc")
    group.create()
    group.join(7)
    assert group.pids() == (7,)


def test_it_survives_that_somebody_removes_the_empty_parent_meanwhile(fake: FakeCgroups) -> None:
    host = detect(fake)
    host.at("dockmagic", "first").create()
    host.at("dockmagic", "first").delete()
    host.prune("dockmagic")
    assert fake.groups() == set()
    host.at("dockmagic", "second").create()
    assert host.at("dockmagic", "second").exists()


def test_a_process_joins_in_every_tree(fake: FakeCgroups, group: Cgroup) -> None:
    group.join(7)
    group.join(0)
    assert group.pids() == (7, OWN_PID)
    for directory in group.directories:
        assert fake.text(f"{directory}/cgroup.procs") == f"7\n{OWN_PID}"


def test_processes_of_groups_made_inside_count(fake: FakeCgroups, group: Cgroup) -> None:
    fake.mkdir(f"{group.directories[0]}/inner", 0o755)
    fake.add_process(8, f"{group.directories[0]}/inner")
    group.join(7)
    assert group.pids() == (7, 8)


def test_it_is_known_whether_it_exists(fake: FakeCgroups, group: Cgroup) -> None:
    assert group.exists()
    group.delete()
    assert not group.exists()
    assert detect(fake).at("dockmagic", "abc").pids() == ()


def test_deleting_takes_what_was_made_inside_along(fake: FakeCgroups, group: Cgroup) -> None:
    for directory in group.directories:
        fake.mkdir(f"{directory}/inner", 0o755)
        fake.mkdir(f"{directory}/inner/most", 0o755)
    group.delete()
    assert not any(one.endswith("abc") or "abc/" in one for one in fake.groups())
    group.delete()


def test_deleting_waits_while_the_kernel_is_not_done(fake: FakeCgroups, group: Cgroup) -> None:
    for call in (1, 2, 3):
        fake.fail("rmdir", errno.EBUSY, on_call=call)
    group.delete()
    assert not group.exists()


def test_a_group_with_processes_is_not_deleted(fake: FakeCgroups, group: Cgroup) -> None:
    group.join(7)
    with pytest.raises(Conflict, match="still in use"):
        group.delete()
    assert group.pids() == (7,)


def test_killing_leaves_no_process(fake: FakeCgroups, group: Cgroup) -> None:
    for pid in (7, 8):
        group.join(pid)
    group.kill_all()
    assert group.pids() == ()
    group.delete()


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_killing_reaches_a_frozen_group_and_thaws_it(
    fake: FakeCgroups, group: Cgroup, at_once: bool
) -> None:
    if not at_once:
        _forget_group_kill(fake)
    group.join(7)
    group.freeze()
    group.kill_all()
    assert group.pids() == ()
    state = [path for path in fake.files if path.endswith("abc/freezer.state")]
    assert [fake.text(path) for path in state] == ["THAWED"] * len(state)


def _forget_group_kill(fake: FakeCgroups) -> None:
    """As before Linux 5.14."""
    fake.files = {path: text for path, text in fake.files.items() if "cgroup.kill" not in path}


def test_a_kernel_that_cannot_kill_a_group_kills_each_process(
    fake: FakeCgroups, group: Cgroup
) -> None:
    _forget_group_kill(fake)
    group.join(7)
    group.kill_all()
    assert fake.arguments_of("kill") == [(7, signal.SIGKILL)]
    assert group.pids() == ()


def test_a_process_that_does_not_die_is_reported(fake: FakeCgroups, group: Cgroup) -> None:
    fake.unkillable.add(7)
    group.join(7)
    with pytest.raises(Conflict, match="processes of abc are still there"):
        group.kill_all()


def test_a_process_that_dies_before_the_signal_is_no_error(
    fake: FakeCgroups, group: Cgroup
) -> None:
    _forget_group_kill(fake)
    fake.fail("kill", errno.ESRCH)
    group.join(7)
    group.kill_all()
    assert group.pids() == ()


def test_freezing_returns_when_all_stand_still(fake: FakeCgroups, group: Cgroup) -> None:
    fake.freeze_reads = 3
    group.freeze()
    frozen = [
        fake.text(path)
        for path in fake.files
        if path.endswith(("abc/freezer.state", "abc/cgroup.events"))
    ]
    assert "FROZEN" in frozen or "populated 1\nfrozen 1" in frozen
    group.thaw()


def test_a_group_that_does_not_freeze_is_thawed_and_reported(
    fake: FakeCgroups, group: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.freeze_reads = 10**9
    monkeypatch.setattr(fake, "_freeze_group", lambda directory, value: None)
    with pytest.raises(Conflict, match="cannot freeze abc"):
        group.freeze()
    state = [path for path in fake.files if path.endswith("abc/freezer.state")]
    assert [fake.text(path) for path in state] == ["THAWED"] * len(state)


def test_an_idle_group_counts_nothing(group: Cgroup) -> None:
    assert group.stats() == CgroupStats()
    assert group.oom_events() == 0


def test_limits_are_set_and_what_is_not_asked_for_stays(fake: FakeCgroups, group: Cgroup) -> None:
    assert group.apply(Resources(pids_limit=5, memory=64 * MIB)) == ()
    assert group.apply(Resources(cpu_shares=512)) == ()
    values = {path.rpartition("/")[2]: fake.text(path) for path in fake.files if "/abc/" in path}
    assert values["pids.max"] == "5"
    assert values.get("memory.max", values.get("memory.limit_in_bytes")) == str(64 * MIB)
    assert values.get("cpu.weight", values.get("cpu.shares")) in ("59", "512")


def test_what_was_interrupted_is_found_and_taken_away(fake: FakeCgroups, group: Cgroup) -> None:
    host = detect(fake)
    for directory in group.directories[1:]:
        fake.rmdir(directory)
    fake.add_process(7, group.directories[0])
    assert host.names("dockmagic") == ("abc",)
    assert group.exists()
    group.kill_all()
    group.delete()
    assert host.names("dockmagic") == ()


def test_the_groups_of_containers_are_listed_without_the_supervisors(
    fake: FakeCgroups, group: Cgroup
) -> None:
    host = detect(fake)
    host.supervisors("dockmagic").create()
    host.at("dockmagic", "def").create()
    assert host.names("dockmagic") == ("abc", "def")
    assert host.names("another") == ()


def test_pruning_leaves_a_parent_that_is_in_use(fake: FakeCgroups, group: Cgroup) -> None:
    host = detect(fake)
    host.supervisors("dockmagic").create()
    host.prune("dockmagic")
    assert group.exists()
    assert not host.supervisors("dockmagic").exists()
    group.delete()
    host.prune("dockmagic")
    assert fake.groups() == set()


def test_pruning_leaves_supervisors_that_are_alive(fake: FakeCgroups) -> None:
    host = detect(fake)
    host.supervisors("dockmagic").create()
    host.supervisors("dockmagic").join(7)
    host.prune("dockmagic")
    assert host.supervisors("dockmagic").pids() == (7,)


# ---------------------------------------------------------------------- version 1


@pytest.fixture
def v1() -> FakeCgroups:
    return FakeCgroups.v1()


@pytest.fixture
def old(v1: FakeCgroups) -> Cgroup:
    group = detect(v1).at("dockmagic", "abc")
    group.create()
    return group


def test_a_cpuset_is_filled_from_its_parent_and_that_from_its_own(
    v1: FakeCgroups, old: Cgroup
) -> None:
    for directory in ("dockmagic", "dockmagic/abc"):
        assert v1.text(f"{ROOT}/cpuset/{directory}/cpuset.cpus") == "0-1"
        assert v1.text(f"{ROOT}/cpuset/{directory}/cpuset.mems") == "0-1"


def test_a_parent_that_another_process_has_just_made_is_filled_too(v1: FakeCgroups) -> None:
    v1.mkdir(f"{ROOT}/cpuset/dockmagic", 0o755)
    group = detect(v1).at("dockmagic", "abc")
    group.create()
    group.join(7)
    assert v1.text(f"{ROOT}/cpuset/dockmagic/cpuset.cpus") == "0-1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((64, 128), (256, 512)),  # both grow: with swap first
        ((256, 512), (64, 128)),  # both shrink: without swap first
        ((64, 1024), (128, 256)),  # apart
        ((256, 512), (128, 1024)),
        ((64, 64), (65, 65)),
        ((64, -1), (32, 32)),
    ],
)
def test_memory_and_swap_are_changed_in_an_order_that_the_kernel_takes(
    v1: FakeCgroups, old: Cgroup, before: tuple[int, int], after: tuple[int, int]
) -> None:
    for memory, total in (before, after):
        old.apply(Resources(memory=memory * MIB, memory_swap=total * MIB if total > 0 else total))
    directory = f"{ROOT}/memory/dockmagic/abc"
    assert v1.text(f"{directory}/memory.limit_in_bytes") == str(after[0] * MIB)
    assert v1.text(f"{directory}/memory.memsw.limit_in_bytes") == str(after[1] * MIB)


def test_a_memory_limit_can_be_taken_away(v1: FakeCgroups, old: Cgroup) -> None:
    old.apply(Resources(memory=64 * MIB))
    old.apply(Resources(memory=-1, memory_swap=-1))
    assert old.stats().memory_limit == 0


def test_without_swap_accounting_memory_is_limited_alone(v1: FakeCgroups, old: Cgroup) -> None:
    directory = f"{ROOT}/memory/dockmagic/abc"
    del v1.files[f"{directory}/memory.memsw.limit_in_bytes"]
    (warning,) = old.apply(Resources(memory=64 * MIB))
    assert warning.endswith("Memory limited without swap.")
    assert v1.text(f"{directory}/memory.limit_in_bytes") == str(64 * MIB)


def test_devices_are_denied_before_some_are_allowed(v1: FakeCgroups, old: Cgroup) -> None:
    old.allow_devices(DEFAULT_DEVICES)
    written = [
        (path.rpartition("/")[2], data.decode())
        for path, data, _ in v1.arguments_of("write_file")
        if "/devices." in path
    ]
    assert written[0] == ("devices.deny", "a")
    assert written[1:] == [("devices.allow", str(rule)) for rule in DEFAULT_DEVICES]


def test_a_missing_controller_is_named_when_a_limit_needs_it() -> None:
    fake = FakeCgroups({"memory": ("memory",)})
    group = detect(fake).at("dockmagic", "abc")
    group.create()
    (warning,) = group.apply(Resources(memory=64 * MIB, blkio_weight=100))
    assert warning.endswith("Weight discarded.")
    with pytest.raises(Unsupported, match="the pids cgroup controller is not available"):
        group.apply(Resources(pids_limit=5))
    with pytest.raises(Unsupported, match="paused"):
        group.freeze()
    with pytest.raises(Unsupported, match="devices"):
        group.allow_devices(DEFAULT_DEVICES)
    assert not detect(fake).can_limit_devices()


def test_usage_is_read_from_every_tree(v1: FakeCgroups, old: Cgroup) -> None:
    old.apply(Resources(memory=512 * MIB))
    for path, text in {
        "cpu,cpuacct/dockmagic/abc/cpuacct.usage": "123456789",
        "memory/dockmagic/abc/memory.usage_in_bytes": "1000",
        "memory/dockmagic/abc/memory.stat": "inactive_file 5\ntotal_inactive_file 300",
        "memory/dockmagic/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
        "pids/dockmagic/abc/pids.current": "4",
        "blkio/dockmagic/abc/blkio.throttle.io_service_bytes_recursive": (
            "8:0 Read 100\n8:0 Write 20\n8:0 Sync 120\n8:16 Read 1\n8:16 Write 2\nTotal 123"
        ),
    }.items():
        v1.files[f"{ROOT}/{path}"] = f"{text}\n".encode()
    assert old.stats() == CgroupStats(
        cpu_ns=123456789,
        memory_bytes=700,
        memory_limit=512 * MIB,
        pids=4,
        block_read=101,
        block_write=22,
    )
    assert old.oom_events() == 2


def test_a_read_only_tree_is_left_alone(v1: FakeCgroups) -> None:
    mountinfo = v1.files["/proc/self/mountinfo"].replace(b"/pids rw,", b"/pids ro,")
    v1.files["/proc/self/mountinfo"] = mountinfo
    group = detect(v1).at("dockmagic", "abc")
    group.create()
    assert not any("/pids/" in one for one in v1.groups())


def test_a_container_sees_one_mount_for_each_tree_and_links_to_shared_ones(
    v1: FakeCgroups,
) -> None:
    view = detect(v1).view()
    top, *trees = view.mounts
    assert top == CgroupMount(fstype="tmpfs", target=ROOT, settings=("mode=755",))
    assert {mount.target: mount.settings for mount in trees} == v1.legacy
    assert all("ro" in mount.attributes for mount in view.mounts)
    assert view.links == ((f"{ROOT}/cpu", "cpu,cpuacct"), (f"{ROOT}/cpuacct", "cpu,cpuacct"))


def test_whoever_moves_itself_on_version_1_moves_its_one_thread(
    v1: FakeCgroups, old: Cgroup
) -> None:
    old.join(0)
    old.join(7)
    written = [
        (path.rpartition("/")[2], data)
        for path, data, _ in v1.arguments_of("write_file")
        if data in (b"0", b"7")
    ]
    assert written == [("tasks", b"0")] * 8 + [("cgroup.procs", b"7")] * 8


@pytest.mark.parametrize(
    ("own", "trees"), [("/", 8), ("/user.slice/notebook.service", 9)], ids=["nowhere", "service"]
)
def test_supervisors_leave_the_service_that_a_hybrid_systemd_stops(own: str, trees: int) -> None:
    fake = FakeCgroups.v1(hybrid=True)
    fake.files["/proc/self/cgroup"] = f"0::{own}\n".encode()
    host = detect(fake)
    supervisors = host.supervisors("dockmagic")
    supervisors.create()
    supervisors.join(0)
    assert len(supervisors.directories) == trees
    assert supervisors.pids() == (OWN_PID,)
    supervisors.kill_all()
    host.prune("dockmagic")
    assert fake.groups() == set()


def test_on_a_hybrid_host_devices_can_be_kept_by_a_program() -> None:
    fake = FakeCgroups({"memory": ("memory",)}, unified=f"{ROOT}/unified")
    group = detect(fake).at("dockmagic", "abc")
    group.create()
    assert detect(fake).can_limit_devices()
    group.allow_devices(DEFAULT_DEVICES)
    assert fake.names()[-3:] == ["bpf_attach", "close", "close"]


# ---------------------------------------------------------------------- version 2


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


# ---------------------------------------------------------------------- none at all


def test_a_host_that_lets_us_make_none_refuses_only_what_needs_one() -> None:
    fake = FakeCgroups.v2()
    fake.read_only.add(ROOT)
    host = detect(fake)
    group = host.at("dockmagic", "abc")
    assert host.version == 0
    group.create()
    group.join(0)
    group.kill_all()
    assert len(group.apply(Resources(blkio_weight=10))) == 1
    group.delete()
    assert (group.exists(), group.directories, group.oom_events()) == (False, (), 0)
    assert group.stats() == CgroupStats()
    with pytest.raises(Unsupported, match="a limit of memory needs a cgroup"):
        group.apply(Resources(memory=64 * MIB))
    for refused in (group.freeze, group.thaw, group.pids):
        with pytest.raises(Unsupported, match="needs a cgroup"):
            refused()
    with pytest.raises(Unsupported, match="keeping devices"):
        group.allow_devices(DEFAULT_DEVICES)


def test_a_machine_without_any_has_no_view_either() -> None:
    fake = FakeCgroups({})
    assert detect(fake).version == 0
    assert detect(fake).view().mounts == ()
