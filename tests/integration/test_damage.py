"""Damaged files of containers and volumes: one bad object never hides or stops the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, HealthCheck, Mount, Status

from .losing import kill_supervisor
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

GARBAGE = bytes(range(256)) * 2
Ask = Callable[[str], tuple[int, str, str]]
Damage = Callable[[Path], None]


@pytest.fixture
def ask(engine: Engine, capfd: pytest.CaptureFixture[str]) -> Ask:
    """A command line; any exception other than the engine's own fails the test."""
    session = Session()
    session.use(engine)

    def ask(line: str) -> tuple[int, str, str]:
        code = main(line.split(), session)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return ask


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill(path: Path) -> None:
    path.write_bytes(GARBAGE)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


DAMAGES = (cut, empty, fill, remove)


def start(engine: Engine, name: str, command: str) -> str:
    mount = Mount(kind="volume", source="data", target="/data")
    check = HealthCheck(test=("CMD", "true"), interval=3600)
    spec = ContainerSpec(
        image="busybox",
        name=f"{name}-",
        command=("sh", "-c", command),
        mounts=(mount,),
        stop_timeout=0,
        health=check,
    )
    identity = engine.containers.run(spec, detach=True).id
    engine.containers.rename(f"{name}-", name)
    return identity


def exercise(ask: Ask, name: str) -> None:
    """Every verb on the damaged container, and the others beside it."""
    for line in (
        "ps -a",
        "ps -a -s",
        "ps -a --filter volume=data",
        f"inspect {name}",
        f"logs {name}",
        f"logs --tail 1 {name}",
        f"diff {name}",
        f"top {name}",
        f"port {name}",
        f"exec {name} true",
        f"explain {name}",
        f"rename {name} {name}",
        f"update --memory 64m {name}",
        f"cp {name}:/etc/passwd -",
        f"cp /etc/passwd {name}:/tmp",
        f"export -o /dev/null {name}",
        f"commit {name} image-of-{name}",
        f"start {name}",
        f"wait {name}" if name == "bad" else "ps",
        f"restart -t 0 {name}",
        f"pause {name}",
        f"unpause {name}",
        f"stop -t 0 {name}",
        "stats --no-stream -a",
        "system df -v",
        "info",
        "network inspect bridge",
        "events --since 1h --until 0s",
    ):
        ask(line)
    assert ask("run --rm busybox echo fine")[:2] == (0, "fine\n")
    assert "healthy" in ask("ps -a --format {{.Names}}")[1].split()
    assert ask("logs healthy")[:2] == (0, "hello\n")
    assert ask(f"rm -f {name}")[0] == 0
    assert name not in ask("ps -a --format {{.Names}}")[1].split()


# the directory itself is ""; the log is named after the container
FILES = (
    "", "LOG", "state.json", "explain.json", "health.json", "name", "hosts", "hostname",
    "resolv.conf", "resolv.conf.sha256", "tree.lock", "upper", "work",
)  # fmt: skip


def place(engine: Engine, identity: str, name: str) -> Path:
    directory = Path(engine.data_root.containers / identity)
    return directory / name.replace("LOG", f"{identity}-json.log") if name else directory


@pytest.mark.parametrize("damage", DAMAGES)
def test_security_5_11_no_damaged_file_of_a_stopped_container_stops_anything(
    engine: Engine, ask: Ask, damage: Damage
) -> None:
    start(engine, "healthy", "echo hello; sleep 1000")
    for name in FILES:
        identity = start(engine, "bad", "echo hello")
        engine.containers.wait("bad")
        path = place(engine, identity, name)
        if path.is_dir():
            remove(path)
        else:
            (path.parent / "health.json").touch()
            damage(path)
        exercise(ask, "bad")


@pytest.mark.parametrize("damage", DAMAGES)
def test_security_5_11_no_damaged_file_of_a_running_container_stops_anything(
    engine: Engine, ask: Ask, damage: Damage
) -> None:
    start(engine, "healthy", "echo hello; sleep 1000")
    for name in ("LOG", "state.json", "hosts", "explain.json"):
        identity = start(engine, "running", "echo hello; sleep 1000")
        path = place(engine, identity, name)
        assert eventually(path.exists)
        damage(path)
        assert engine.containers.get("running").status is Status.RUNNING
        exercise(ask, "running")


@pytest.mark.parametrize("damage", DAMAGES)
def test_security_11_a_damaged_state_is_listed_and_says_what_was_lost(
    engine: Engine, ask: Ask, damage: Damage
) -> None:
    identity = start(engine, "bad", "exit 3")
    engine.containers.wait("bad")
    damage(place(engine, identity, "state.json"))
    _, out, err = ask("ps -a --format {{.Names}}|{{.Status}}")
    assert out == "bad|Exited (255) (damaged)\n"
    assert "WARNING: bad: state.json is" in err
    assert "how it ended" in err
    state = engine.containers.inspect("bad")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 255)
    assert "how it ended" in state["Error"]
    engine.containers.start("bad")  # all that a start needs is there
    engine.containers.wait("bad")
    assert engine.containers.get("bad").exit_code == 3
    assert engine.containers.get("bad").damage == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_security_11_a_running_container_stays_running_without_its_state(
    engine: Engine, ask: Ask, damage: Damage
) -> None:
    identity = start(engine, "bad", "echo hello; sleep 1000")
    pid = engine.containers.get("bad").pid
    damage(place(engine, identity, "state.json"))
    now = engine.containers.get("bad")
    assert (now.status, now.pid) == (Status.RUNNING, pid)
    assert "(damaged)" in ask("ps --format {{.Status}}")[1]
    assert ask("exec bad echo inside")[:2] == (0, "inside\n")
    engine.containers.stop("bad")
    now = engine.containers.get("bad")
    assert (now.status, now.exit_code) == (Status.EXITED, 137)


