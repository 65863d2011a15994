"""Limits that make no sense are refused in Docker's words."""

from __future__ import annotations

import pytest

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.sandbox.limits import MINIMUM_MEMORY, Processors, check, parse_list

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "limits",
    [
        Resources(),
        Resources(memory=MINIMUM_MEMORY),
        Resources(memory=64 * MIB, memory_swap=64 * MIB, memory_reservation=64 * MIB),
        Resources(memory=64 * MIB, memory_swap=-1),
        Resources(memory_swap=-1),
        Resources(nano_cpus=10_000_000),
        Resources(nano_cpus=2_000_000_000),
        Resources(cpu_period=1000, cpu_quota=1000),
        Resources(cpu_quota=-1),
        Resources(cpuset_cpus="0-1,3", cpuset_mems="0", blkio_weight=10),
    ],
)
def test_sensible_limits_pass(limits: Resources) -> None:
    check(limits, cpus=2, host=Processors("0-3", "0"))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Resources(memory=MINIMUM_MEMORY - 1), "Minimum memory limit allowed is 6MB"),
        (Resources(memory_swap=64 * MIB), "always set the Memory limit when using Memoryswap"),
        (Resources(memory=64 * MIB, memory_swap=32 * MIB), "Minimum memoryswap limit should be"),
        (Resources(memory_reservation=MIB), "Minimum memory reservation allowed is 6MB"),
        (
            Resources(memory=8 * MIB, memory_reservation=16 * MIB),
            "can not be less than memory reservation limit",
        ),
        (Resources(nano_cpus=10**9, cpu_period=1000), "Nano CPUs and CPU Period cannot both"),
        (Resources(nano_cpus=10**9, cpu_quota=1000), "Nano CPUs and CPU Quota cannot both"),
        (Resources(nano_cpus=2_000_000_001), "0.01 to 2.00, as there are only 2 CPUs available"),
        (Resources(nano_cpus=9_999_999), "Range of CPUs is from 0.01"),
        (Resources(cpu_period=999), "CPU cfs period can not be less than 1ms"),
        (Resources(cpu_period=1_000_001), "or larger than 1s"),
        (Resources(cpu_quota=999), "CPU cfs quota can not be less than 1ms"),
        (Resources(cpu_shares=-1), "invalid CPU shares"),
        (Resources(cpuset_cpus="a"), "Invalid value a for cpuset cpus: invalid format: a"),
        (Resources(cpuset_mems="0-"), "Invalid value 0- for cpuset mems: invalid format: 0-"),
        (Resources(cpuset_cpus="1-0"), "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
        (Resources(cpuset_cpus=","), "Invalid value , for cpuset cpus: invalid format: ,"),
        (
            Resources(cpuset_cpus="0-8193"),
            "Invalid value 0-8193 for cpuset cpus: value of out range, maximum is 8192",
        ),
        (
            Resources(cpuset_cpus="0,99"),
            "Requested CPUs are not available - requested 0,99, available: 0-3",
        ),
        (
            Resources(cpuset_mems="9"),
            "Requested memory nodes are not available - requested 9, available: 0",
        ),
        (Resources(blkio_weight=9), "Range of blkio weight is from 10 to 1000"),
        (Resources(blkio_weight=1001), "Range of blkio weight is from 10 to 1000"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limits: Resources, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(limits, cpus=2, host=Processors("0-3", "0"))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", set()), ("0", {0}), ("0-2,7", {0, 1, 2, 7}), ("3,1-2,1", {1, 2, 3}), ("+1", {1})],
)
def test_command_line_2_a_list_of_cpus_is_read_as_docker_reads_it(
    text: str, numbers: set[int]
) -> None:
    assert parse_list(text) == numbers
