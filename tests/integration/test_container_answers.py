"""Command lines about containers and volumes, answered as Docker answers them.

The numbers are those of the cases; the right answers were taken from Docker's client 28 with a
daemon, or from moby's code where the daemon at hand is older.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from dockmagic.cli import main
from dockmagic.session import Session
from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import Status

from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


@pytest.fixture
def ask(engine: Engine, capfd: pytest.CaptureFixture[str]) -> Ask:
    session = Session()
    session.use(engine)

    def ask(line: str, *words: str) -> Answer:
        """`words` come after those of the line, unsplit."""
        code = main([*shlex.split(line), *words], session)
        return Answer(code, *capfd.readouterr())

    return ask


# ------------------------------------------------------------------ update


@pytest.mark.parametrize("name", ["running", "stopped"])
def test_command_line_2_a_cpuset_that_the_host_lacks_is_refused(ask: Ask, name: str) -> None:
    ask("run -d --name running busybox sleep 1000")
    ask("create --name stopped busybox true")
    cpus = Path("/sys/devices/system/cpu/online").read_text().strip()
    for flags, message in (
        (
            "--cpuset-cpus 4095",
            f"Requested CPUs are not available - requested 4095, available: {cpus}",
        ),
        ("--cpuset-mems 99", "Requested memory nodes are not available - requested 99"),
        ("--cpuset-cpus 1-0", "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
        (
            "--cpuset-cpus 9000",
            "Invalid value 9000 for cpuset cpus: value of out range, maximum is 8192",
        ),
    ):
        code, out, err = ask(f"update {flags} {name}")
        assert (code, out) == (1, "")
        assert message in err
    assert ask(f"update --cpuset-cpus 0 {name}") == (0, f"{name}\n", "")


def test_command_line_2_less_memory_than_is_in_use_is_no_traceback(ask: Ask) -> None:
    ask("run -d --name running busybox sleep 1000")
    code, _, err = ask("update --memory 6m --memory-swap 6m running")
    assert code in (0, 1)
    assert len(err.splitlines()) <= 1


# ------------------------------------------------------------------ ps


def test_command_line_4_publish_is_the_hosts_port(ask: Ask, engine: Engine) -> None:
    ask("run -d --name web -p 28080:80 busybox sleep 1000")
    names = "ps --format {{.Names}} --filter"
    assert ask(f"{names} publish=28080").out == "web\n"
    assert ask(f"{names} publish=80").out == ""
    assert ask(f"{names} expose=80").out == "web\n"
    engine.containers.stop("web", timeout=0)
    assert ask(f"{names} expose=80 -a").out == ""


def test_command_line_13_the_image_is_as_it_was_named_until_the_name_moves(
    ask: Ask, engine: Engine
) -> None:
    digest = engine.images.get("busybox").id
    ask("tag busybox other")
    for number, image in enumerate(
        ["other", "other:latest", "docker.io/library/other", digest, digest[7:19]]
    ):
        ask(f"create --name c{number} {image} true")
    shown = "ps -a --format {{.Names}}={{.Image}}"
    short = digest.removeprefix("sha256:")[:12]
    assert ask(shown).out.split() == [
        f"c4={short}", f"c3={short}", "c2=other", "c1=other:latest", "c0=other",
    ]  # fmt: skip
    ask("commit c0 moved")
    ask("tag moved other")
    assert ask(shown).out.split() == [f"c{number}={short}" for number in (4, 3, 2, 1, 0)]
    assert ask(f"{shown} --no-trunc").out.split()[-1] == f"c0={digest}"


# ------------------------------------------------------------------ the same twice, and stopped


def test_command_line_6_what_is_named_twice_is_answered_twice(ask: Ask) -> None:
    ask("run --name done busybox true")
    assert ask("wait done done").out == "0\n0\n"
    assert ask("inspect -f {{.Name}} done done").out == "/done\n/done\n"


def test_command_line_11_stats_of_a_stopped_container_are_zeros(ask: Ask, engine: Engine) -> None:
    ask("run -d --name running busybox sleep 1000")
    ask("create --name stopped busybox true")
    fields = "{{.Container}}|{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.NetIO}}|{{.PIDs}}"
    rows = ask(f"stats --no-stream --format '{fields}' running stopped").out.splitlines()
    assert rows[0].startswith("running|running|")
    assert rows[1] == "stopped|stopped|0.00%|0B / 0B|0B / 0B|0"
    code, out, err = ask("stats --no-stream running nosuch")
    assert (code, out) == (1, "")
    assert "No such container: nosuch" in err


# ------------------------------------------------------------------ logs


def test_command_line_5_since_zero_is_everything(ask: Ask) -> None:
    ask("run --name done busybox echo hello")
    assert ask("logs --since 0 done").out == "hello\n"
    assert ask("logs --since 1h done").out == "hello\n"
    assert ask("logs --since 0s done").out == ""
    assert "container create" in ask("events --since 0 --until 0s --filter container=done").out


def test_security_14_a_tail_of_a_container_that_floods_its_log_ends(ask: Ask) -> None:
    ask(
        "run -d --name flood --log-opt max-size=100k --log-opt max-file=2 busybox "
        "yes a-line-of-a-flood"
    )
    assert eventually(lambda: ask("logs --tail 1 flood").out)
    assert ask("logs --tail 5 flood").out == "a-line-of-a-flood\n" * 5
    code, out, _ = ask("logs flood")
    assert code == 0
    assert set(out.splitlines()) <= {"a-line-of-a-flood"}


# ------------------------------------------------------------------ bytes that are no text


def test_command_line_17_names_and_texts_that_are_no_utf8_are_shown(
    ask: Ask, tmp_path: Path, engine: Engine
) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"touch /\xff /d\xc3\xa4; printf 'log \xff\n'; printf '%s' \"$1\"\n")
    ask(f"create --name odd -v {script}:/script busybox sh /script", "\udcfe")
    ask("start -a odd")
    code, out, err = ask("diff odd")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["A /dä", "A /script", "A /�"]
    assert ask("logs odd").out == "log �\n�"
    assert ask("cp", "odd:/\udcff", str(tmp_path)).code == 0
    assert b"\xff" in [os.fsencode(path.name) for path in tmp_path.iterdir()]
    assert ask("export -o", str(tmp_path / "tar"), "odd").code == 0
    code, out, _ = ask("ps -a --no-trunc")
    assert code == 0
    assert '"sh /script �"' in out
    for line in ("inspect", "logs", "rm", "stop", "start", "diff", "port"):
        code, _, err = ask(line, "no\udcffsuch")
        assert code == 1
        assert "no�such" in err
    for flag in ("name=", "label=", "volume=", "ancestor=", "network="):
        assert ask("ps -a --filter", f"{flag}\udcff").code == 0


@pytest.mark.parametrize("line", [
    "volume inspect NAME", "volume rm NAME", "volume create NAME", "diff NAME", "cp NAME:/x -",
    "run --rm -v NAME:/x busybox true", "export -o /dev/null NAME", "logs NAME", "wait NAME",
    "stats --no-stream NAME", "rename odd NAME", "create --name NAME busybox true",
])  # fmt: skip
def test_security_7_a_name_of_300_characters_is_refused_in_one_line(ask: Ask, line: str) -> None:
    code, _, err = ask(line.replace("NAME", "a" * 300))
    assert code in (0, 1, 125)
    assert len(err.splitlines()) <= 1


def test_security_7_traffic_of_an_interface_that_has_gone_is_none() -> None:
    from dockmagic_runtime.containers.inspect.stats import _traffic

    assert _traffic("nosuchveth") == (0, 0)


# ------------------------------------------------------------------ volumes


def test_command_line_20_a_volume_of_the_image_stays_in_the_config(
    ask: Ask, engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nVOLUME /data\n")
    assert ask("build -q -t with", str(tmp_path)).code == 0
    ask("create --name cc -v nm:/data -v /anonymous with true")
    assert engine.containers.inspect("cc")["Config"]["Volumes"] == {"/anonymous": {}, "/data": {}}
    ask("commit cc committed")
    config = engine.images.inspect("committed")["Config"]
    assert config["Volumes"] == {"/anonymous": {}, "/data": {}}


def test_volume_update_is_for_volumes_of_a_cluster(ask: Ask) -> None:
    ask("volume create here")
    code, _, err = ask("volume update here")
    assert (code, "can only update cluster volumes" in err) == (1, True)
    code, _, err = ask("volume update nosuch")
    assert (code, "get nosuch: no such volume" in err) == (1, True)


# ------------------------------------------------------------------ starts


def test_a_start_that_is_refused_is_in_the_state_until_the_next(ask: Ask) -> None:
    """The values are those of dockerd 20.10."""
    state = "inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' cc"
    code, out, err = ask("run -d --name cc --network notyet busybox sleep 100")
    assert (code, len(out), "network notyet not found" in err) == (125, 65, True)
    assert ask(state).out == "created 128 network notyet not found\n"
    assert ask("ps -a --format {{.Status}}").out == "Created\n"
    assert ask("network create notyet").code == 0
    assert ask("start cc") == (0, "cc\n", "")
    assert ask(state).out == "running 0 \n"
    assert ask("rm -f cc").code == 0
    assert ask("network rm notyet").code == 0


# ------------------------------------------------------------------ interrupts


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [
    ("wait", "cc"), ("events",), ("logs", "-f", "cc"), ("restart", "-t", "600", "cc"),
    ("stop", "-t", "-1", "cc"), ("stats", "cc"),
])  # fmt: skip
def test_security_9_what_never_ends_is_interrupted_at_once(
    ask: Ask, engine: Engine, words: tuple[str, ...], sent: signal.Signals, code: int
) -> None:
    """As Docker's client 28: with these exit codes, and without a word."""
    ask("run -d --name cc busybox sh -c", "trap '' TERM; sleep 1000")
    assert _interrupted(engine, words, sent) == (code, b"")
    assert engine.containers.get("cc").status is Status.RUNNING


