"""What a hostile image or container could try against the verbs that look into it."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dockmagic import commands
from dockmagic_runtime import Engine
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, Resources, Status
from dockmagic_runtime.testing.trees import deepen

from .conftest import Build, Ended, Run, collect, fill
from .test_lifecycle import shell, start, supervisor_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(120)]


def execute(engine: Engine, *command: str, **spec: Any) -> Ended:
    return collect(engine.containers.exec("web", ExecSpec(command=command, **spec)))


def copied(engine: Engine, path: str) -> bytes:
    _, stream = engine.containers.get_archive("web", path)
    with stream:
        return b"".join(stream)


# ------------------------------------------------------------------ files that are no files


@pytest.mark.parametrize(
    "replacement",
    ["mkfifo /etc/passwd", "ln -s /dev/zero /etc/passwd", "mkdir /etc/passwd",
     "ln -s /proc/1/environ /etc/passwd", "ln -s passwd /etc/passwd",
     "dd if=/dev/zero of=/etc/passwd bs=1M count=0 seek=100000"],
)  # fmt: skip
def test_a_list_of_users_that_is_none_neither_hangs_nor_fills_the_memory(
    engine: Engine, replacement: str
) -> None:
    start(engine, f"rm -f /etc/passwd; {replacement}; touch /ready; sleep 100", name="web")
    shell(engine, "web", "until test -e /ready; do :; done")
    assert execute(engine, "true").code == 0
    status = execute(engine, "grep", "Uid", "/proc/self/status", user="1000").stdout
    assert status.split()[1] == "1000"
    with pytest.raises(DockmagicError, match="unable to find user nobody: no matching entries"):
        execute(engine, "true", user="nobody")


@pytest.mark.parametrize(
    "path",
    ["/proc/1/root{host}", "/proc/self/root{host}", "/proc/self/cwd{host}", "/proc/1/cwd{host}",
     "/dev/fd/../../..{host}", "/link{host}", "/../../../..{host}"],
)  # fmt: skip
def test_no_magic_link_leads_a_copy_to_the_host(engine: Engine, tmp_path: Path, path: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    start(engine, "ln -s /proc/1/root /link; touch /ready; sleep 100", name="web")
    shell(engine, "web", "until test -e /ready; do :; done")
    with pytest.raises(DockmagicError):
        assert b"the host's" in copied(engine, path.format(host=secret))
    with pytest.raises(DockmagicError):
        engine.containers.path_stat("web", path.format(host=secret))


def test_pipes_sockets_and_devices_are_copied_as_what_they_are_and_never_opened(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "mkdir /d; cd /d; mkfifo pipe; mknod null c 1 3; nc -l -p 1 -s local:/d/sock & sleep 1"
    start(engine, f"{script}; echo x > file; sleep 100", name="web")
    assert eventually(lambda: "file" in shell(engine, "web", "ls /d"))
    monkeypatch.chdir(tmp_path)
    for name in ("pipe", "file"):
        commands.execute(engine, commands.parse(["cp", f"web:/d/{name}", "."]))
    assert (tmp_path / "pipe").is_fifo()
    commands.execute(engine, commands.parse(["cp", "web:/d", "."]))
    assert (tmp_path / "d" / "file").read_text() == "x\n"
    assert (tmp_path / "d" / "null").is_char_device()
    assert (tmp_path / "d" / "null").stat().st_mode & 0o777 == 0o600


# ------------------------------------------------------------------ too deep, too many, too large


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """As many as most hosts give to a process that asks for no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def depth_of(directory: Path) -> int:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for depth in count():
        if not os.listdir(fd):
            os.close(fd)
            return depth
        inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    raise AssertionError


def deep_container(engine: Engine, levels: int, *, name: str = "d", running: bool = False) -> None:
    command = ("sleep", "1000") if running else ("true",)
    container = engine.containers.create(
        ContainerSpec(image="busybox", name="web", command=command)
    )
    top = engine.data_root.container(container.id) / "upper" / "deep"
    top.mkdir()
    deepen(top, [name] * levels)
    engine.containers.start("web")
    assert running or engine.containers.wait("web") == 0


@pytest.mark.usefixtures("few_descriptors")
def test_a_deep_tree_is_compared_copied_and_removed(engine: Engine, tmp_path: Path) -> None:
    deep_container(engine, 300)
    assert len(engine.containers.diff("web")) == 301
    assert copied(engine, "/deep").count(b"ustar") >= 301
    commands.execute(engine, commands.parse(["cp", "web:/deep", str(tmp_path / "out")]))
    assert len(list((tmp_path / "out").rglob("d"))) == 300
    with pytest.raises(DockmagicError, match="more than 255 directories in one"):
        engine.containers.commit("web")
    remove_tree(str(tmp_path / "out"))  # too deep for shutil, with which pytest would do it
    engine.containers.remove("web")


