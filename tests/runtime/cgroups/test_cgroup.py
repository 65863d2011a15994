"""One control group, on trees in memory of each version, and where there are none."""

from __future__ import annotations

import errno
import signal

import pytest

from dockmagic_runtime.cgroups import DEFAULT_DEVICES, Cgroup, CgroupStats, detect
from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.testing.fake_cgroups import OWN_PID, ROOT, FakeCgroups

from .conftest import MIB

pytestmark = pytest.mark.usefixtures("no_waiting")


def test_it_is_made_in_every_tree_below_our_parent(fake: FakeCgroups, group: Cgroup) -> None:
    assert fake.groups() == {
        group_path for leaf in group.directories for group_path in (leaf, leaf.removesuffix("/abc"))
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
    assert not any(
        group_path.endswith("abc") or "abc/" in group_path for group_path in fake.groups()
    )
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
