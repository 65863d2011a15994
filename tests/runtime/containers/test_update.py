from __future__ import annotations

import pytest

from dockmagic_runtime.containers.lifecycle.update import merged
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources

MIB = 1 << 20


def test_what_is_not_said_stays() -> None:
    now = Resources(memory=64 * MIB, pids_limit=10)
    assert merged(now, Resources(pids_limit=20)) == Resources(memory=64 * MIB, pids_limit=20)


def test_more_memory_than_memory_and_swap_needs_both() -> None:
    now = Resources(memory=64 * MIB)  # and so twice as much with swap
    with pytest.raises(InvalidInput, match="update the memoryswap at the same time"):
        merged(now, Resources(memory=129 * MIB))
    assert merged(now, Resources(memory=128 * MIB)).memory == 128 * MIB
    both = Resources(memory=256 * MIB, memory_swap=512 * MIB)
    assert merged(now, both) == both


@pytest.mark.parametrize(
    ("now", "asked", "words"),
    [
        (Resources(nano_cpus=10**9), Resources(cpu_period=1000), "CPU Period cannot be updated"),
        (Resources(nano_cpus=10**9), Resources(cpu_quota=1000), "CPU Quota cannot be updated"),
        (Resources(cpu_quota=1000), Resources(nano_cpus=10**9), "Nano CPUs cannot be updated"),
    ],
)
def test_two_ways_to_say_cpus_do_not_mix(now: Resources, asked: Resources, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        merged(now, asked)
