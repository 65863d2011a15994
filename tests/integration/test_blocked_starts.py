"""Security 10: a start that blocks, here on a file system that does not answer, can be ended."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.containers.lifecycle import unfinished
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.model.container import ContainerSpec, Mount
from dockmagic_runtime.store.data_root import DataRoot

from .silent_server import SilentServer
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(120)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SilentServer]:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("optional: this kernel has no FUSE")
    directory = tmp_path / "silent"
    directory.mkdir()
    server = SilentServer(directory)
    try:
        yield server
    finally:
        server.close()


def spec(server: SilentServer) -> ContainerSpec:
    mount = Mount(kind="bind", source=f"{server.directory}/x", target="/x")
    return ContainerSpec(
        image="busybox", command=("sleep", "1000"), name="web", mounts=(mount,), network="none"
    )


def run_directory(engine: Engine) -> str:
    return f"{engine.data_root.run}/{engine.containers.get('web').id}"


@pytest.fixture
def blocked(engine: Engine, server: SilentServer) -> Iterator[str]:
    """The run directory of a container named "web" whose start waits for the file system."""
    engine.containers.create(spec(server))
    server.fall_silent()
    errors: list[BaseException] = []

    def start() -> None:
        try:
            engine.containers.start("web")
        except DockmagicError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    run = run_directory(engine)
    assert eventually(lambda: len(unfinished._holders(run)) == 2)  # start process and child
    yield run
    thread.join(30)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_security_10_a_start_that_blocks_is_ended_by_rm_with_force(
    engine: Engine, blocked: str
) -> None:
    processes = [pid for pid, _ in unfinished._holders(blocked)]
    engine.containers.remove("web", force=True)
    assert engine.containers.list(all=True) == ()
    assert_gone(blocked, processes)


def test_security_10_a_start_that_blocks_is_ended_by_prune_once_it_is_old(
    engine: Engine, blocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [pid for pid, _ in unfinished._holders(blocked)]
    assert engine.containers.prune().removed == ()  # it may be about to run
    os.utime(f"{blocked}/lock", (0, 0))  # as after a jump of the clock, which makes it no older
    assert engine.containers.prune().removed == ()
    monkeypatch.setattr(unfinished, "_STUCK", 0.0)
    assert len(engine.containers.prune().removed) == 1
    assert_gone(blocked, processes)


def test_security_10_a_start_that_blocks_is_ended_with_its_start_process_stopped(
    engine: Engine, blocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's end alone does not help then: the start process is killed as well."""
    monkeypatch.setattr(unfinished, "_UNDO_TIME", 0.2)
    holders = sorted(unfinished._holders(blocked), key=lambda process: process[1])
    os.kill(holders[0][0], signal.SIGSTOP)
    engine.containers.remove("web", force=True)
    assert_gone(blocked, [pid for pid, _ in holders])


def assert_gone(run: str, processes: list[int]) -> None:
    assert eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes))
    assert eventually(lambda: not os.path.exists(run))


def test_security_10_a_start_in_the_foreground_ends_with_its_engine(
    engine: Engine, server: SilentServer, data_root: DataRoot
) -> None:
    """As when the user interrupts `run`, or the notebook's kernel is killed, meanwhile."""
    engine.containers.create(spec(server))
    server.fall_silent()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException), Engine(data_root.root) as other:
            other.containers.start_attached("web")
        os._exit(0)
    run = run_directory(engine)
    assert eventually(lambda: len(unfinished._holders(run)) == 2)
    processes = [pid for pid, _ in unfinished._holders(run)]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert_gone(run, processes)
