"""Clients of a running container: which of them receives what, and which closes what."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Status
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.supervisor.engine_client import ContainerProcess

from .conftest import Run, collect
from .test_lifecycle import logged, shell, start, supervisor_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]


def read_line(process: ContainerProcess) -> bytes:
    """The next piece that it writes, which is a line here."""
    for _, data in process.output():
        return data
    raise AssertionError("it has ended")


# ------------------------------------------------------------------ attach


def test_all_that_are_attached_receive_all_output_once(engine: Engine) -> None:
    start(
        engine, "echo before; while read line; do echo got $line; done", name="web", open_stdin=True
    )
    assert eventually(lambda: logged(engine, "web") == "before\n")
    first, second = engine.containers.attach("web"), engine.containers.attach("web")
    first.write(b"hello\n")
    assert read_line(first) == read_line(second) == b"got hello\n"
    second.write(b"there\n")
    assert read_line(first) == read_line(second) == b"got there\n"
    first.detach()
    second.detach()
    assert engine.containers.get("web").status is Status.RUNNING


def test_a_client_that_attaches_later_does_not_close_the_input(engine: Engine) -> None:
    start(engine, "while read line; do echo got $line; done", name="web", open_stdin=True)
    first = engine.containers.attach("web")
    first.close_stdin()
    first.write(b"still here\n")
    assert read_line(first) == b"got still here\n"
    first.detach()


def test_the_client_that_has_started_it_closes_the_input(engine: Engine) -> None:
    engine.containers.create(
        ContainerSpec(image="busybox", command=("cat",), name="web", open_stdin=True)
    )
    process = engine.containers.start_attached("web")
    process.write(b"all\n")
    process.close_stdin()
    assert collect(process).stdout == "all\n"


def test_attached_from_the_first_byte_it_may_go_on_without_its_starter(engine: Engine) -> None:
    engine.containers.create(
        ContainerSpec(image="busybox", command=("sh", "-c", "echo first; sleep 100"), name="web")
    )
    process = engine.containers.start_attached("web", owned=False)
    assert read_line(process) == b"first\n"
    process.close()  # as if this process had been killed
    assert shell(engine, "web", "echo on") == "on\n"


def test_a_program_that_does_not_read_makes_its_client_wait_and_still_gets_all(
    engine: Engine,
) -> None:
    spec = ContainerSpec(
        image="busybox",
        command=("sh", "-c", "mkfifo /go; echo up; read go < /go; wc -c"),
        name="counts",
        open_stdin=True,
    )
    process = engine.containers.run(spec)
    assert read_line(process) == b"up\n"
    size = 8 << 20  # more than pipe, socket and supervisor keep

    def feed() -> None:
        process.write(b"x" * size)
        process.close_stdin()

    feeder = threading.Thread(target=feed)
    feeder.start()
    shell(engine, "counts", "echo > /go")
    assert collect(process).stdout.split() == [str(size)]
    feeder.join()


def test_attaching_to_what_does_not_run_is_refused_in_dockers_words(engine: Engine) -> None:
    engine.containers.create(ContainerSpec(image="busybox", command=("true",), name="web"))
    with pytest.raises(Conflict, match="You cannot attach to a stopped container, start it first"):
        engine.containers.attach("web")
    start(engine, "sleep 100", name="paused")
    engine.containers.pause("paused")
    with pytest.raises(Conflict, match="You cannot attach to a paused container"):
        engine.containers.attach("paused")


def test_a_client_that_reads_nothing_makes_the_program_wait_and_loses_nothing(
    engine: Engine,
) -> None:
    script = "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo done >&2"
    process = engine.containers.run(ContainerSpec(image="busybox", command=("sh", "-c", script)))
    assert not eventually(lambda: "done" in logged(engine, process.id)[-10:], seconds=0.5)
    ended = collect(process)
    assert (len(ended.stdout), ended.stderr) == (20_000_001, "done\n")


def test_a_flood_of_output_does_not_grow_the_supervisor(engine: Engine) -> None:
    def peak() -> int:
        """KiB that the supervisor has ever had in memory."""
        status = Path(f"/proc/{supervisor}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    script = (
        "echo up; read line; yes 0123456789abcdef0123456789abcdef | head -c 100000000; read line"
    )
    web = start(
        engine, script, name="web", open_stdin=True, log_options={"max-size": "1m", "max-file": "2"}
    )
    supervisor = supervisor_of(web)
    assert eventually(lambda: logged(engine, "web") == "up\n")
    process, idle = engine.containers.attach("web"), engine.containers.attach("web")
    before = peak()
    process.write(b"go\n")
    received = 0
    for _, data in process.output():  # `idle` reads nothing until this one waits for it
        received += len(data)
        if received > 1_000_000 and idle.id:
            idle.detach()
            idle.id = ""
        if received >= 100_000_000:
            break
    assert received == 100_000_000
    assert peak() - before < 8 * 1024
    process.detach()
    sizes = [path.stat().st_size for path in engine.data_root.container(web.id).glob("*-json.log*")]
    assert len(sizes) == 2
    assert sum(sizes) < 3_000_000


# ------------------------------------------------------------------ exec


def test_an_exec_goes_on_when_its_client_has_gone(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    script = "while ! test -e /go; do sleep 0.02; done; echo x > /done"
    process = engine.containers.exec("web", ExecSpec(command=("sh", "-c", script)))
    (identity,) = engine.containers.inspect("web")["ExecIDs"]
    assert identity == process.exec_id
    process.close()
    shell(engine, "web", "> /go")
    assert eventually(lambda: shell(engine, "web", "cat /done 2>&1") == "x\n")
    assert eventually(lambda: engine.containers.inspect("web")["ExecIDs"] is None)


def test_the_input_of_an_exec_ends_with_its_client(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    script = "cat; echo ended > /ended"
    process = engine.containers.exec("web", ExecSpec(command=("sh", "-c", script), open_stdin=True))
    process.write(b"x")
    process.close()
    assert eventually(lambda: shell(engine, "web", "cat /ended 2>&1") == "ended\n")


def test_an_exec_has_its_own_user_directory_and_environment(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", env=("A=container", "B=container"))
    spec = ExecSpec(
        command=("sh", "-c", "id -u; pwd; echo $A $B"),
        user="65534",
        working_dir="/tmp",
        env=("B=exec",),
    )
    shell(engine, "web", "mkdir -p /tmp")
    assert collect(engine.containers.exec("web", spec)).stdout == "65534\n/tmp\ncontainer exec\n"


def test_a_privileged_exec_has_all_capabilities(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    show = ("sh", "-c", "grep CapEff /proc/self/status")
    usual = collect(engine.containers.exec("web", ExecSpec(command=show))).stdout
    full = collect(engine.containers.exec("web", ExecSpec(command=show, privileged=True))).stdout
    assert usual.split()[1] == "00000000a80425fb"  # the 14 of Docker
    assert int(full.split()[1], 16) > int(usual.split()[1], 16)


def test_an_exec_ends_with_its_container(engine: Engine) -> None:
    start(engine, "sleep 100", name="web")
    process = engine.containers.exec("web", ExecSpec(command=("sleep", "100")))
    engine.containers.kill("web")
    assert process.wait() == 137


# ------------------------------------------------------------------ the log


def test_the_last_line_is_in_the_log_when_the_state_says_exited(engine: Engine) -> None:
    """A follower of the log stops reading when it sees that state."""
    for number in range(5):
        start(engine, "sleep 0.05; printf last", name=f"web{number}")
        directory = engine._components.containers.directory(
            engine.containers.get(f"web{number}").id
        )
        while state.load(directory).status != "exited":
            pass
        assert logged(engine, f"web{number}") == "last"


# ------------------------------------------------------------------ by name


@pytest.mark.parametrize("user", ["", "1000"])
def test_every_user_may_open_its_streams_by_name(engine: Engine, run: Run, user: str) -> None:
    """As images do that have links to /dev/stdout as log files; in Docker it is runc's doing."""
    script = ("sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr")
    ended = run(*script, user=user)
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")
    start(engine, "sleep 1000", name="web", user=user)
    ended = collect(engine.containers.exec("web", ExecSpec(command=script)))
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")
    start(engine, script[2], name="log", user=user)
    engine.containers.wait("log")
    assert sorted(logged(engine, "log").split()) == ["err", "out"]
