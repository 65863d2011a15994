"""Namespaces that are shared, devices that are given, limits of a process."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.cgroups import detect
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import (
    ContainerSpec,
    Device,
    ExecSpec,
    Mount,
    PortMapping,
    Resources,
    Status,
)

from .conftest import Run, collect
from .losing import lose

pytestmark = [pytest.mark.root, pytest.mark.network]


def namespace(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def sleeper(engine: Engine, **spec: Any) -> None:
    engine.containers.run(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="other", **spec), detach=True
    )


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("pid", "pid_mode"),
        ("ipc", "ipc_mode"),
        ("uts", "uts_mode"),
        ("cgroup", "cgroupns_mode"),
        ("net", "network"),
    ],
)
def test_a_namespace_of_the_host_is_shared_when_asked_for(run: Run, kind: str, field: str) -> None:
    link = f"/proc/self/ns/{kind}"
    assert run("readlink", link, **{field: "host"}).stdout.strip() == namespace(kind)
    assert run("readlink", link).stdout.strip() != namespace(kind)


def test_the_hosts_name_is_seen_with_its_uts_namespace(run: Run) -> None:
    assert run("hostname", uts_mode="host").stdout.strip() == socket.gethostname()


def test_processes_of_another_container_are_seen(engine: Engine, run: Run) -> None:
    sleeper(engine)
    assert "sleep 100" in run("ps", pid_mode="container:other").stdout
    assert "sleep 100" not in run("ps").stdout


def test_shared_memory_of_another_container_is_seen(engine: Engine, run: Run) -> None:
    sleeper(engine, ipc_mode="shareable")
    run("sh", "-c", "echo hello > /dev/shm/file", ipc_mode="container:other")
    assert run("cat", "/dev/shm/file", ipc_mode="container:other").stdout == "hello\n"
    assert run("ls", "/dev/shm").stdout == ""


def test_whose_namespaces_are_shared_is_kept_by_the_id(engine: Engine) -> None:
    sleeper(engine)
    other = engine.containers.get("other")
    shared = {"network": "container:other", "pid_mode": "container:other"}
    spec = ContainerSpec(image="busybox", name="beside", command=("sleep", "100"), **shared)  # type: ignore[arg-type]
    engine.containers.create(spec)
    engine.containers.rename("other", "renamed")
    engine.containers.create(ContainerSpec(image="busybox", name="other"))
    engine.containers.start("beside")
    host_config = engine.containers.inspect("beside")["HostConfig"]
    assert host_config["NetworkMode"] == host_config["PidMode"] == f"container:{other.id}"


def test_a_namespace_of_what_does_not_run_is_a_conflict(engine: Engine, run: Run) -> None:
    engine.containers.create(ContainerSpec(image="busybox", name="idle"))
    with pytest.raises(Conflict, match="cannot join PID of a non running container"):
        run("true", pid_mode="container:idle")


def test_a_device_is_made_and_opened(run: Run) -> None:
    device = Device(source="/dev/zero", target="/dev/mine", permissions="r")
    ended = run(
        "sh", "-c", "head -c 3 /dev/mine | wc -c; stat -c %t:%T /dev/mine", devices=(device,)
    )
    assert ended.stdout.split() == ["3", "1:5"]


def test_a_device_cgroup_rule_opens_what_it_names(run: Run) -> None:
    script = "mknod /node c 10 229 && : < /node && echo opened"
    assert "not permitted" in run("sh", "-c", script).stderr
    assert run("sh", "-c", script, device_cgroup_rules=("c 10:229 r",)).stdout == "opened\n"


def test_a_device_that_is_none_is_dockers_error(run: Run) -> None:
    with pytest.raises(NotFound, match="error gathering device information"):
        run("true", devices=(Device(source="/dev/nosuch", target="/dev/x"),))
    with pytest.raises(InvalidInput, match="not a device node"):
        run("true", devices=(Device(source="/etc/passwd", target="/dev/x"),))
    with pytest.raises(InvalidInput, match="invalid device cgroup format"):
        run("true", device_cgroup_rules=("c 1:11 rx",))


def test_ulimits_oom_score_and_sysctls_reach_the_program(run: Run) -> None:
    ended = run(
        "sh",
        "-c",
        "ulimit -n; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl",
        ulimits={"nofile": (100, 200)},
        oom_score_adj=500,
        sysctls={"net.ipv4.ip_default_ttl": "33"},
    )
    assert ended.stdout.split() == ["100", "500", "33"]


def test_an_exec_has_the_limits_and_the_score_of_its_container(engine: Engine) -> None:
    sleeper(engine, ulimits={"nofile": (100, 200)}, oom_score_adj=500)
    script = "ulimit -n; cat /proc/self/oom_score_adj"
    process = engine.containers.exec("other", ExecSpec(command=("sh", "-c", script)))
    assert collect(process).stdout.split() == ["100", "500"]


def test_a_container_has_no_score_of_the_service_that_started_the_engine(engine: Engine) -> None:
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()
    own.write_text("300")
    try:
        with Engine(engine.data_root.root) as other:  # its launcher inherits that
            sleeper(other)
            score = Path(f"/proc/{other.containers.get('other').pid}/oom_score_adj").read_text()
    finally:
        own.write_text(before)
    assert score == "0\n"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("no-new-privileges", "1"),
        ("no-new-privileges=true", "1"),
        ("no-new-privileges:1", "1"),
        ("no-new-privileges:false", "0"),
    ],
)
def test_new_privileges_are_denied_to_the_program_and_to_an_exec(
    engine: Engine, run: Run, option: str, expected: str
) -> None:
    show = ("grep", "NoNewPrivs", "/proc/self/status")
    sleeper(engine, security_opt=(option,))
    for ended in (
        run(*show, security_opt=(option,)),
        collect(engine.containers.exec("other", ExecSpec(command=show))),
    ):
        assert ended.stdout.split() == ["NoNewPrivs:", expected]


def test_tmpfs_has_dockers_defaults_and_takes_options(run: Run) -> None:
    mount = Mount(kind="tmpfs", target="/scratch/pad", options=("size=1m", "mode=700", "exec"))
    ended = run("grep", "/scratch/pad", "/proc/mounts", mounts=(mount,))
    assert "tmpfs /scratch/pad tmpfs rw,nosuid,nodev,relatime,size=1024k,mode=700" in ended.stdout


def test_shm_size(run: Run) -> None:
    assert "size=1024k" in run("grep", "/dev/shm", "/proc/mounts", shm_size=1 << 20).stdout


def test_capabilities_are_added_and_dropped(run: Run) -> None:
    ended = run("hostname", "new-name", cap_add=("SYS_ADMIN",))
    assert ended.code == 0
    ended = run("chown", "1:1", "/etc/passwd", cap_drop=("all",))
    assert "Operation not permitted" in ended.stderr


def test_another_parent_group_is_sampled_and_cleaned_up_too(engine: Engine, run: Run) -> None:
    run("true")
    parent = f"{engine.data_root.cgroup_parent}-mine"
    sleeper(engine, cgroup_parent=parent)
    group = detect(Kernel()).at(parent, engine.containers.get("other").id)
    assert engine.containers.stats("other").pids == len(group.pids()) == 1
    lose(engine, "other")
    assert engine.containers.get("other").status is Status.EXITED
    assert not any(os.path.exists(directory) for directory in group.directories)
    assert detect(Kernel()).names(parent) == ()
    detect(Kernel()).prune(parent)


def test_a_parent_group_is_a_path_from_the_top_of_the_tree(engine: Engine) -> None:
    parent = f"{engine.data_root.cgroup_parent}-top/inner"
    sleeper(engine, cgroup_parent=f"/../../{parent}")
    pid = engine.containers.get("other").pid
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as stream:
        assert f":/{parent}/{engine.containers.get('other').id}\n" in stream.read()
    engine.containers.remove("other", force=True)
    for group in (parent, parent.partition("/")[0]):
        detect(Kernel()).prune(group)


def test_a_group_whose_run_directory_is_dead_is_found_wherever_it_is(engine: Engine) -> None:
    """A step of a build that was killed half-way has no row with its parent group."""
    parent, name = f"{engine.data_root.cgroup_parent}-other/inner", "d" * 64
    group = detect(Kernel()).at(parent, name)
    group.create()
    run = engine.data_root.run / name
    run.mkdir()
    os.utime(run, (0, 0))
    with Engine(engine.data_root.root) as other:
        other.system.recover()
        assert not group.exists()
        assert not run.exists()
    for path in (parent, parent.partition("/")[0]):
        detect(Kernel()).prune(path)


def test_every_operation_of_a_start_has_words_calls_a_duration_and_an_undo(engine: Engine) -> None:
    device = Device(source="/dev/fuse", target="/dev/mine")
    sleeper(
        engine,
        tty=True,
        init=True,
        devices=(device,),
        mounts=(Mount(kind="volume", target="/data"), Mount(kind="tmpfs", target="/scratch")),
        resources=Resources(memory=64 << 20),
        ports=(PortMapping(container_port=80),),
        oom_score_adj=1,
        read_only=True,
    )
    explanation = engine.containers.explain("other")
    assert {step.who for step in explanation.steps} == {"start process", "child", "network"}
    for step in explanation.steps:
        assert step.text
        assert step.calls
        assert all(step.calls)
        assert step.undoing
        assert 0 <= step.began <= step.began + step.seconds <= explanation.seconds
    assert [step.began for step in explanation.steps] == sorted(
        step.began for step in explanation.steps
    )
    names = {step.name for step in explanation.steps}
    assert {"CreateCgroup", "LimitResources", "MakeDeviceNodes", "SetOomScore", "OpenTerminal",
            "PivotRoot"} <= names  # fmt: skip


def test_command_line_7_without_ipc_there_is_no_dev_shm(run: Run) -> None:
    ended = run("ls", "-d", "/dev/shm", ipc_mode="none")
    assert (ended.code, ended.stdout) == (1, "")
    assert run("sh", "-c", "stat -c %a /dev/shm").stdout == "1777\n"
    assert run("sh", "-c", "stat -c %a /dev/mqueue").stdout == "1777\n"


def test_command_line_18_mtab_is_in_the_init_layer_and_never_in_diff(engine: Engine) -> None:
    script = "readlink /etc/mtab; grep -c ' / ' /etc/mtab"
    spec = ContainerSpec(image="busybox", command=("sh", "-c", script), name="web")
    assert collect(engine.containers.run(spec)).stdout == "/proc/mounts\n1\n"
    assert engine.containers.diff("web") == ()


def test_command_line_6_the_same_volume_twice_is_no_error(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = Session()
    session.use(engine)
    bind = f"{tmp_path}:/x"
    twice = ["-v", bind, "-v", bind, "--tmpfs", "/t", "--tmpfs", "/t:size=1m"]
    command = ["grep", "-c", " /x ", "/proc/mounts"]
    assert main(["run", "--rm", *twice, "busybox", *command], session) == 0
    assert capfd.readouterr().out == "1\n"
    for other in (f"{tmp_path}:/x:ro", f"{tmp_path}:/x/"):
        flags = ["-v", f"{tmp_path}:/x", "-v", other]
        assert main(["run", "--rm", *flags, "busybox"], session) == 125
        assert "Duplicate mount point: /x" in capfd.readouterr().err
