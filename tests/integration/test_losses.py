"""The engine's processes killed at the worst moments, and containers without a waiting client."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.containers.lifecycle.recover import Recovery
from dockmagic_runtime.containers.lifecycle.remove import discard
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import DockmagicError, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Mount, Status
from dockmagic_runtime.store import scratch
from dockmagic_runtime.testing.host import HostSnapshot, left_behind

from .conftest import Run
from .losing import lose
from .test_lifecycle import ALWAYS, logged, shell, start, supervisor_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def spare(engine: Engine) -> int:
    """The supervisor that waits for the next request."""
    launcher = engine._components.launcher.pid
    supervisors: list[int] = []

    def has_start_process() -> bool:
        supervisors[:] = [child for child in children(launcher) if children(child)]
        return bool(supervisors)

    assert eventually(has_start_process)
    return supervisors[-1]


def test_a_spare_that_is_killed_is_replaced(engine: Engine, run: Run) -> None:
    run("true")
    victim = spare(engine)
    (start_process,) = children(victim)
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{start_process}").exists())
    assert run("echo", "again").stdout == "again\n"


def test_a_start_process_that_is_killed_before_it_works_is_replaced(
    engine: Engine, run: Run
) -> None:
    run("true")
    victim = spare(engine)
    (start_process,) = children(victim)
    os.kill(start_process, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{victim}").exists())
    assert run("echo", "again").stdout == "again\n"


def test_spares_end_with_their_launcher(engine: Engine, run: Run) -> None:
    run("true")
    waiting = spare(engine)
    os.kill(engine._components.launcher.pid, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{waiting}").exists())
    assert run("echo", "again").stdout == "again\n"


def test_spares_end_with_their_engine(engine: Engine) -> None:
    with Engine(engine.data_root.root) as other:
        container = start(other, "true")
        other.containers.wait(container.id)
        waiting = spare(other)
    assert eventually(lambda: not Path(f"/proc/{waiting}").exists())


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.004, 0.006, 0.008, 0.010, 0.012, 0.016, 0.020])
def test_a_supervisor_killed_in_the_middle_of_a_start_leaves_nothing(
    engine: Engine, run: Run, delay: float
) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    container = engine.containers.create(
        ContainerSpec(image="busybox", command=("sleep", "100"), name="web")
    )
    victim = spare(engine)
    killer = threading.Timer(delay, os.kill, (victim, signal.SIGKILL))
    killer.start()
    try:
        engine.containers.start("web")
    except DockmagicError:
        pass  # it was hit before the program ran
    killer.join()
    assert eventually(lambda: not Path(f"/proc/{victim}").exists())
    if engine.containers.get("web").status.is_alive:  # it was hit before there was work for it
        engine.containers.kill("web")
    engine.containers.start("web")  # nothing that is left prevents a start
    assert engine.containers.get("web").status is Status.RUNNING
    engine.containers.remove("web", force=True)
    assert not (engine.data_root.run / container.id).exists()
    assert not left_behind(before, engine.data_root)


def test_a_container_of_rm_goes_with_its_volumes_without_an_engine(engine: Engine) -> None:
    with Engine(engine.data_root.root) as other:
        spec = ContainerSpec(
            image="busybox",
            command=("sh", "-c", "mkfifo /data/fifo; read line < /data/fifo"),
            name="web",
            auto_remove=True,
            mounts=(Mount(kind="volume", target="/data"),),
        )
        container = other.containers.run(spec, detach=True)
        (volume,) = other.volumes.list()
        fifo = engine.data_root.volumes / volume.name / "_data" / "fifo"
        assert eventually(fifo.exists)
    fifo.write_text("go\n")  # it ends now, and no engine of ours has anything to do with it
    assert eventually(lambda: not engine.data_root.container(container.id).exists())
    assert eventually(lambda: not (engine.data_root.volumes / volume.name).exists())
    assert engine.containers.list(all=True) == ()
    assert engine.volumes.list() == ()


@pytest.mark.parametrize("has_row", [True, False], ids=["with its row", "without"])
def test_security_15_what_a_killed_rm_left_is_swept_by_the_next_start(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, has_row: bool
) -> None:
    monkeypatch.setattr(scratch, "_YOUNG", -1.0)
    container = engine.containers.create("busybox", ["true"], name="gone")
    store = engine._components.containers
    lock = scratch.move_to_trash(store.directory(container.id), store.data_root.scratch_path)
    assert lock is not None
    if not has_row:
        store.forget(container.id)
    with Engine(engine.data_root.root) as other:
        other.system.recover()
        assert os.path.isdir(store.trash(container.id))  # its remover is alive
        os.close(lock)
    with Engine(engine.data_root.root) as other:
        other.system.recover()
        assert other.containers.list(all=True) == ()
        other.containers.create("busybox", ["true"], name="gone")
        other.containers.remove("gone")
    assert not os.path.exists(store.trash(container.id))


def test_a_lost_container_that_is_removed_while_it_is_recovered_is_gone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = engine.containers.run("busybox", ["sleep", "100"], name="web", detach=True)
    lose(engine, "web")
    end_cgroup = Recovery._end_cgroup

    def removed_meanwhile(recovery: Recovery, parent: str, container_id: str) -> None:
        end_cgroup(recovery, parent, container_id)
        discard(engine._components.containers, container_id)

    monkeypatch.setattr(Recovery, "_end_cgroup", removed_meanwhile)
    assert [each.name for each in engine.containers.list()] == []
    monkeypatch.undo()
    assert engine.containers.list(all=True) == ()
    assert not (engine.data_root.run / container.id).exists()


@pytest.mark.parametrize("after", ["find", "writable_layer"])
@pytest.mark.parametrize(
    "verb", ["diff", "path_stat", "list_directory", "get_archive", "export", "commit"]
)
def test_a_container_that_is_removed_while_its_files_are_looked_at_is_not_there(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, verb: str, after: str
) -> None:
    engine.containers.create("busybox", ["true"], name="web")
    store = engine._components.containers
    look = getattr(store, after)

    def removed_meanwhile(wanted: str | Record) -> Record | str:
        result: Record | str = look(wanted)
        monkeypatch.undo()
        engine.containers.remove("web")
        return result

    monkeypatch.setattr(store, after, removed_meanwhile)
    arguments = {"path": "/"} if verb in ("path_stat", "list_directory", "get_archive") else {}
    with pytest.raises(NotFound, match=r"No such container: web|just been removed"):
        getattr(engine.containers, verb)(name="web", **arguments)


def test_a_restart_finds_the_namespace_of_another_container_again(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", stop_timeout=0)
    show = "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'"
    script = f"{show}; while ! test -e /go; do sleep 0.02; done; exit 1"
    start(engine, script, name="beside", network="container:web", restart=ALWAYS)
    assert eventually(lambda: logged(engine, "beside"))
    engine.containers.restart("web")
    shell(engine, "beside", "> /go")
    assert eventually(lambda: len(logged(engine, "beside").splitlines()) >= 2)
    assert (
        logged(engine, "beside").splitlines()[-1]
        == f"inet {engine.containers.get('web').ip_address}"
    )


def test_a_restart_says_when_that_other_container_has_gone(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    script = "while ! test -e /go; do sleep 0.02; done; exit 1"
    start(engine, script, name="beside", network="container:web", restart=ALWAYS)
    engine.containers.kill("web")
    shell(engine, "beside", "> /go")
    assert eventually(lambda: engine.containers.get("beside").status is Status.EXITED)
    assert "cannot join network of a non running container" in engine.containers.get("beside").error


def test_restarts_leave_no_descriptors_and_nothing_on_the_host(engine: Engine, run: Run) -> None:
    run("true")
    before = HostSnapshot.take(engine.data_root)
    go = "while ! test -e /go; do sleep 0.02; done; rm /go; exit 1"
    container = start(engine, go, name="web", restart=ALWAYS)
    supervisor = int(Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[1])
    counted: list[int] = []
    for count in range(1, 5):
        shell(engine, "web", "> /go")
        assert eventually(lambda count=count: engine.containers.get("web").restart_count == count)  # type: ignore[misc]
        assert eventually(lambda: engine.containers.get("web").status is Status.RUNNING)
        assert shell(engine, "web", "echo up") == "up\n"
        assert eventually(lambda: len(children(supervisor)) == 1)  # no zombie of a start process
        counted.append(len(os.listdir(f"/proc/{supervisor}/fd")))
    assert max(counted[1:]) <= counted[0] + 1  # a client may just be going
    engine.containers.remove("web", force=True)
    assert not left_behind(before, engine.data_root)


@pytest.mark.slow
def test_twenty_idle_supervisors_take_a_megabyte_and_a_half_each(engine: Engine) -> None:
    """Each page counted by the share that a process has of it (`Pss`), in KiB."""

    def share(pid: int) -> int:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(rollup.split("Pss:")[1].split()[0])

    containers = [
        engine.containers.run(
            ContainerSpec(image="busybox", command=("sleep", "100"), network="none"), detach=True
        )
        for _ in range(20)
    ]
    supervisors = [supervisor_of(container) for container in containers]
    assert eventually(lambda: all(len(children(supervisor)) == 1 for supervisor in supervisors))
    assert sum(map(share, supervisors)) / len(supervisors) <= 1536