@pytest.mark.usefixtures("few_descriptors")
@pytest.mark.parametrize("running", [False, True], ids=["ended", "running"])
def test_a_tree_that_is_deeper_than_descriptors_go_is_compared_and_copied_too(
    engine: Engine, tmp_path: Path, running: bool
) -> None:
    deep_container(engine, 3000, running=running)
    before = len(os.listdir("/proc/self/fd"))
    assert len(engine.containers.diff("web")) == 3001
    assert copied(engine, "/deep").count(b"ustar") >= 3001
    out = tmp_path / "out"
    commands.execute(engine, commands.parse(["cp", "web:/deep", str(out)]))
    assert depth_of(out) == 3000
    commands.execute(engine, commands.parse(["cp", str(out), "web:/back"]))
    assert len(engine.containers.diff("web")) == 3001 + 3001
    assert len(os.listdir("/proc/self/fd")) == before
    remove_tree(str(out))
    engine.containers.remove("web", force=True)


def test_a_tree_made_to_fill_the_memory_is_one_clear_error(engine: Engine, tmp_path: Path) -> None:
    """The paths of a hundred times as many directories are ten thousand times as long together."""
    deep_container(engine, 70, name="n" * 250)
    with pytest.raises(DockmagicError, match="/deep has directories in too many others"):
        engine.containers.diff("web")
    with pytest.raises(DockmagicError, match="out has directories in too many others"):
        commands.execute(engine, commands.parse(["cp", "web:/deep", str(tmp_path / "out")]))
    remove_tree(str(tmp_path / "out"))
    engine.containers.remove("web")


def test_more_executions_than_descriptors_are_refused_and_the_container_goes_on(
    engine: Engine,
) -> None:
    start(engine, "sleep 1000", name="web")
    processes, refused = [], ""
    for _ in range(400):
        try:
            processes.append(engine.containers.exec("web", ExecSpec(command=("sleep", "1000"))))
        except DockmagicError as error:
            refused = error.message
            break
    for process in processes:
        process.close()
    assert engine.containers.get("web").status is Status.RUNNING
    assert len(processes) == 400 or refused
    engine.containers.remove("web", force=True)


def test_more_clients_than_descriptors_do_not_end_the_supervisor(engine: Engine) -> None:
    start(engine, "sleep 1000", name="web")
    container = engine.containers.get("web")
    path = f"{engine.data_root.run}/{container.id}/sock"
    clients = []
    for _ in range(1200):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        clients.append(client)
        try:
            client.connect(path)
        except BlockingIOError:
            break  # the queue is full
    for client in clients:
        client.close()
    assert eventually(lambda: execute(engine, "echo", "back").stdout == "back\n")
    assert os.path.exists(f"/proc/{supervisor_of(container)}")


def test_a_fork_bomb_in_an_execution_stays_below_the_limit(engine: Engine) -> None:
    start(engine, "sleep 1000", name="web", resources=Resources(pids_limit=50))
    process = engine.containers.exec(
        "web", ExecSpec(command=("sh", "-c", "b() { b | b & }; b; sleep 5"))
    )
    assert eventually(lambda: engine.containers.stats("web").pids >= 40)
    assert engine.containers.stats("web").pids <= 50
    process.close()
    engine.containers.kill("web")
    assert engine.containers.get("web").exit_code == 137


def test_a_line_without_an_end_is_read_back_whole(engine: Engine) -> None:
    size = 20_000_000
    start(engine, f"head -c {size} /dev/zero | tr '\\0' x", name="web")
    engine.containers.wait("web")
    assert sum(len(line.text) for line in engine.containers.logs("web")) == size
    assert len(list(engine.containers.logs("web", tail=1))) == 1


# ------------------------------------------------------------------ text that is none


def test_bytes_that_are_no_text_pass_through_every_verb(engine: Engine, run: Run) -> None:
    bad = os.fsdecode(b"\xff\x1b[31m")
    start(engine, "sleep 100", name="web", env=(f"BAD={bad}",), labels={"bad": f"<b>{bad}"})
    assert (
        execute(engine, "sh", "-c", 'printf %s "$BAD" | wc -c').stdout.strip() == "8"
    )  # U+FFFD, as on the way to Docker's daemon
    assert execute(engine, "sh", "-c", 'printf %s "$0" | wc -c', bad).stdout.strip() == "6"
    assert engine.containers.inspect("web")["Name"] == "/web"
    for line in (
        ["ps", "-a"],
        ["inspect", "web"],
        ["top", "web"],
        ["ps", "--format", "{{.Labels}}"],
    ):
        result = commands.execute(engine, commands.parse(line))
        assert str(result).encode("utf-8", "surrogateescape")


