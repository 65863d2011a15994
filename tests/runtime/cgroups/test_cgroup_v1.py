"""One control group of version 1, on trees in memory."""

from __future__ import annotations

import pytest

from dockmagic_runtime.cgroups import DEFAULT_DEVICES, Cgroup, CgroupMount, CgroupStats, detect
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.testing.fake_cgroups import OWN_PID, ROOT, FakeCgroups

from .conftest import MIB

pytestmark = pytest.mark.usefixtures("no_waiting")


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
    assert not any("/pids/" in group_path for group_path in v1.groups())


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
