"""A program in the background outlives its supervisor, and gets another one at the next look."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.containers.lifecycle import takeover
from dockmagic_runtime.errors import Conflict, EngineBug
from dockmagic_runtime.linux import processes
from dockmagic_runtime.model.container import (
    Container,
    ContainerSpec,
    ExecSpec,
    HealthCheck,
    PortMapping,
    Resources,
    RestartPolicy,
    Status,
)
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import Build, Run, collect, log
from .losing import kill, kill_supervisor, lose, proxy_of, supervisor_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

WEB = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
PORT = PortMapping(container_port=80)
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"


def start(engine: Engine, script: str = "exec sleep 1000", **spec: Any) -> Container:
    asked = {"image": "busybox", "command": ("sh", "-c", script), "name": "web", **spec}
    return engine.containers.run(ContainerSpec(**asked), detach=True)


def shell(engine: Engine, script: str, name: str = "web") -> str:
    return collect(engine.containers.exec(name, ExecSpec(command=("sh", "-c", script)))).stdout


def page(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        return str(answer.read().decode().strip())


@pytest.fixture
def front(engine: Engine, own_subnets: None) -> Iterator[str]:
    """A network, and the host's address on it."""
    engine.networks.create(NetworkSpec(name="front", pools=(Pool(subnet="10.213.7.0/24"),)))
    yield "10.213.7.1"
    for container in engine.containers.list(all=True):
        engine.containers.remove(container.id, force=True)
    engine.networks.remove("front")


def on_front(**asked: Any) -> dict[str, Any]:
    attachment = Attachment(network="front", **asked)
    return {"network": "front", "attachments": (attachment,)}


# ------------------------------------------------------------------ the data path


def test_no_request_is_lost_when_the_supervisor_is_killed_in_between(
    engine: Engine, front: str
) -> None:
    web = start(engine, WEB, ports=(PORT,), **on_front())
    port = web.ports[0].host_port
    hosts = (front, "127.0.0.1", "[::1]")
    for host in hosts:
        assert eventually(lambda host=host: _answers(host, port))  # type: ignore[misc]
    with ThreadPoolExecutor(24) as many:
        answers = [many.submit(page, hosts[number % 3], port) for number in range(1000)]
        assert eventually(lambda: sum(answer.done() for answer in answers) > 200)
        kill_supervisor(engine, "web")
        for _ in range(3):
            other = start(engine, name="other", ports=(PORT,), **on_front())
            engine.containers.remove(other.id, force=True)
        assert [answer.result() for answer in answers] == ["hello"] * 1000
    assert engine.containers.get("web").pid == web.pid  # now an engine has looked
    for host in hosts:
        assert page(host, port) == "hello"


def _answers(host: str, port: int) -> bool:
    try:
        return page(host, port) == "hello"
    except OSError:
        return False


def test_until_an_engine_looks_the_address_and_the_rules_stay(engine: Engine, front: str) -> None:
    web = start(engine, WEB, ports=(PORT,), **on_front())
    port = web.ports[0].host_port
    assert eventually(lambda: _answers(front, port))
    kill_supervisor(engine, "web")
    engine._components.networks.sweep()
    other = start(engine, name="other", ports=(PORT,), **on_front())
    assert other.ip_address != web.ip_address
    assert page(front, port) == "hello"
    assert engine._components.containers.last_state(web.id).lost


def test_the_ports_are_held_again(engine: Engine) -> None:
    web = start(engine, WEB, ports=(PORT,))
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert web_now.ports == web.ports
    taken = PortMapping(container_port=80, host_port=web.ports[0].host_port)
    with pytest.raises(Conflict, match="port is already allocated"):
        start(engine, name="other", ports=(taken,))