def test_names_that_forge_lines_stay_on_theirs(engine: Engine) -> None:
    command = ("sh", "-c", "sleep 100; :", "x\n\x1b[2Jroot 1 0 0")
    engine.containers.run(ContainerSpec(image="busybox", command=command, name="web"), detach=True)
    assert eventually(lambda: len(engine.containers.top("web").processes) == 2)
    text = str(commands.execute(engine, commands.parse(["top", "web"])))
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text


def test_an_environment_that_the_kernel_refuses_is_told(run: Run) -> None:
    with pytest.raises(DockmagicError, match="argument list too long"):
        run("true", env=(f"BIG={'x' * 200_000}",))


def test_a_working_directory_that_is_gone_is_told(engine: Engine) -> None:
    start(engine, "sleep 100", name="web", working_dir="/work")
    shell(engine, "web", "cd /; rmdir /work")
    with pytest.raises(DockmagicError, match='chdir to cwd \\("/work"\\)'):
        execute(engine, "true")


# ------------------------------------------------------------------ signals and looks


def test_killing_everything_from_inside_reaches_no_process_outside(engine: Engine) -> None:
    start(engine, "sleep 1000", name="web")
    container = engine.containers.get("web")
    execute(engine, "sh", "-c", "kill -9 -1; kill -9 1; kill -STOP 1; kill -TERM 0")
    assert engine.containers.get("web").status is Status.RUNNING
    assert os.path.exists(f"/proc/{supervisor_of(container)}")
    assert execute(engine, "echo", "on").stdout == "on\n"


def test_what_the_container_mounts_over_its_proc_and_terminals_fools_no_verb(
    engine: Engine,
) -> None:
    start(
        engine,
        "sleep 1000",
        name="web",
        cap_add=("SYS_ADMIN",),
        security_opt=("seccomp=unconfined",),
    )
    shell(
        engine,
        "web",
        "mount -t tmpfs none /proc; mkdir -p /proc/self; mount -t tmpfs none /dev/pts",
    )
    assert execute(engine, "echo", "on").stdout == "on\n"
    with pytest.raises(DockmagicError, match="no terminal"):
        execute(engine, "tty", tty=True)
    assert engine.containers.stats("web").pids == 1
    assert len(engine.containers.top("web").processes) == 1
    assert copied(engine, "/etc/hostname")


def test_an_image_of_hostile_words_is_shown_and_never_obeyed(engine: Engine, build: Build) -> None:
    image = build(
        'FROM busybox\nLABEL "<script>alert(1)</script>"="\x1b]0;owned\x07"\n'
        'ENV X="<img src=x onerror=alert(1)>"\nCMD ["<b>\x1b[2J", "$(id)", "`id`"]\n'
    )
    engine.containers.create(ContainerSpec(image=image, name="web"))
    from dockmagic.widgets import bundle

    for line in (["ps", "-a"], ["inspect", "web"], ["ps", "-a", "--no-trunc"]):
        shown = bundle(commands.execute(engine, commands.parse(line)))  # type: ignore[arg-type]
        html = str(shown.get("text/html", ""))
        assert "<script>" not in html
        assert "<img src=x" not in html
        assert "\x1b" not in "".join(map(str, shown.values()))


# ------------------------------------------------------------------ a full disk


def test_on_a_full_disk_containers_go_on_and_can_be_looked_at_stopped_and_removed(
    small: Engine,
) -> None:
    start(small, "sleep 1000", name="web")
    start(small, "while :; do echo hello; sleep 0.01; done", name="talk")
    filler = fill(small.data_root.root)
    assert execute(small, "echo", "on").stdout == "on\n"
    assert {listed.name for listed in small.containers.list()} == {"web", "talk"}
    assert small.containers.inspect("web")["State"]["Running"]
    list(small.containers.logs("talk"))
    small.containers.pause("web")
    small.containers.unpause("web")
    small.containers.stop("talk", timeout=0)
    assert small.containers.get("talk").status is Status.EXITED
    small.containers.remove("talk")
    small.containers.kill("web")
    assert [listed.name for listed in small.containers.list(all=True)] == ["web"]
    filler.unlink()
    small.containers.start("web")
    assert execute(small, "echo", "back").stdout == "back\n"


def test_what_needs_room_on_a_full_disk_says_so_and_leaves_nothing_half_made(
    small: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    from dockmagic.cli import main
    from dockmagic.session import Session

    session = Session()
    session.use(small)
    start(small, "sleep 1000", name="web")
    filler = fill(small.data_root.root)
    for line, code in (("run busybox true", 125), ("create busybox", 1), ("commit web", 1)):
        assert main(line.split(), session) == code
        said = capsys.readouterr().err
        assert said.startswith("dockmagic: ")
        assert "no space left on device" in said
        assert "dockmagic system prune" in said
        assert len(said.splitlines()) == 1
    filler.unlink()
    assert [listed.name for listed in small.containers.list(all=True)] == ["web"]
    assert (
        small.containers.run(
            ContainerSpec(image="busybox", command=("true",), auto_remove=True)
        ).wait()
        == 0
    )
