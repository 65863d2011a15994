"""What lives on and what is cleaned up when a process of ours is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.build import BuildRequest
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Status
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import Run, collect
from .losing import kill_supervisor, lose
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

_KERNEL = """
import sys, time
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec
engine = Engine(sys.argv[1])
spec = ContainerSpec(image="busybox", command=("sleep", "100"), name="detached")
engine.containers.run(spec, detach=True)
attached = engine.containers.run("busybox", ("sleep", "100"), name="attached")
print("ready", flush=True)
time.sleep(100)
"""


def supervisor_of(pid: int) -> int:
    """The parent of a container's first process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("PPid:\t")[1].split()[0])


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_detached_containers_survive_their_engine_and_attached_ones_do_not(
    engine: Engine,
) -> None:
    arguments = [sys.executable, "-c", _KERNEL, str(engine.data_root.root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "ready\n"
        attached = engine.containers.get("attached").pid
        kernel.send_signal(signal.SIGKILL)
    assert eventually(lambda: is_gone(attached))
    assert eventually(lambda: engine.containers.get("attached").status is Status.EXITED)
    assert engine.containers.get("detached").status is Status.RUNNING
    ended = collect(engine.containers.exec("detached", ExecSpec(command=("echo", "still here"))))
    assert ended.stdout == "still here\n"


def test_a_container_in_the_foreground_ends_with_its_supervisor(engine: Engine) -> None:
    spec = ContainerSpec(image="busybox", command=("sleep", "100"), name="web", user="1000")
    process = engine.containers.run(spec)
    kill_supervisor(engine, "web")
    assert eventually(lambda: is_gone(process.pid))
    assert process.wait() == 137
    assert engine.containers.get("web").status is Status.EXITED


def test_what_was_lost_with_its_supervisor_is_cleaned_up_by_the_next_look(
    engine: Engine, run: Run
) -> None:
    run("true")  # bridge, table and cgroup parent stay: they belong to the area
    before = HostSnapshot.take(engine.data_root)
    spec = ContainerSpec(image="busybox", command=("sleep", "100"), name="web")
    container = engine.containers.run(spec, detach=True)
    lose(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.exit_code) == (Status.EXITED, 137)
    assert web_now.error
    assert not (engine.data_root.run / container.id).exists()
    engine.containers.start("web")
    assert engine.containers.get("web").status is Status.RUNNING
    engine.containers.remove("web", force=True)
    assert not left_behind(before, engine.data_root)


def test_a_container_of_rm_that_was_lost_leaves_no_row(engine: Engine) -> None:
    spec = ContainerSpec(image="busybox", command=("sleep", "100"), name="web", auto_remove=True)
    engine.containers.run(spec, detach=True)
    lose(engine, "web")
    assert eventually(lambda: engine.containers.list(all=True) == ())
    assert os.listdir(engine.data_root.containers) == []


def test_a_killed_launcher_is_replaced_and_its_containers_go_on(engine: Engine, run: Run) -> None:
    spec = ContainerSpec(image="busybox", command=("sleep", "100"), name="web")
    container = engine.containers.run(spec, detach=True)
    launcher = engine._components.launcher.pid
    os.kill(launcher, signal.SIGKILL)
    assert run("echo", "again").stdout == "again\n"
    assert engine.containers.get("web").pid == container.pid
    assert not is_gone(container.pid)


def test_a_build_that_is_closed_half_way_kills_its_step(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    request = BuildRequest(dockerfile="FROM busybox\nRUN echo begun; sleep 100\n", context=None)
    events = engine.images.build(request)
    for event in events:
        if type(event).__name__ == "StepOutput":
            break
    events.close()  # type: ignore[attr-defined]
    assert not left_behind(before, engine.data_root)


def test_a_failed_start_leaves_nothing(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    with pytest.raises(Exception, match="executable file not found"):
        engine.containers.run(ContainerSpec(image="busybox", command=("nope",), auto_remove=True))
    assert engine.containers.list(all=True) == ()
    assert not left_behind(before, engine.data_root)
    assert os.listdir(engine.data_root.run) == []


def test_a_hundred_runs_leave_nothing_behind(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        assert run("true").code == 0
    assert not left_behind(before, engine.data_root)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert engine._components.database.row("SELECT count(*) FROM leases") == (0,)
