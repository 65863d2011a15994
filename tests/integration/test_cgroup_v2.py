"""Containers on a host with cgroup v2 alone, as make test-v2 makes one: limits, freezing, stats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import Container, ContainerSpec, ExecSpec, Resources, Status

from .conftest import Run, collect

pytestmark = [pytest.mark.root, pytest.mark.network]
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def version_2() -> None:
    if detect(Kernel()).version != 2:
        pytest.skip("optional: this machine's controllers are not in a cgroup v2 tree")


def _sleeper(engine: Engine, **spec: Any) -> Container:
    return engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="web", **spec), detach=True
    )


def _group(engine: Engine, container: Container) -> Path:
    return Path("/sys/fs/cgroup") / engine.data_root.cgroup_parent / container.id


def test_limits_are_seen_inside(run: Run) -> None:
    limits = Resources(
        memory=64 * MIB,
        memory_swap=96 * MIB,
        memory_reservation=32 * MIB,
        nano_cpus=500_000_000,
        cpu_shares=2048,
        pids_limit=33,
        cpuset_cpus="0",
    )
    files = (
        "memory.max memory.swap.max memory.low cpu.max cpu.weight pids.max cpuset.cpus.effective"
    )
    ended = run("sh", "-c", f"cd /sys/fs/cgroup; cat {files}; nproc", resources=limits)
    assert ended.stdout.splitlines() == [
        str(64 * MIB),
        str(32 * MIB),
        str(32 * MIB),
        "50000 100000",
        "174",
        "33",
        "0",
        "1",
    ]


def test_a_container_is_the_root_of_its_own_tree(engine: Engine, run: Run) -> None:
    assert run("cat", "/proc/self/cgroup").stdout == "0::/\n"
    _sleeper(engine)
    script = "cat /proc/self/cgroup; wc -l < /sys/fs/cgroup/cgroup.procs"
    ended = collect(engine.containers.exec("web", ExecSpec(command=("sh", "-c", script))))
    tree, members = ended.stdout.splitlines()
    assert tree == "0::/"
    assert int(members) >= 2  # sleep, and what was executed


def test_pressure_is_seen_inside(run: Run) -> None:
    ended = run("sh", "-c", "cat /sys/fs/cgroup/*.pressure")
    assert ended.code == 0
    assert ended.stdout.count("some avg10=") >= 3


def test_a_paused_container_is_frozen_and_can_be_killed(engine: Engine) -> None:
    container = _sleeper(engine)
    events = _group(engine, container) / "cgroup.events"
    engine.containers.pause("web")
    assert "frozen 1" in events.read_text()
    engine.containers.unpause("web")
    assert "frozen 0" in events.read_text()
    engine.containers.pause("web")
    engine.containers.kill("web")
    assert engine.containers.get("web").status is Status.EXITED
    assert engine.containers.get("web").exit_code == 137
    assert not events.exists()


def test_a_sample_counts_what_the_group_counts(engine: Engine) -> None:
    _sleeper(engine, resources=Resources(memory=64 * MIB))
    sample = engine.containers.stats("web")
    assert sample.memory_limit == 64 * MIB
    assert 0 < sample.memory_bytes < 64 * MIB
    assert sample.pids == 1
    assert sample.cpu_ns > 0


def test_where_no_more_processes_may_be_born_one_can_still_be_executed(engine: Engine) -> None:
    """As with Docker, whose processes join: the limit is one of births."""
    _sleeper(engine, resources=Resources(pids_limit=1))
    assert (
        collect(engine.containers.exec("web", ExecSpec(command=("echo", "there")))).stdout
        == "there\n"
    )


def test_processes_that_escape_their_session_end_with_their_group(engine: Engine) -> None:
    script = "setsid sleep 100 & setsid sleep 100 & exec sleep 100"
    container = engine.containers.run(
        ContainerSpec(image="busybox", command=("sh", "-c", script), name="web"), detach=True
    )
    procs = _group(engine, container) / "cgroup.procs"
    while len(pids := procs.read_text().split()) < 3:
        os.sched_yield()
    engine.containers.remove("web", force=True)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not procs.exists()
