"""The launcher of an area: which engines share it, how long it stays, and what containers cost."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.linux.processes import descriptor_target
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.supervisor.launcher_start import LINGER, LauncherStart

from .conftest import Run
from .test_survival import is_gone, supervisor_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

SLEEPER = ("sleep", "1000")
TRUE = ContainerSpec(image="busybox", command=("true",), auto_remove=True)
_COMMANDS = 6


def launcher_of(engine: Engine) -> LauncherStart:
    return engine._components.launcher._launcher


def directories(engine: Engine) -> list[str]:
    """One for each launcher of the area."""
    parent = Path(launcher_of(engine).directory).parent
    return sorted(os.listdir(parent)) if parent.exists() else []


def command(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dockmagic", *words],
        env={**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def proportional_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError("no Pss")


def test_engines_of_an_area_share_a_launcher(engine: Engine, run: Run) -> None:
    run("true")
    with Engine(engine.data_root.root) as other:
        other.containers.run(TRUE).wait()
        assert other._components.launcher.pid == engine._components.launcher.pid
    assert run("echo", "still there").stdout == "still there\n"


def test_a_launcher_ends_with_its_engine(engine: Engine) -> None:
    with Engine(engine.data_root.root) as other:
        other.containers.run(TRUE).wait()
        launcher = other._components.launcher.pid
    assert eventually(lambda: is_gone(launcher))
    assert eventually(lambda: directories(engine) == [])


def test_a_launcher_stays_while_a_container_runs_and_ends_with_the_last(engine: Engine) -> None:
    command(engine, "run", "-d", "--name", "web", "busybox", *SLEEPER)
    launcher = launcher_of(engine).pid
    assert not is_gone(launcher)
    command(engine, "run", "-d", "--name", "db", "busybox", *SLEEPER)
    assert launcher_of(engine).pid == launcher
    command(engine, "rm", "-f", "web")
    assert not is_gone(launcher)
    command(engine, "rm", "-f", "db")
    launcher_of(engine).end_all()
    assert eventually(lambda: is_gone(launcher))
    assert eventually(lambda: directories(engine) == [])


def test_a_launcher_that_a_command_has_started_serves_the_next_command(engine: Engine) -> None:
    command(engine, "run", "--rm", "busybox", "true")
    launcher = launcher_of(engine).pid
    command(engine, "run", "--rm", "busybox", "true")
    assert launcher
    assert launcher_of(engine).pid == launcher


def test_a_launcher_ends_though_the_writer_of_its_last_byte_is_slow(engine: Engine) -> None:
    command(engine, "run", "--rm", "busybox", "true")
    launcher = launcher_of(engine).pid
    launcher_of(engine).release()
    assert eventually(lambda: lingers(launcher))
    users = os.open(Path(launcher_of(engine).directory, "users"), os.O_WRONLY)
    os.write(users, b".")
    assert eventually(lambda: unread(users) == 0)
    os.close(users)
    assert eventually(lambda: is_gone(launcher), seconds=LINGER / 2)


def lingers(launcher: int) -> bool:
    """Whether it holds the place of its users, which have all left."""
    directory = f"/proc/{launcher}/fd"
    targets = [descriptor_target(f"{directory}/{fd}") for fd in os.listdir(directory)]
    return sum(target.endswith("/users") for target in targets) == 2


def unread(fifo: int) -> int:
    """Bytes that its readers have not taken yet."""
    count = array("i", [0])
    fcntl.ioctl(fifo, termios.FIONREAD, count)
    return count[0]


def test_a_launcher_that_waits_for_commands_is_not_left_behind(engine: Engine) -> None:
    command(engine, "run", "--rm", "busybox", "true")
    launcher = launcher_of(engine).pid
    engine.system.dismantle()
    assert eventually(lambda: is_gone(launcher), seconds=LINGER / 2)
    assert directories(engine) == []


def test_a_container_outlives_its_launcher_and_the_next_command_starts_another(
    engine: Engine,
) -> None:
    command(engine, "run", "-d", "--name", "web", "busybox", *SLEEPER)
    launcher = launcher_of(engine).pid
    os.kill(launcher, signal.SIGKILL)
    assert command(engine, "run", "--rm", "busybox", "echo", "again").stdout == "again\n"
    assert command(engine, "exec", "web", "echo", "here").stdout == "here\n"
    assert launcher_of(engine).pid != launcher


def test_security_16_containers_of_separate_commands_are_small(engine: Engine) -> None:
    names = [f"web{number}" for number in range(_COMMANDS)]
    for name in names:
        command(engine, "run", "-d", "--name", name, "busybox", *SLEEPER)
    sizes = [proportional_kib(supervisor_of(engine.containers.get(name).pid)) for name in names]
    sizes.append(proportional_kib(launcher_of(engine).pid))
    # fewer containers share the launcher's pages than on a busy host
    assert sum(sizes) / len(names) < 4096


def test_commands_at_the_same_time_start_one_launcher(engine: Engine) -> None:
    words = ("run", "-d", "busybox", *SLEEPER)
    with ThreadPoolExecutor(_COMMANDS) as pool:
        list(pool.map(lambda _: command(engine, *words), range(_COMMANDS)))
    assert len(engine.containers.list()) == _COMMANDS
    assert len(directories(engine)) == 1


@pytest.fixture
def fewer_files() -> Iterator[None]:
    """This process may open fewer files than before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_a_container_inherits_comes_from_an_engine_like_its_own(
    engine: Engine, run: Run, fewer_files: None
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    command(engine, "run", "-d", "--name", "web", "busybox", *SLEEPER)
    assert run("sh", "-c", "ulimit -n").stdout == f"{limit}\n"
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit - 1, limit + 1))
    ended = command(engine, "run", "--rm", "busybox", "sh", "-c", "ulimit -n")
    assert ended.stdout == f"{limit - 1}\n"


