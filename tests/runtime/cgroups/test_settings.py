"""Docker's limits as control file values, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockmagic_runtime.cgroups.settings import cpu_weight, settings_v1, settings_v2
from dockmagic_runtime.model.container import Resources

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("limits", "v1", "v2"),
    [
        (Resources(), [], []),
        (
            Resources(memory=64 * MIB),
            ["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=134217728"],
            ["memory.max=67108864", "memory.swap.max=67108864"],
        ),
        (
            Resources(memory=64 * MIB, memory_swap=96 * MIB),
            ["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=100663296"],
            ["memory.max=67108864", "memory.swap.max=33554432"],
        ),
        (
            Resources(memory=64 * MIB, memory_swap=64 * MIB),
            ["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=67108864"],
            ["memory.max=67108864", "memory.swap.max=0"],
        ),
        (
            Resources(memory=64 * MIB, memory_swap=-1),
            ["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=-1"],
            ["memory.max=67108864", "memory.swap.max=max"],
        ),
        (
            Resources(memory=-1),
            ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"],
            ["memory.max=max", "memory.swap.max=max"],
        ),
        (
            Resources(memory_reservation=32 * MIB),
            ["memory.soft_limit_in_bytes=33554432"],
            ["memory.low=33554432"],
        ),
        (
            Resources(nano_cpus=1_500_000_000),
            ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"],
            ["cpu.max=150000 100000"],
        ),
        (
            Resources(nano_cpus=10_000_000),
            ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=1000"],
            ["cpu.max=1000 100000"],
        ),
        (
            Resources(cpu_quota=20_000, cpu_period=40_000),
            ["cpu.cfs_period_us=40000", "cpu.cfs_quota_us=20000"],
            ["cpu.max=20000 40000"],
        ),
        (Resources(cpu_quota=20_000), ["cpu.cfs_quota_us=20000"], ["cpu.max=20000 100000"]),
        (Resources(cpu_period=50_000), ["cpu.cfs_period_us=50000"], ["cpu.max=max 50000"]),
        (Resources(cpu_quota=-1), ["cpu.cfs_quota_us=-1"], ["cpu.max=max 100000"]),
        (Resources(cpu_shares=1024), ["cpu.shares=1024"], ["cpu.weight=100"]),
        (
            Resources(cpuset_cpus="0-1,3", cpuset_mems="0"),
            ["cpuset.cpus=0-1,3", "cpuset.mems=0"],
            ["cpuset.cpus=0-1,3", "cpuset.mems=0"],
        ),
        (Resources(pids_limit=100), ["pids.max=100"], ["pids.max=100"]),
        (Resources(pids_limit=-1), ["pids.max=max"], ["pids.max=max"]),
        (Resources(blkio_weight=500), ["blkio.bfq.weight=500"], ["io.bfq.weight=500"]),
        (
            Resources(blkio_weight_devices=(("8:0", 500),)),
            ["blkio.bfq.weight_device=8:0 500"],
            ["io.bfq.weight=8:0 500"],
        ),
        (
            Resources(throttles=(("read_bps", "8:0", 1024), ("write_iops", "8:16", 7))),
            [
                "blkio.throttle.read_bps_device=8:0 1024",
                "blkio.throttle.write_iops_device=8:16 7",
            ],
            ["io.max=8:0 rbps=1024", "io.max=8:16 wiops=7"],
        ),
        (
            Resources(memory_swappiness=0, oom_kill_disable=True),
            ["memory.swappiness=0", "memory.oom_control=1"],
            ["memory.swappiness=0", "memory.oom_control=1"],
        ),
        (
            Resources(cpu_rt_period=1000, cpu_rt_runtime=500),
            ["cpu.rt_period_us=1000", "cpu.rt_runtime_us=500"],
            ["cpu.rt_period_us=1000", "cpu.rt_runtime_us=500"],
        ),
    ],
)
def test_a_limit_becomes_these_values(limits: Resources, v1: list[str], v2: list[str]) -> None:
    assert [str(setting) for setting in settings_v1(limits)] == v1
    assert [str(setting) for setting in settings_v2(limits)] == v2


@pytest.mark.parametrize(
    ("limits", "warning"),
    [
        (Resources(memory_swappiness=60), "Memory swappiness discarded."),
        (Resources(oom_kill_disable=True), "OomKillDisable discarded."),
        (Resources(blkio_weight_devices=(("8:0", 9),)), "Weight-device discarded."),
        (Resources(throttles=(("read_bps", "8:0", 1),)), "Block I/O BPS read limit discarded."),
        (Resources(throttles=(("write_iops", "8:0", 1),)), "Block I/O IOPS write limit discarded."),
    ],
)
def test_what_docker_leaves_out_with_a_warning_is_left_out(limits: Resources, warning: str) -> None:
    for (setting,) in (settings_v1(limits), settings_v2(limits)):
        assert setting.optional.endswith(warning)


@pytest.mark.parametrize(("weight", "scaled"), [(10, "1"), (500, "4950"), (1000, "10000")])
def test_a_block_weight_has_another_file_and_scale_where_bfq_is_not(
    weight: int, scaled: str
) -> None:
    (old,) = settings_v1(Resources(blkio_weight=weight))
    (new,) = settings_v2(Resources(blkio_weight=weight))
    assert old.instead is not None
    assert new.instead is not None
    assert str(old.instead) == f"blkio.weight={weight}"
    assert str(new.instead) == f"io.weight={scaled}"


@pytest.mark.parametrize(
    ("shares", "weight"), [(2, 1), (1024, 100), (262_144, 10_000), (1, 1), (10**9, 10_000)]
)
def test_shares_meet_weights_at_both_ends_and_at_the_defaults(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


@given(st.integers(2, 262_143))
def test_more_shares_never_weigh_less(shares: int) -> None:
    assert 1 <= cpu_weight(shares) <= cpu_weight(shares + 1) <= 10_000
