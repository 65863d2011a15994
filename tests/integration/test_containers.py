"""Verbs on real containers: exit codes, streams, states, and what Docker says when it says no."""

from __future__ import annotations

import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound, StartFailed
from dockmagic_runtime.model.container import (
    Container,
    ContainerSpec,
    ExecSpec,
    Mount,
    PortMapping,
    Resources,
    Status,
)

from .conftest import Build, Run, collect

_STREAMS = ("stdout", "stderr")
pytestmark = [pytest.mark.root, pytest.mark.network]


def start(engine: Engine, script: str, **spec: Any) -> Container:
    command = ("sh", "-c", script)
    return engine.containers.run(
        ContainerSpec(image="busybox", command=command, **spec), detach=True
    )


def shell(engine: Engine, name: str, script: str) -> str:
    return collect(engine.containers.exec(name, ExecSpec(command=("sh", "-c", script)))).stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("script", "code"),
    [("true", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_exit_codes_are_the_commands_own_or_128_plus_the_signal(
    engine: Engine, script: str, code: int
) -> None:
    # a signal of its own does not reach pid 1 unless it is a child's: hence the inner shell
    container = start(engine, f"sh -c '{script}'; exit $?")
    assert engine.containers.wait(container.id) == code


def test_a_command_that_does_not_exist_is_127(run: Run) -> None:
    with pytest.raises(StartFailed, match=r'exec: "nope": executable file not found') as raised:
        run("nope")
    assert raised.value.exit_code == 127


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc"])
def test_what_is_not_executable_is_126(run: Run, path: str) -> None:
    with pytest.raises(StartFailed) as raised:
        run(path)
    assert raised.value.exit_code == 126


def test_streams_stay_apart(run: Run) -> None:
    ended = run("sh", "-c", "echo out; echo err >&2")
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")


def test_standard_input_reaches_the_program_and_ends(run: Run) -> None:
    text = b"x" * 300_000
    assert run("wc", "-c", stdin=text).stdout.strip() == "300000"


def test_a_terminal_merges_the_streams(engine: Engine) -> None:
    process = engine.containers.run(
        ContainerSpec(
            image="busybox",
            command=("sh", "-c", "tty; test -t 0 && echo yes >&2"),
            tty=True,
            auto_remove=True,
        )
    )
    assert collect(process).stdout == "/dev/pts/0\r\nyes\r\n"


def test_the_window_size_reaches_the_terminal(engine: Engine) -> None:
    process = engine.containers.run(
        ContainerSpec(
            image="busybox",
            command=("sh", "-c", "read x; stty size"),
            tty=True,
            open_stdin=True,
            auto_remove=True,
        )
    )
    process.resize(33, 101)
    process.write(b"\n")
    assert "33 101" in collect(process).stdout


def test_ps_shows_what_runs_and_with_all_what_ended(engine: Engine) -> None:
    running = start(engine, "sleep 100", name="one")
    ended = start(engine, "exit 4", name="two")
    engine.containers.wait("two")
    assert [container.name for container in engine.containers.list()] == ["one"]
    by_id = {container.id: container for container in engine.containers.list(all=True)}
    assert by_id[running.id].status is Status.RUNNING
    assert (by_id[ended.id].status, by_id[ended.id].exit_code) == (Status.EXITED, 4)
    created = engine.containers.create(ContainerSpec(image="busybox"))
    assert engine.containers.get(created.id).status is Status.CREATED


def test_names_ids_and_prefixes_find_a_container(engine: Engine) -> None:
    container = start(engine, "sleep 100", name="web")
    for name in ("web", "/web", container.id, container.id[:7]):
        assert engine.containers.get(name).id == container.id
    with pytest.raises(NotFound, match="No such container: wub") as raised:
        engine.containers.get("wub")
    assert "web" in raised.value.hint


def test_logs_are_kept_and_followed_to_the_end(engine: Engine) -> None:
    container = start(engine, "echo one; echo two >&2; sleep 0.3; printf three")
    lines = list(engine.containers.logs(container.id, follow=True))
    # two pipes have no order between them
    streams = {
        stream: [line.text for line in lines if line.stream == stream] for stream in _STREAMS
    }
    assert streams == {"stdout": [b"one\n", b"three"], "stderr": [b"two\n"]}
    assert [line.text for line in engine.containers.logs(container.id, tail=1)] == [b"three"]


def test_stop_asks_and_then_kills(engine: Engine) -> None:
    deaf = start(engine, "sleep 100", name="deaf")  # pid 1 without a handler ignores TERM
    polite = start(
        engine, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done", name="polite"
    )
    next(engine.containers.logs("polite", follow=True))
    engine.containers.stop("polite")
    engine.containers.stop("deaf", timeout=0.2)
    assert engine.containers.get(polite.id).exit_code == 5
    assert engine.containers.get(deaf.id).exit_code == 137
    engine.containers.stop("deaf")  # already stopped: silent


def test_kill_of_what_does_not_run_is_dockers_conflict(engine: Engine) -> None:
    container = engine.containers.create(ContainerSpec(image="busybox", name="idle"))
    with pytest.raises(Conflict, match="is not running"):
        engine.containers.kill(container.id)


def test_start_again_keeps_what_was_written(engine: Engine) -> None:
    start(engine, "cat /kept 2>/dev/null; echo kept >> /kept", name="again")
    engine.containers.wait("again")
    engine.containers.start("again")
    engine.containers.wait("again")
    assert [line.text for line in engine.containers.logs("again")] == [b"kept\n"]


def test_a_running_container_is_not_removed_without_force(engine: Engine) -> None:
    start(engine, "sleep 100", name="busy")
    with pytest.raises(Conflict, match="stop the container before removing or force remove"):
        engine.containers.remove("busy")
    engine.containers.remove("busy", force=True)
    with pytest.raises(NotFound):
        engine.containers.get("busy")


def test_a_name_in_use_is_dockers_conflict_and_is_free_after_rm(engine: Engine) -> None:
    first = engine.containers.create(ContainerSpec(image="busybox", name="web"))
    with pytest.raises(Conflict, match=f'"/web" is already in use by container "{first.id}"'):
        engine.containers.create(ContainerSpec(image="busybox", name="web"))
    engine.containers.remove("web")
    engine.containers.create(ContainerSpec(image="busybox", name="web"))


def test_rename(engine: Engine) -> None:
    start(engine, "sleep 100", name="old")
    engine.containers.rename("old", "new")
    assert engine.containers.get("new").status is Status.RUNNING
    with pytest.raises(NotFound):
        engine.containers.get("old")


def test_an_unknown_image_changes_nothing(engine: Engine) -> None:
    with pytest.raises(NotFound, match="No such image: busibox:latest"):
        engine.containers.create(ContainerSpec(image="busibox"))
    assert engine.containers.list(all=True) == ()


def test_exec_sees_the_containers_processes_and_environment(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", env=("COLOUR=red",), working_dir="/tmp")
    assert shell(engine, "web", "echo $COLOUR $PWD; cat /proc/1/comm") == "red /tmp\nsleep\n"
    process = engine.containers.exec(
        "web",
        ExecSpec(command=("sh", "-c", "id -u; pwd; exit 9"), user="7", working_dir="/etc"),
    )
    ended = collect(process)
    assert (ended.stdout, ended.code) == ("7\n/etc\n", 9)


def test_exec_that_cannot_start_says_why(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    with pytest.raises(StartFailed) as raised:
        engine.containers.exec("web", ExecSpec(command=("nope",)))
    assert raised.value.exit_code == 127
    engine.containers.kill("web")
    with pytest.raises(Conflict, match="is not running"):
        engine.containers.exec("web", ExecSpec(command=("true",)))


def test_a_paused_container_stands_still(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    engine.containers.pause("web")
    assert engine.containers.get("web").status is Status.PAUSED
    with pytest.raises(Conflict, match="is paused, unpause the container before exec"):
        engine.containers.exec("web", ExecSpec(command=("true",)))
    with pytest.raises(Conflict, match="already paused"):
        engine.containers.pause("web")
    engine.containers.unpause("web")
    assert shell(engine, "web", "echo back") == "back\n"
    engine.containers.pause("web")
    engine.containers.stop("web", timeout=0.1)  # thaws it first
    assert engine.containers.get("web").exit_code == 137


def test_a_paused_container_can_be_killed_and_removed_by_force(engine: Engine) -> None:
    start(engine, "sleep 100", name="one")
    start(engine, "sleep 100", name="two")
    for name in ("one", "two"):
        engine.containers.pause(name)
    engine.containers.kill("one")
    assert engine.containers.get("one").exit_code == 137
    engine.containers.remove("two", force=True)


def test_diff_is_what_was_changed_and_its_parents(engine: Engine) -> None:
    start(engine, "echo x > /etc/new; rm /etc/group; mkdir /a; touch /a/b", name="web")
    engine.containers.wait("web")
    assert [str(change) for change in engine.containers.diff("web")] == [
        "A /a",
        "A /a/b",
        "C /etc",
        "D /etc/group",
        "A /etc/new",
    ]


def test_hosts_hostname_and_resolv_conf_are_not_in_the_diff(engine: Engine) -> None:
    container = start(engine, "hostname; cat /etc/hostname", name="web")
    engine.containers.wait("web")
    assert [line.text.decode() for line in engine.containers.logs("web")] == [
        f"{container.short_id}\n"
    ] * 2
    assert engine.containers.diff("web") == ()


def test_two_containers_of_one_image_do_not_see_each_others_writes(engine: Engine) -> None:
    start(engine, "echo one > /mine; sleep 100", name="one")
    start(engine, "sleep 100", name="two")
    assert shell(engine, "two", "cat /mine 2>&1").startswith("cat: can't open")


def test_a_published_port_answers_on_localhost_and_on_the_bridge(engine: Engine) -> None:
    port = free_port()
    container = start(
        engine,
        "mkdir /www; echo page > /www/index.html; httpd -f -p 80 -h /www",
        name="web",
        ports=(PortMapping(container_port=80, host_port=port),),
    )
    shell(engine, "web", "while ! wget -q -O- localhost; do sleep 0.02; done")
    for address in (f"127.0.0.1:{port}", f"{container.ip_address}:80", f"[::1]:{port}"):
        with urllib.request.urlopen(f"http://{address}/") as answer:
            assert answer.read() == b"page\n"


def test_a_port_in_use_is_dockers_error_and_leaves_a_created_container(engine: Engine) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        ports = (PortMapping(container_port=80, host_port=port),)
        with pytest.raises(Conflict, match=f"Bind for 0.0.0.0:{port} failed: port is already all"):
            start(engine, "sleep 100", name="web", ports=ports)
    assert engine.containers.get("web").status is Status.CREATED
    engine.containers.start("web")
    assert engine.containers.get("web").status is Status.RUNNING


def test_limits_take_effect(run: Run) -> None:
    limits = Resources(memory=64 * 1024 * 1024, pids_limit=10)
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"  # v2, v1
    ended = run("sh", "-c", f"cat {files} 2>/dev/null", resources=limits)
    assert ended.stdout == f"{64 * 1024 * 1024}\n"
    ended = run("sh", "-c", "for i in $(seq 20); do sleep 1 & done", resources=limits)
    assert "fork" in ended.stderr


def test_running_out_of_memory_is_seen(engine: Engine) -> None:
    limits = Resources(memory=16 * 1024 * 1024, memory_swap=16 * 1024 * 1024)
    start(engine, "x=a; while :; do x=$x$x; done", name="greedy", resources=limits)
    assert engine.containers.wait("greedy") == 137
    assert engine.containers.get("greedy").oom_killed


def test_a_volume_outlives_its_container_and_a_bind_shows_the_host(
    engine: Engine, run: Run, tmp_path: object
) -> None:
    data = Mount(kind="volume", source="data", target="/data")
    run("sh", "-c", "echo kept > /data/file", mounts=(data,))
    assert run("cat", "/data/file", mounts=(data,)).stdout == "kept\n"
    here = Mount(kind="bind", source=str(tmp_path), target="/host", read_only=True)
    ended = run("sh", "-c", "touch /host/x 2>&1; mkdir -p /host/area", mounts=(here,))
    assert "Read-only file system" in ended.stdout


def test_a_missing_bind_source_is_refused_before_anything_is_made(engine: Engine) -> None:
    mount = Mount(kind="bind", source="/nowhere/at/all", target="/x")
    with pytest.raises(NotFound, match="bind source path does not exist: /nowhere/at/all"):
        start(engine, "true", mounts=(mount,))
    assert engine.containers.list(all=True) == ()


def test_users_groups_and_workdir_come_from_the_image(engine: Engine, build: Build) -> None:
    image = build(
        "FROM busybox\n"
        "RUN echo 'me:x:1000:1000::/home/me:/bin/sh' >> /etc/passwd"
        " && echo 'me:x:1000:' >> /etc/group\n"
        "USER me\nWORKDIR /work/here\nENV A=1\n"
    )
    container = engine.containers.run(
        ContainerSpec(image=image, command=("sh", "-c", "id; pwd; echo $HOME $A")), detach=True
    )
    engine.containers.wait(container.id)
    text = b"".join(line.text for line in engine.containers.logs(container.id)).decode()
    assert text == "uid=1000(me) gid=1000(me) groups=1000(me)\n/work/here\n/home/me 1\n"


def test_inspect_has_dockers_keys(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", labels={"a": "b"})
    shown = engine.containers.inspect("web")
    assert shown["Name"] == "/web"
    assert shown["State"]["Running"] is True
    assert shown["State"]["Pid"] > 0
    assert shown["Config"]["Labels"]["a"] == "b"
    assert shown["NetworkSettings"]["IPAddress"] == engine.containers.get("web").ip_address != ""


def test_stats_of_a_busy_container(engine: Engine) -> None:
    start(engine, "while :; do :; done", name="busy")
    first, second = engine.containers.stats("busy"), engine.containers.stats("busy")
    assert second.cpu_ns > first.cpu_ns
    assert 0 < second.memory_bytes < second.memory_limit
    assert second.pids == 1


def test_twenty_containers_side_by_side(engine: Engine) -> None:
    with ThreadPoolExecutor(20) as pool:
        started = list(pool.map(lambda n: start(engine, "sleep 100", name=f"c{n}"), range(20)))
    addresses = {container.ip_address for container in started}
    assert len(addresses) == 20
    assert len(engine.containers.list()) == 20


def test_a_network_that_does_not_exist_is_refused(engine: Engine) -> None:
    with pytest.raises(NotFound, match="network nosuch not found"):
        start(engine, "true", network="nosuch")


def test_a_network_can_be_shared_and_left_out(engine: Engine, run: Run) -> None:
    start(engine, "sleep 100", name="web")
    address = engine.containers.get("web").ip_address
    assert address in run("ip", "-4", "addr", network="container:web").stdout
    assert run("ls", "/sys/class/net", network="none").stdout.split() == ["lo"]
    host = run("ls", "/sys/class/net", network="host").stdout.split()
    assert sorted(host) == sorted(name for _, name in socket.if_nameindex())


def test_a_relative_workdir_is_refused() -> None:
    with pytest.raises(InvalidInput, match="it needs to be an absolute path"):
        ContainerSpec(image="busybox", working_dir="x")