def test_no_open_file_of_a_command_is_open_in_its_launcher_or_supervisor(engine: Engine) -> None:
    reading, writing = os.pipe()
    number = fcntl.fcntl(reading, fcntl.F_DUPFD, 57)  # without close-on-exec
    try:
        subprocess.run(
            [sys.executable, "-m", "dockmagic", "run", "-d", "busybox", *SLEEPER],
            env={**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)},
            pass_fds=(number,),
            check=True,
            timeout=60,
            capture_output=True,
        )
        (container,) = engine.containers.list()
        mine = os.readlink(f"/proc/self/fd/{number}")
        supervisor = supervisor_of(container.pid)
        for pid in (launcher_of(engine).pid, supervisor, container.pid):
            directory = Path(f"/proc/{pid}/fd")
            assert mine not in [os.readlink(each) for each in directory.iterdir()]
    finally:
        for fd in (reading, writing, number):
            os.close(fd)


def test_nothing_of_a_command_is_in_its_launcher(engine: Engine) -> None:
    """Not its arguments, which all users can read, nor its environment, nor its files."""
    marked = {**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root), "SECRET": "dockmagic-47"}
    subprocess.run(
        [sys.executable, "-m", "dockmagic", "run", "-d", "busybox", *SLEEPER],
        env=marked,
        check=True,
        timeout=60,
        capture_output=True,
    )
    launcher = launcher_of(engine).pid
    (container,) = engine.containers.list()
    for pid in (launcher, supervisor_of(container.pid)):
        process = Path(f"/proc/{pid}")
        assert b"SECRET" not in (process / "environ").read_bytes()
        assert b"busybox" not in (process / "cmdline").read_bytes()
        assert (process / "cwd").readlink() == Path("/")
        files = {os.readlink(fd) for fd in (process / "fd").iterdir()}
        assert {f for f in files if f.startswith("/") and "launcher" not in f} <= {
            "/dev/null",
            "/memfd:request (deleted)",
            f"{engine.data_root.run}/{container.id}/lock",
        }
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0
        assert os.getsid(pid) != os.getsid(0)


def test_a_request_that_is_not_finished_does_not_end_the_launcher(engine: Engine, run: Run) -> None:
    run("true")
    launcher = engine._components.launcher.pid
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(f"{launcher_of(engine).directory}/sock")
        connection.send(b"\0")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(f"{launcher_of(engine).directory}/sock")
        connection.send(b"\xff" * 8)
    assert run("echo", "on").stdout == "on\n"
    assert engine._components.launcher.pid == launcher