def test_a_port_that_others_have_taken_meanwhile_is_theirs_on_loopback(engine: Engine) -> None:
    web = start(engine, WEB, ports=(PORT,))
    bridge, port = engine.networks.get("bridge").gateway, web.ports[0].host_port
    assert eventually(lambda: _answers(bridge, port))
    proxy = proxy_of(engine, "web")
    kill_supervisor(engine, "web")
    kill(proxy)
    with socket.create_server(("127.0.0.1", port)):
        web_now = engine.containers.get("web")
        assert "port is already allocated" in web_now.error
        assert web_now.status is Status.RUNNING
        assert page(bridge, port) == "hello"
    engine.containers.remove("web", force=True)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((bridge, port), timeout=5)


def test_a_connection_through_loopback_goes_on(engine: Engine) -> None:
    web = start(engine, "exec nc -ll -p 80 -e cat", ports=(PORT,))
    port = web.ports[0].host_port
    assert eventually(lambda: ":80 " in shell(engine, "netstat -ltn"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        assert _echoed(client, b"before")
        kill_supervisor(engine, "web")
        assert _echoed(client, b"without")
        assert engine.containers.get("web").ports == web.ports
        assert _echoed(client, b"after")
        kill(proxy_of(engine, "web"))
    assert eventually(lambda: _reaches_an_echo(port))  # by another one


def _echoed(client: socket.socket, data: bytes) -> bool:
    client.sendall(data)
    return client.recv(64) == data


def _reaches_an_echo(port: int) -> bool:
    try:
        with socket.create_connection(("::1", port), timeout=20) as client:
            return _echoed(client, b"again")
    except OSError:
        return False


def test_the_proxy_ends_with_the_program_whoever_is_there(engine: Engine) -> None:
    for make_an_end in (lose, lambda engine, name: engine.containers.kill(name)):
        web = start(engine, ports=(PORT,))
        pidfd = os.pidfd_open(proxy_of(engine, "web"))
        make_an_end(engine, "web")
        assert eventually(lambda pidfd=pidfd: processes.has_ended(pidfd))  # type: ignore[misc]
        os.close(pidfd)
        engine.containers.remove(web.id)


def test_names_are_answered_again(engine: Engine, front: str) -> None:
    start(engine, **on_front())
    assert "10.213.7.2" in shell(engine, "nslookup web")
    kill_supervisor(engine, "web")
    assert "10.213.7.2" in shell(engine, "nslookup web")
    other = start(engine, name="other", **on_front(aliases=("shop",)))
    assert other.ip_address in shell(engine, "nslookup shop")


def test_its_networks_can_be_changed(engine: Engine, front: str) -> None:
    web = start(engine, WEB, ports=(PORT,), restart=RestartPolicy(name="always"))
    kill_supervisor(engine, "web")
    engine.networks.connect("front", "web", Attachment(network="front"))
    assert "10.213.7.2" in shell(engine, "ip address; nslookup web")
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").pid not in (0, web.pid))
    assert "10.213.7.2" in shell(engine, "ip address; nslookup web")
    engine.networks.disconnect("front", "web")
    assert "10.213.7" not in shell(engine, "ip address")


# ------------------------------------------------------------------ streams


def test_nothing_that_it_writes_is_lost(engine: Engine) -> None:
    """Unless the supervisor has just read it, and not yet written it down."""
    start(engine, f"sleep 0.5; {COUNTING}")
    kill_supervisor(engine, "web")
    time.sleep(1)
    seen = engine.containers.get("web").status
    before = len(log(engine, "web").split())
    assert eventually(lambda: len(log(engine, "web").split()) > before + 5)
    numbers = [int(line) for line in log(engine, "web").split()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert seen is Status.RUNNING


def test_it_waits_when_its_output_is_not_read_and_gets_no_broken_pipe(engine: Engine) -> None:
    web = start(engine, "sleep 1; yes | head -c 300000; echo; echo end >&2; sleep 1000")
    kill_supervisor(engine, "web")
    assert eventually(lambda: "pipe_write" in _sleeps_in(web.pid))
    assert eventually(lambda: "end" in log(engine, "web"))  # an engine looks
    assert log(engine, "web").count("y\n") == 150000


def _sleeps_in(pid: int) -> str:
    """Where in the kernel a child of the program waits."""
    waits_in = ""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        for child in children.read().split():
            with open(f"/proc/{child}/wchan", encoding="ascii") as wchan:
                waits_in += wchan.read()
    return waits_in


def test_output_of_a_process_that_the_program_has_left_behind_is_found(engine: Engine) -> None:
    script = "(while :; do echo here; sleep 0.05; done) & exec >/dev/null 2>&1; exec sleep 1000"
    start(engine, script)
    kill_supervisor(engine, "web")
    engine.containers.get("web")
    before = log(engine, "web").count("here")
    assert eventually(lambda: log(engine, "web").count("here") > before + 3)


def test_clients_that_are_attached_or_wait_stay_with_it(engine: Engine) -> None:
    start(engine, f"trap 'exit 7' TERM; {COUNTING}")
    attached, codes = engine.containers.attach("web"), []
    output = attached.output()
    assert next(output)[1]
    waiting = threading.Thread(target=lambda: codes.append(engine.containers.wait("web")))
    waiting.start()
    os.kill(supervisor_of(engine, "web"), signal.SIGKILL)  # they see to the next one at once
    assert [next(output)[0] for _ in range(5)] == ["stdout"] * 5
    with Engine(engine.data_root.root) as other:
        other.containers.stop("web")
    for _ in output:
        pass
    waiting.join()
    assert engine.containers.get("web").exit_code in codes
    assert attached.wait() in codes


def test_a_terminal_ends_with_the_supervisor(engine: Engine) -> None:
    start(engine, "trap 'echo hung up > /told' HUP; while :; do sleep 0.05; done", tty=True)
    assert eventually(lambda: "HUP" in shell(engine, "cat /proc/1/cmdline"))
    kill_supervisor(engine, "web")
    assert eventually(lambda: shell(engine, "cat /told") == "hung up\n")


# ------------------------------------------------------------------ its life goes on


def test_everything_can_be_asked_of_the_next_one(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    web = start(engine)
    for _ in range(3):
        kill_supervisor(engine, "web")
        assert engine.containers.get("web").pid == web.pid
    assert shell(engine, "echo $PPID; cat /proc/1/comm").split()[-1] == "sleep"
    assert engine.containers.stats("web").pids == 1
    assert not engine.containers.get("web").error
    engine.containers.pause("web")
    engine.containers.unpause("web")
    engine.containers.stop("web", timeout=0)
    assert not (engine.data_root.run / web.id).exists()
    engine.containers.start("web")
    kill_supervisor(engine, "web")
    engine.containers.remove("web", force=True)
    assert not left_behind(before, engine.data_root)


def test_how_it_has_ended_is_known(engine: Engine) -> None:
    start(engine, "trap 'exit 7' TERM; while :; do sleep 0.05; done")
    assert eventually(lambda: "TERM" in shell(engine, "cat /proc/1/cmdline"))
    kill_supervisor(engine, "web")
    engine.containers.stop("web")
    code = engine.containers.get("web").exit_code
    assert code == 7 or (code == 255 and _linux() < (6, 15))  # reaped before an engine asked


def _linux() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


def test_a_restart_policy_holds(engine: Engine) -> None:
    web = start(engine, restart=RestartPolicy(name="always"), ports=(PORT,))
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").status is Status.RUNNING
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.get("web").pid not in (0, web.pid))
    web_now = engine.containers.get("web")
    assert web_now.restart_count == 1
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").pid == web_now.pid


def test_a_container_of_rm_goes_when_it_has_ended(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    web = start(engine, auto_remove=True)
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").status is Status.RUNNING
    os.kill(web.pid, signal.SIGKILL)
    assert eventually(lambda: engine.containers.list(all=True) == ())
    assert eventually(lambda: not left_behind(before, engine.data_root))


def test_health_goes_on_where_it_was(engine: Engine) -> None:
    check = HealthCheck(test=("CMD", "true"), interval=0.05, retries=2)
    start(engine, health=check)
    assert eventually(lambda: engine.containers.get("web").health == "healthy")
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").health == "healthy"
    log_before = engine.containers.inspect("web")["State"]["Health"]["Log"]
    assert log_before
    last = log_before[-1]["Start"]
    assert eventually(
        lambda: engine.containers.inspect("web")["State"]["Health"]["Log"][-1]["Start"] > last
    )


def test_memory_that_ran_out_before_is_not_told_again(engine: Engine) -> None:
    memory = Resources(memory=8 << 20, memory_swap=8 << 20)
    start(engine, "while :; do sleep 0.1; done", resources=memory)
    collect(engine.containers.exec("web", ExecSpec(command=("sh", "-c", "tail -c 64m /dev/zero"))))
    assert eventually(lambda: list(engine.system.events(filters={"event": ["oom"]})))
    ooms = len(list(engine.system.events(filters={"event": ["oom"]})))
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").oom_killed
    collect(engine.containers.exec("web", ExecSpec(command=("true",))))
    assert len(list(engine.system.events(filters={"event": ["oom"]}))) == ooms


def test_another_user_and_an_init_of_ours_run_on_too(engine: Engine, build: Build) -> None:
    image = build("FROM busybox\nRUN echo me:x:1000:1000::/:/bin/sh >> /etc/passwd\nUSER me\n")
    web = start(engine, image=image, init=True)
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").pid == web.pid
    assert shell(engine, "id -un") == "me\n"


@pytest.mark.parametrize(
    "spec",
    [
        {"network": "host"},
        {"network": "none"},
        {"network": "container:other"},
        {"pid_mode": "host"},
        {"pid_mode": "container:other"},
        {"privileged": True},
        {"log_driver": "none"},
        {"volumes_from": ("other",), "read_only": True},
    ],
    ids=str,
)
def test_whatever_it_is_made_of_it_runs_on(engine: Engine, run: Run, spec: dict[str, Any]) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    start(engine, name="other")
    web = start(engine, **spec)
    kill_supervisor(engine, "web")
    assert engine.containers.get("web").pid == web.pid
    assert shell(engine, "echo here") == "here\n"
    engine.containers.stop("web", timeout=0)
    assert engine.containers.get("web").status is Status.EXITED
    for name in ("web", "other"):
        engine.containers.remove(name, force=True)
    assert not left_behind(before, engine.data_root)


# ------------------------------------------------------------------ which engine takes over


def test_engines_that_look_at_once_agree(engine: Engine) -> None:
    start(engine)
    kill_supervisor(engine, "web")
    with Engine(engine.data_root.root) as other, ThreadPoolExecutor(8) as many:
        looks = [many.submit(opened.containers.get, "web") for opened in (engine, other) * 4]
        assert [look.result().status for look in looks] == [Status.RUNNING] * 8
    assert supervisor_of(engine, "web") != 0
    assert shell(engine, "echo here") == "here\n"


def test_an_engine_that_recovers_gives_it_another_supervisor(engine: Engine) -> None:
    web = start(engine)
    kill_supervisor(engine, "web")
    long_ago = time.time() - 3600
    os.utime(engine.data_root.run / web.id, (long_ago, long_ago))
    with Engine(engine.data_root.root) as other:
        other.system.recover()
    assert not engine._components.containers.last_state(web.id).lost
    assert engine.containers.get("web").pid == web.pid


def test_a_program_that_no_supervisor_can_take_over_is_ended_and_says_why(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EngineBug("no processes left")

    run("true")
    before = HostSnapshot.take(engine.data_root)
    start(engine)
    monkeypatch.setattr(takeover, "adopt", refuse)
    kill_supervisor(engine, "web")
    web_now = engine.containers.get("web")
    assert (web_now.status, web_now.exit_code) == (Status.EXITED, 137)
    assert "no other could take over: no processes left" in web_now.error
    engine.containers.remove("web")
    assert not left_behind(before, engine.data_root)