def test_security_11_a_running_container_without_state_and_supervisor_is_taken_over(
    engine: Engine, ask: Ask
) -> None:
    identity = start(engine, "bad", "echo hello; sleep 1000")
    pid = engine.containers.get("bad").pid
    empty(place(engine, identity, "state.json"))
    kill_supervisor(engine, "bad")
    now = engine.containers.get("bad")
    assert (now.status, now.pid) == (Status.RUNNING, pid)
    assert ask("exec bad echo inside")[:2] == (0, "inside\n")


def test_security_5_a_container_without_its_directory_is_listed_until_it_is_removed(
    engine: Engine, ask: Ask
) -> None:
    identity = start(engine, "bad", "sleep 1000")
    engine.containers.stop("bad")
    remove(place(engine, identity, ""))
    code, out, err = ask("ps -a --format {{.Names}}|{{.Status}}")
    assert (code, out) == (0, "bad|Dead (255) (damaged)\n")
    assert "its directory is missing: its files, its state and its log are lost" in err
    code, _, err = ask("start bad")
    assert code == 1
    assert "its directory is missing" in err
    assert ask("run --name bad busybox true")[0] == 125  # the name is still in use
    assert ask("container prune -f")[0] == 0
    assert ask("ps -aq")[1] == ""


@pytest.mark.parametrize("name", ["boot", "events.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_security_5_no_damaged_file_of_the_data_root_keeps_an_engine_from_opening(
    engine: Engine, damage: Damage, name: str
) -> None:
    identity = start(engine, "healthy", "sleep 1000")
    damage(engine.data_root.root / name)
    with Engine(engine.data_root.root) as another:
        assert [container.id for container in another.containers.list()] == [identity]
        another.containers.stop("healthy")
        assert "stop" in [event.action for event in another.system.events()]


# ------------------------------------------------------------------ volumes


@pytest.mark.parametrize("name", ["volume.json", "_data", "hold.lock", "fill.lock", ""])
@pytest.mark.parametrize("damage", DAMAGES)
def test_security_5_no_damaged_file_of_a_volume_stops_anything(
    engine: Engine, ask: Ask, damage: Damage, name: str
) -> None:
    for volume in ("bad", "good"):
        ask(f"volume create --label kept=yes {volume}")
        ask(f"run --rm -v {volume}:/v busybox touch /v/file")
    ask("create --name user -v bad:/v busybox ls /v")
    path = engine.data_root.volumes / "bad" / name
    if path.is_dir():
        remove(path)
    else:
        path.touch()
        damage(path)
    for line in (
        "volume ls --filter dangling=true",
        "volume ls --filter label=kept",
        "volume ls -q",
        "volume inspect bad",
        "volume prune -a -f --filter label!=kept",
        "system df",
        "system df -v",
        "inspect user",
        "run --rm -v bad:/v busybox ls /v",
        "start user",
        "wait user",
        "ps -a",
        "rm -v user",
    ):
        ask(line)
    names = ask("volume ls -q")[1].split()
    assert "good" in names
    assert ask("run --rm -v good:/v busybox ls /v")[:2] == (0, "file\n")
    if "bad" in names:
        assert ask("volume rm bad")[0] == 0
    assert ask("volume ls -q")[1] == "good\n"
    assert ask("system prune -f -a --volumes")[0] == 0


@pytest.mark.parametrize("damage", [cut, empty, fill])
def test_security_5_a_damaged_volume_is_listed_and_says_what_was_lost(
    engine: Engine, ask: Ask, damage: Damage
) -> None:
    ask("volume create --label kept=yes bad")
    damage(engine.data_root.volumes / "bad" / "volume.json")
    code, out, err = ask("volume ls -q")
    assert (code, out) == (0, "bad\n")
    lost = "its labels, options and time of creation are lost"
    assert (
        f"WARNING: bad: volume.json is {'empty' if damage is empty else 'damaged'}: {lost}" in err
    )
    assert lost in engine.volumes.inspect("bad")["Status"]["Damage"]
    ask("volume prune -a -f --filter label!=kept")  # the label may have been one that spares it
    assert ask("volume ls -q")[1] == "bad\n"
    ask("volume prune -a -f")
    assert ask("volume ls -q")[1] == ""


def test_security_5_a_volume_without_its_data_can_be_used_no_more_and_removed(
    engine: Engine, ask: Ask
) -> None:
    ask("volume create bad")
    remove(engine.data_root.volumes / "bad" / "_data")
    assert "WARNING: bad: _data is missing: its data are lost" in ask("volume ls")[2]
    code, _, err = ask("run --rm -v bad:/v busybox true")
    assert code == 125
    assert len(err.splitlines()) == 1
    assert ask("volume rm bad")[0] == 0