def test_security_9_an_attachment_without_signals_is_left(ask: Ask, engine: Engine) -> None:
    ask("run -d --name cc busybox sh -c", "while :; do echo x; sleep 0.1; done")
    words = ("attach", "--sig-proxy=false", "--no-stdin", "cc")
    assert _interrupted(engine, words, signal.SIGTERM) == (143, b"")
    assert engine.containers.get("cc").status is Status.RUNNING


def test_security_9_an_attachment_passes_signals_on(ask: Ask, engine: Engine) -> None:
    ask("run -d --name cc busybox sh -c", "trap 'exit 7' TERM; while :; do echo x; sleep 0.1; done")
    assert _interrupted(engine, ("attach", "--no-stdin", "cc"), signal.SIGTERM) == (7, b"")


def _interrupted(
    engine: Engine, words: tuple[str, ...], sent: signal.Signals
) -> tuple[int | None, bytes]:
    """The exit code and standard error of a command line that gets a signal while it waits."""
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)}
    with subprocess.Popen(
        [sys.executable, "-m", "dockmagic", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        if words[0] == "attach":
            assert process.stdout is not None
            assert process.stdout.read(1) == b"x"
        else:
            assert eventually(lambda: _waits(process.pid))
        process.send_signal(sent)
        _, err = process.communicate(timeout=20)
    return process.returncode, err


def _waits(pid: int) -> bool:
    """Whether the command has opened the engine and sleeps in a system call."""
    try:
        files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "S" and any(name.endswith("state.db") for name in files)
