"""A program without a supervisor keeps what is its own, and no mishap at the succession ends it."""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.containers.lifecycle import takeover
from dockmagic_runtime.errors import Conflict, EngineBug, StartFailed
from dockmagic_runtime.linux.processes import has_ended
from dockmagic_runtime.model.container import (
    Device,
    HealthCheck,
    Mount,
    PortMapping,
    RestartPolicy,
    Status,
)
from dockmagic_runtime.model.network import NetworkSpec, Pool
from dockmagic_runtime.network.port_proxy import process_record
from dockmagic_runtime.store import container_process, locks
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import Run, fill
from .copy.conftest import make_tar
from .losing import kill_supervisor, lose, supervisor_of
from .test_successors import PORT, WEB, _answers, on_front, page, shell, start
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

ADOPT = takeover.adopt


def refuse(*_: object) -> None:
    raise EngineBug("no processes left")


# ------------------------------------------------------------------ what is its own


@pytest.mark.parametrize("host_ip", ["", "127.0.0.1"])
def test_no_other_container_gets_its_port_before_an_engine_has_looked(
    engine: Engine, host_ip: str
) -> None:
    web = start(engine, WEB, ports=(PORT,))
    bridge, port = engine.networks.get("bridge").gateway, web.ports[0].host_port
    assert eventually(lambda: _answers(bridge, port))
    kill_supervisor(engine, "web")
    same = PortMapping(container_port=80, host_port=port, host_ip=host_ip)
    for _ in range(2):
        with pytest.raises(Conflict, match=f":{port} failed: port is already allocated"):
            start(engine, WEB, name="other", ports=(same,))
        engine.containers.remove("other", force=True)
    datagrams = PortMapping(container_port=80, host_port=port, protocol="udp")
    start(engine, WEB, name="other", ports=(datagrams,))
    assert engine._components.containers.last_state(web.id).lost  # no engine has looked
    assert page(bridge, port) == "hello"
    assert engine.containers.get("web").error == ""
    engine.containers.remove("web", force=True)
    start(engine, WEB, name="web", ports=(same,))


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("shared", ["network", "ipc_mode"])
def test_it_outlives_whose_namespace_it_shares(engine: Engine, shared: str, removed: bool) -> None:
    start(engine, name="other", ipc_mode="shareable")
    asked: dict[str, Any] = {shared: "container:other", "restart": RestartPolicy(name="always")}
    web = start(engine, **asked)
    engine.containers.stop("other", timeout=0)
    if removed:
        engine.containers.remove("other")
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.pid, web_now.error) == (Status.RUNNING, web.pid, "")
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").status is Status.EXITED)
    assert "of a non running container" in engine.containers.get("web").error


def test_a_restart_joins_the_next_program_of_the_other(engine: Engine) -> None:
    start(engine, name="other")
    spec: dict[str, Any] = {"network": "container:other", "restart": RestartPolicy(name="always")}
    web = start(engine, **spec)
    engine.containers.stop("other", timeout=0)
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").pid == web.pid
    engine.containers.start("other")
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").pid not in (0, web.pid))
    pids = [engine.containers.get(name).pid for name in ("web", "other")]
    assert len({os.readlink(f"/proc/{pid}/ns/net") for pid in pids}) == 1


def test_the_source_of_a_mount_is_not_made_again(engine: Engine, tmp_path: Path) -> None:
    source = tmp_path / "above" / "source"
    mount = Mount(kind="bind", source=str(source), target="/data", create_source=True)
    web = start(engine, mounts=(mount,))
    source.rmdir()
    source.parent.rmdir()
    source.parent.write_text("a file by now")
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.pid, web_now.error) == (Status.RUNNING, web.pid, "")


def test_on_a_full_disk_it_is_taken_over_too(small: Engine, own_subnets: None) -> None:
    small.networks.create(NetworkSpec(name="front", pools=(Pool(subnet="10.213.7.0/24"),)))
    web = start(small, **on_front())
    filler = fill(small.data_root.root)
    kill_supervisor(small, "web")
    web_now = small.containers.get("web")
    assert (web_now.status, web_now.pid) == (Status.RUNNING, web.pid)
    assert "10.213.7.2" in shell(small, "nslookup web")
    filler.unlink()
    small.containers.remove("web", force=True)


def test_it_outlives_a_device(engine: Engine, tmp_path: Path) -> None:
    device = tmp_path / "device"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    given = Device(source=str(device), target="/dev/mine")
    web = start(engine, devices=(given,), restart=RestartPolicy(name="always"))
    device.unlink()
    for _ in range(2):
        kill_supervisor(engine, "web")
        web_now = engine.containers.get("web")
        assert (web_now.status, web_now.pid) == (Status.RUNNING, web.pid)
        assert web_now.error.startswith("it will not be started again: error gathering device")
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").status is Status.EXITED)


def test_health_that_was_found_and_not_told_is_told(engine: Engine) -> None:
    check = HealthCheck(test=("CMD", "true"), interval=0.05)
    web = start(engine, health=check)
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    engine.containers.pause("web")
    kill_supervisor(engine, "web")
    state.change(engine._components.containers.directory(web.id), health="starting")
    assert engine.containers.get("web").status is Status.PAUSED
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    engine.containers.unpause("web")


