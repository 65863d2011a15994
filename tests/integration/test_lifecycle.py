"""Restart policies, stopping, health, memory that runs out, and what comes back after a loss."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.model.container import (
    Container,
    ContainerSpec,
    ExecSpec,
    HealthCheck,
    Resources,
    RestartPolicy,
    Status,
)
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import Build, Run, collect
from .losing import kill_supervisor, lose
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

ALWAYS = RestartPolicy(name="always")
UNLESS_STOPPED = RestartPolicy(name="unless-stopped")


def start(engine: Engine, script: str, **spec: Any) -> Container:
    command = ("sh", "-c", script)
    return engine.containers.run(
        ContainerSpec(image="busybox", command=command, **spec), detach=True
    )


def shell(engine: Engine, name: str, script: str) -> str:
    return collect(engine.containers.exec(name, ExecSpec(command=("sh", "-c", script)))).stdout


def supervisor_of(container: Container) -> int:
    status = Path(f"/proc/{container.pid}/status").read_text()
    return int(status.split("PPid:\t")[1].split()[0])


def logged(engine: Engine, name: str) -> str:
    return b"".join(line.text for line in engine.containers.logs(name)).decode()


def actions_of(engine: Engine, name: str) -> list[str]:
    """The events of a container, by their actions."""
    return [event.action for event in engine.system.events(filters={"container": [name]})]


# ------------------------------------------------------------------ restart policies


def test_on_failure_starts_again_as_often_as_it_says_and_keeps_the_files(engine: Engine) -> None:
    policy = RestartPolicy(name="on-failure", maximum=2)
    start(engine, "echo x >> /runs; wc -l < /runs; exit 3", name="web", restart=policy)
    assert eventually(lambda: engine.containers.get("web").status is Status.EXITED)
    shown = engine.containers.inspect("web")
    assert shown["RestartCount"] == 2
    assert shown["State"]["ExitCode"] == 3
    assert logged(engine, "web").split() == ["1", "2", "3"]


def test_on_failure_does_not_start_again_what_succeeded(engine: Engine) -> None:
    start(engine, "true", name="web", restart=RestartPolicy(name="on-failure"))
    assert engine.containers.wait("web") == 0
    assert engine.containers.get("web").status is Status.EXITED


def test_a_container_that_is_started_again_has_its_network_and_its_address(engine: Engine) -> None:
    script = "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'; test -e /again || { >/again; exit 1; }"
    start(engine, f"{script}; sleep 100", name="web", restart=ALWAYS)
    assert eventually(lambda: engine.containers.get("web").restart_count == 1)
    assert eventually(lambda: len(logged(engine, "web").splitlines()) == 2)
    first, second = logged(engine, "web").splitlines()
    assert first == second == f"inet {engine.containers.get('web').ip_address}"


def test_between_two_starts_a_container_is_restarting(engine: Engine) -> None:
    start(engine, "exit 5", name="web", restart=ALWAYS)
    assert eventually(
        lambda: engine.containers.get("web").restart_count >= 3
    )  # now it waits longer
    assert eventually(lambda: engine.containers.get("web").status is Status.RESTARTING)
    state = engine.containers.inspect("web")["State"]
    assert (state["Running"], state["Restarting"], state["Pid"]) == (True, True, 0)
    with pytest.raises(Conflict, match="is restarting, wait until the container is running"):
        engine.containers.exec("web", ExecSpec(command=("true",)))
    with pytest.raises(Conflict, match="You cannot attach to a restarting container"):
        engine.containers.attach("web")
    engine.containers.stop("web")
    web = engine.containers.get("web")
    assert (web.status, web.exit_code) == (Status.EXITED, 5)


def test_waiting_ends_at_the_first_end(engine: Engine) -> None:
    process = engine.containers.run(
        ContainerSpec(
            image="busybox", command=("sh", "-c", "echo hi; exit 7"), name="web", restart=ALWAYS
        )
    )
    ended = collect(process)
    assert (ended.code, ended.stdout) == (7, "hi\n")
    assert engine.containers.get(
        "web"
    ).status.is_alive  # the first start's owner does not end this one


@pytest.mark.parametrize("policy", [ALWAYS, UNLESS_STOPPED])
def test_what_is_stopped_or_killed_by_hand_is_not_started_again(
    engine: Engine, policy: RestartPolicy
) -> None:
    for name, end in (("one", engine.containers.stop), ("two", engine.containers.kill)):
        start(engine, "trap 'exit 0' TERM; while :; do sleep 0.1; done", name=name, restart=policy)
        end(name)
        assert engine.containers.get(name).status is Status.EXITED
    engine.containers.start("one")
    assert engine.containers.get("one").status is Status.RUNNING


def test_rm_and_restart_exclude_each_other(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="cannot specify both --restart and --rm"):
        start(engine, "true", restart=ALWAYS, auto_remove=True)


def test_a_loss_counts_as_an_end(engine: Engine) -> None:
    web = start(engine, "sleep 100", name="web", restart=ALWAYS)
    other = start(engine, "sleep 100", name="one")
    lose(engine, web.id)
    lose(engine, other.id)
    assert engine.containers.get("one").status is Status.EXITED
    restarted = engine.containers.get("web")
    assert restarted.status is Status.RUNNING
    assert restarted.pid != web.pid


def test_a_paused_container_is_paused_when_its_supervisor_was_killed(
    engine: Engine, run: Run
) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    start(engine, "sleep 100", name="web")
    engine.containers.pause("web")
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").status is Status.PAUSED
    with pytest.raises(Conflict, match="already paused"):
        engine.containers.pause("web")
    engine.containers.unpause("web")
    assert shell(engine, "web", "echo awake") == "awake\n"
    engine.containers.remove("web", force=True)
    assert not left_behind(before, engine.data_root)


def test_a_supervisor_killed_while_it_waits_for_the_next_start_is_noticed(engine: Engine) -> None:
    web = start(engine, "sleep 0.2; exit 1", name="web", restart=ALWAYS)
    supervisor = supervisor_of(web)
    assert eventually(lambda: engine.containers.get("web").restart_count >= 3)
    assert eventually(lambda: engine.containers.get("web").status is Status.RESTARTING)
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").status is Status.RUNNING)


def test_after_a_reboot_containers_come_back_by_their_policy(engine: Engine) -> None:
    names = {"always": ALWAYS, "unless": UNLESS_STOPPED, "never": RestartPolicy()}
    for name, policy in names.items():
        lost = start(engine, "sleep 100", name=name, restart=policy)
        lose(engine, lost.id)
    for name, policy in names.items():
        start(engine, "sleep 100", name=f"{name}-stopped", restart=policy)
        engine.containers.kill(f"{name}-stopped")
    (engine.data_root.root / "boot").write_text("another boot")
    shutil.rmtree(engine.data_root.run)  # gone with the machine
    with Engine(engine.data_root.root) as rebooted:
        running = {container.name for container in rebooted.containers.list()}
    assert running == {"always", "unless", "always-stopped"}
    engine.containers.stop("always")
    with Engine(engine.data_root.root) as later:
        assert later.containers.get("always").status is Status.EXITED  # opening is no reboot


def test_after_a_reboot_those_come_first_on_whom_others_depend(engine: Engine) -> None:
    start(engine, "sleep 100", name="db", restart=ALWAYS)
    start(engine, "sleep 100", name="web", restart=ALWAYS, links=(("db", "db"),))
    start(engine, "sleep 100", name="aside", restart=ALWAYS, network="container:web")
    for name in ("aside", "web", "db"):
        engine.containers.stop(name, timeout=0)
    (engine.data_root.root / "boot").write_text("another boot")
    shutil.rmtree(engine.data_root.run)  # gone with the machine
    with Engine(engine.data_root.root) as rebooted:
        assert {container.name for container in rebooted.containers.list()} == {
            "db",
            "web",
            "aside",
        }


# ------------------------------------------------------------------ stopping


def test_a_stop_goes_on_when_no_client_waits_for_it(engine: Engine) -> None:
    web = start(engine, "trap '' TERM; while :; do sleep 0.1; done", name="web")
    process = engine.containers.attach("web")
    process._request("stop", number=15, stop_timeout=0.3, keep=False)
    process.close()
    assert eventually(lambda: engine.containers.get("web").status is Status.EXITED)
    assert engine.containers.get(web.id).exit_code == 137
    expected = ["kill", "kill", "die"]  # the last is written after the state
    assert eventually(
        lambda: [each for each in actions_of(engine, "web") if each != "attach"][-3:] == expected
    )


def test_restart_keeps_a_container_of_rm(engine: Engine) -> None:
    first = start(engine, "sleep 100", name="web", auto_remove=True, stop_timeout=0)
    engine.containers.restart("web")
    web = engine.containers.get("web")
    assert (web.id, web.status) == (first.id, Status.RUNNING)
    actions = [action for action in actions_of(engine, "web") if action not in ("create", "attach")]
    assert actions == ["start", "kill", "kill", "die", "stop", "start", "restart"]
    engine.containers.stop("web")
    assert engine.containers.list(all=True) == ()


def test_restart_starts_what_does_not_run(engine: Engine) -> None:
    start(engine, "test -e /again && sleep 100; > /again", name="web")
    engine.containers.wait("web")
    engine.containers.restart("web")
    assert engine.containers.get("web").status is Status.RUNNING


# ------------------------------------------------------------------ health


def _health_events(engine: Engine) -> list[str]:
    return [action for action in actions_of(engine, "web") if action.startswith("health")]


def test_a_container_becomes_healthy_and_unhealthy(engine: Engine) -> None:
    check = HealthCheck(
        test=("CMD-SHELL", "echo looked; test -e /ready"), interval=0.05, timeout=5, retries=2
    )
    start(engine, "sleep 100", name="web", health=check)
    assert engine.containers.get("web").health == "starting"
    shell(engine, "web", "> /ready")
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    shell(engine, "web", "rm /ready")
    assert eventually(lambda: engine.containers.get("web").health == "unhealthy")
    wanted = ["health_status: healthy", "health_status: unhealthy"]
    assert eventually(lambda: _health_events(engine) == wanted)  # written after the state
    health = engine.containers.inspect("web")["State"]["Health"]
    assert health["FailingStreak"] >= 2
    assert len(health["Log"]) <= 5
    assert health["Log"][-1]["ExitCode"] == 1
    assert health["Log"][-1]["Output"] == "looked\n"


def test_failures_in_the_start_period_do_not_count(engine: Engine) -> None:
    check = HealthCheck(
        test=("CMD", "false"), interval=60, start_interval=0.05, start_period=60, retries=1
    )
    start(engine, "sleep 100", name="web", health=check)
    assert eventually(lambda: len(engine.containers.inspect("web")["State"]["Health"]["Log"]) == 5)
    health = engine.containers.inspect("web")["State"]["Health"]
    assert (health["Status"], health["FailingStreak"]) == ("starting", 0)


def test_a_check_that_takes_too_long_is_ended(engine: Engine) -> None:
    check = HealthCheck(test=("CMD", "sleep", "100"), interval=0.05, timeout=0.1, retries=1)
    start(engine, "sleep 100", name="web", health=check)
    assert eventually(lambda: engine.containers.get("web").health == "unhealthy")
    result = engine.containers.inspect("web")["State"]["Health"]["Log"][0]
    assert (result["ExitCode"], result["Output"]) == (-1, "Health check exceeded timeout (100ms)")


def test_a_check_that_cannot_be_run_fails_with_the_reason(engine: Engine) -> None:
    check = HealthCheck(test=("CMD", "nope"), interval=0.05, retries=1)
    start(engine, "sleep 100", name="web", health=check)
    assert eventually(lambda: engine.containers.get("web").health == "unhealthy")
    result = engine.containers.inspect("web")["State"]["Health"]["Log"][0]
    assert result["ExitCode"] == -1
    assert "executable file not found" in result["Output"]


def test_output_of_a_check_is_cut(engine: Engine) -> None:
    check = HealthCheck(
        test=("CMD-SHELL", "head -c 10000 /dev/zero | tr '\\0' x"), interval=0.05, retries=1
    )
    start(engine, "sleep 100", name="web", health=check)
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    (result, *_) = engine.containers.inspect("web")["State"]["Health"]["Log"]
    assert result["Output"] == "x" * 4096 + "..."


def test_the_image_says_how_to_check_and_the_caller_changes_a_part(
    engine: Engine, build: Build
) -> None:
    image = build("FROM busybox\nHEALTHCHECK --interval=1h --retries=7 CMD test -e /etc/passwd\n")
    start_one = ContainerSpec(
        image=image, command=("sleep", "100"), name="web", health=HealthCheck(interval=0.05)
    )
    engine.containers.run(start_one, detach=True)
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    assert engine.containers.inspect("web")["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "test -e /etc/passwd"],
        "Interval": 50_000_000,
        "Retries": 7,
    }
    off = ContainerSpec(
        image=image, command=("sleep", "100"), name="off", health=HealthCheck(test=("NONE",))
    )
    engine.containers.run(off, detach=True)
    assert engine.containers.get("off").health == ""
    assert "Health" not in engine.containers.inspect("off")["State"]


def test_a_paused_container_is_not_checked(engine: Engine) -> None:
    check = HealthCheck(test=("CMD", "true"), interval=0.05, timeout=0.05, retries=1)
    start(engine, "sleep 100", name="web", health=check)
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    engine.containers.pause("web")
    results = engine.containers.inspect("web")["State"]["Health"]["Log"]
    time.sleep(0.3)  # as long as some checks would take: nothing is there to wait for
    assert engine.containers.inspect("web")["State"]["Health"]["Log"] == results
    engine.containers.unpause("web")
    assert eventually(lambda: engine.containers.inspect("web")["State"]["Health"]["Log"] != results)
    assert engine.containers.get("web").health == "healthy"


# ------------------------------------------------------------------ memory


def test_a_program_that_is_killed_for_want_of_memory_says_so(engine: Engine) -> None:
    limits = Resources(memory=16 << 20, memory_swap=16 << 20)
    start(engine, "exec tail /dev/zero", name="web", resources=limits)
    assert engine.containers.wait("web") == 137
    assert engine.containers.get("web").oom_killed
    assert engine.containers.inspect("web")["State"]["OOMKilled"] is True
    assert actions_of(engine, "web")[-3:] == ["start", "oom", "die"]


def test_an_inner_process_that_is_killed_for_want_of_memory_is_noticed(engine: Engine) -> None:
    limits = Resources(memory=16 << 20, memory_swap=16 << 20)
    start(engine, "sleep 100", name="web", resources=limits)
    assert not engine.containers.get("web").oom_killed
    assert (
        collect(engine.containers.exec("web", ExecSpec(command=("tail", "/dev/zero")))).code == 137
    )
    assert eventually(lambda: engine.containers.get("web").oom_killed)
    assert engine.containers.get("web").status is Status.RUNNING
    assert eventually(lambda: actions_of(engine, "web").count("oom") == 1)


# ------------------------------------------------------------------ update


def test_limits_change_while_it_runs_and_stay_for_the_next_start(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", resources=Resources(pids_limit=50))
    engine.containers.update("web", Resources(memory=64 << 20, memory_swap=64 << 20))
    assert engine.containers.stats("web").memory_limit == 64 << 20
    host = engine.containers.inspect("web")["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (64 << 20, 50)
    engine.containers.restart("web", timeout=0)
    assert engine.containers.stats("web").memory_limit == 64 << 20


def test_the_supervisor_starts_again_with_new_limits_and_a_new_policy(engine: Engine) -> None:
    start(engine, "sleep 0.5; exit 1", name="web")
    engine.containers.update("web", Resources(memory=64 << 20, memory_swap=64 << 20), ALWAYS)
    assert engine.containers.inspect("web")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert eventually(lambda: engine.containers.get("web").restart_count >= 1)
    assert eventually(lambda: engine.containers.get("web").status is Status.RUNNING)
    assert engine.containers.stats("web").memory_limit == 64 << 20
    engine.containers.update("web", restart=RestartPolicy())
    assert eventually(lambda: engine.containers.get("web").status is Status.EXITED)


def test_what_cannot_be_updated_is_said_in_dockers_words(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", resources=Resources(memory=16 << 20))
    with pytest.raises(InvalidInput, match="smaller than already set memoryswap limit"):
        engine.containers.update("web", Resources(memory=64 << 20))
    start(engine, "sleep 100", name="rm", auto_remove=True)
    with pytest.raises(Conflict, match="because AutoRemove is enabled"):
        engine.containers.update("rm", restart=ALWAYS)


# ------------------------------------------------------------------ the first process


@pytest.mark.parametrize("program", ["of the host", "our own"])
def test_init_reaps_orphans_and_passes_signals_on(
    engine: Engine, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockmagic_runtime.containers.plan import init

    if program == "our own":
        monkeypatch.setattr(init, "find", lambda: "")
    elif not init.find():
        pytest.skip("optional: no static tini or catatonit on this host")
    script = "(sleep 0.05 &); trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"
    start(engine, script, name="web", init=True)
    assert eventually(lambda: "up" in logged(engine, "web"))
    assert eventually(lambda: "Z" not in shell(engine, "web", "ps -o stat"))
    if program == "of the host":
        assert "docker-init" in shell(engine, "web", "cat /proc/1/cmdline")
    engine.containers.stop("web", timeout=5)
    assert engine.containers.get("web").exit_code == 9


def test_our_own_init_shows_no_files_of_the_host_and_tells_of_a_missing_program(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dockmagic_runtime.containers.plan import init
    from dockmagic_runtime.errors import StartFailed

    monkeypatch.setattr(init, "find", lambda: "")
    start(engine, "sleep 100", name="web", init=True)
    assert shell(engine, "web", "ls /proc/1/fd 2>&1").strip() in ("0\n1\n2", "")
    assert "ermission denied" in shell(
        engine, "web", "readlink /proc/1/exe 2>&1; cat /proc/1/environ 2>&1"
    )
    with pytest.raises(StartFailed, match="executable file not found"):
        run("nope", init=True)
    assert run("sh", "-c", "exit 4", init=True).code == 4
    assert run("sh", "-c", "kill -KILL $$", init=True).code == 137