def test_a_copy_that_waits_while_it_is_lost_lets_it_be_started(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started and lost while a client waits for its files: the engine that recovers it starts it
    again, which waits for those files as well."""
    web = start(engine, restart=RestartPolicy(name="always"))
    engine.containers.stop("web", timeout=0)
    acquire = locks.acquire

    def after_another_life(path: str, **asked: Any) -> int | None:
        if path.endswith("/tree.lock") and asked:
            monkeypatch.undo()
            engine.containers.start("web")
            lose(engine, "web")
        return acquire(path, **asked)

    monkeypatch.setattr(
        "dockmagic_runtime.containers.copy.rootfs.locks.acquire", after_another_life
    )
    tar = io.BytesIO(make_tar({"file": b"hello"}))
    copying = threading.Thread(
        target=engine.containers.put_archive, args=("web", "/", tar), daemon=True
    )
    copying.start()
    copying.join(20)
    assert not copying.is_alive()
    assert engine.containers.get("web").pid not in (0, web.pid)
    assert shell(engine, "cat /file") == "hello"


# ------------------------------------------------------------------ which engine takes over


def test_an_engine_that_was_slower_than_another_reports_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_another_engine(*args: Any) -> None:
        ADOPT(*args)
        raise Conflict("container web is already running")

    web = start(engine)
    monkeypatch.setattr(takeover, "adopt", after_another_engine)
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.pid, web_now.error) == (Status.RUNNING, web.pid, "")


def test_a_look_that_comes_too_late_leaves_the_next_supervisor_alone(engine: Engine) -> None:
    web = start(engine)
    kill_supervisor(engine, "web")
    engine.containers.get("web")
    next_one = supervisor_of(engine, "web")
    on_lost = engine._components.containers.on_supervisor_lost
    assert on_lost is not None
    on_lost(web.id)
    assert supervisor_of(engine, "web") == next_one
    assert engine.containers.get("web").error == ""


def test_the_process_that_takes_over_may_be_killed_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def killed_twice(*args: Any) -> None:
        attempts.append("")
        if len(attempts) < 3:
            raise StartFailed("the supervisor ended before the container ran", exit_code=125)
        ADOPT(*args)

    web = start(engine)
    monkeypatch.setattr(takeover, "adopt", killed_twice)
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.pid, web_now.error) == (Status.RUNNING, web.pid, "")


def test_one_that_ended_while_it_was_taken_over_has_just_ended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: object) -> None:
        container_process.kill(engine._components.containers.run(web.id))
        raise Conflict("container web has just ended")

    web = start(engine)
    monkeypatch.setattr(takeover, "adopt", too_late)
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert web_now.status is Status.EXITED
    assert web_now.error == "the supervisor of this container was killed"


def test_one_that_is_removed_while_we_look_is_no_mistake(engine: Engine) -> None:
    web = start(engine)
    on_lost = engine._components.containers.on_supervisor_lost
    assert on_lost is not None
    engine.containers.remove("web", force=True)
    on_lost(web.id)
    assert engine.containers.list(all=True) == ()


def test_rules_that_cannot_be_set_right_do_not_end_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise OSError(12, "Cannot allocate memory")

    web = start(engine)
    kill_supervisor(engine, "web")
    monkeypatch.setattr(engine._components.networks, "repair", fail)
    with pytest.raises(OSError, match="allocate"):
        engine.containers.get("web")
    monkeypatch.undo()
    web_now = engine.containers.get("web")
    assert (web_now.pid, web_now.error) == (web.pid, "")


def test_one_that_is_in_no_control_group_is_ended_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = start(engine)
    pidfd = os.pidfd_open(web.pid)
    monkeypatch.setattr(takeover, "adopt", refuse)
    monkeypatch.setattr("dockmagic_runtime.cgroups.tree.Directories.exists", lambda _: False)
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.exit_code) == (Status.EXITED, 128 + signal.SIGKILL)
    assert has_ended(pidfd)
    os.close(pidfd)
    monkeypatch.undo()
    with Engine(engine.data_root.root) as other:  # takes the group along, which was only hidden
        other.system.recover()


def test_a_restart_finds_its_ports_free_however_slow_the_proxy_ends(engine: Engine) -> None:
    web = start(engine, WEB, ports=(PORT,))
    same = PortMapping(container_port=80, host_port=web.ports[0].host_port)
    engine.containers.remove("web", force=True)
    web = start(engine, WEB, ports=(same,), restart=RestartPolicy(name="always"))
    keeper = eventually_noted(engine._components.containers.run(web.id))
    os.kill(keeper.pid, signal.SIGSTOP)
    lose(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.error, web_now.ports) == (Status.RUNNING, "", web.ports)


def eventually_noted(run: str) -> process_record.ProxyProcess:
    assert eventually(lambda: process_record.read(run) is not None)
    keeper = process_record.read(run)
    assert keeper is not None
    return keeper


def test_a_program_without_a_row_is_swept_up(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    web = start(engine)
    kill_supervisor(engine, "web")
    shutil.rmtree(engine._components.containers.directory(web.id))
    engine._components.containers.forget(web.id)
    long_ago = time.time() - 3600
    os.utime(engine._components.containers.run(web.id), (long_ago, long_ago))
    pidfd = os.pidfd_open(web.pid)
    with Engine(engine.data_root.root) as other:
        other.system.recover()
        assert has_ended(pidfd)
    os.close(pidfd)
    assert not left_behind(before, engine.data_root)
