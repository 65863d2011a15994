"""The magics and the command line on the real engine."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from dockmagic.cli import main
from dockmagic.errors import ContainerExitError
from dockmagic.magics.streams import Streams

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.fixture
def engine(stocked_engine: Any) -> Any:
    """In place of the fake one: `session`, `shell` and `run` take what this gives."""
    return stocked_engine


def await_log(engine: Any, name: str, text: bytes) -> None:
    """Read its log as it grows, up to the line that says so."""
    assert any(text in line.text for line in engine.containers.logs(name, follow=True))


def test_the_way_of_a_first_notebook(run: Any, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>mine</h1>")
    source = (
        "%%dockerfile -t mysite\n"
        "FROM httpd\n"
        "LABEL maintainer=me\n"
        "COPY site/ /usr/local/apache2/htdocs/\n"
        "RUN echo built > /built\n"
    )
    assert repr(run(source).value) == "mysite:latest  3 steps"
    again = [row for row in run(source).value.rows() if row["instruction"]]
    assert again
    assert all(row["cached"] for row in again)
    cell = run("site = %docker run -d -p 127.0.0.1:0:80 --name site mysite\nsite")
    assert cell.error is None
    site = cell.value
    try:
        await_log(engine, "site", b"resuming normal operations")
        for address in (f"localhost:{site.ports['80/tcp']}", site.ip_address):
            with urllib.request.urlopen(f"http://{address}/") as page:
                assert page.read() == b"<h1>mine</h1>"
        run("%exec site sh -c 'echo two > /usr/local/apache2/htdocs/index.html; rm /built'")
        changes = run("%diff site").value
        assert {"/built", "/usr/local/apache2/htdocs/index.html"} <= {
            c.path for c in changes.changes
        }
        assert run("%stats site").value[0].memory_bytes > 0
        assert '"GET / HTTP/1.1" 200' in site.logs()
        assert "site" in repr(run("%ps").value)
    finally:
        run("%docker rm -f site")
    assert repr(run("%docker ps -a").value).count("\n") == 0


def test_foreground_codes_and_streams(run: Any) -> None:
    cell = run("%run_container --rm busybox sh -c 'echo out; echo err >&2; exit 4'")
    assert isinstance(cell.error, ContainerExitError)
    assert (cell.stdout, cell.stderr, cell.error.exit_code) == ("out\n", "err\n", 4)
    assert run("%docker run --rm busybox nope").error.exit_code == 127
    assert run("%docker run --rm busybox /etc").error.exit_code == 126
    assert run("%docker ps -a").value.items == ()


def test_an_interrupt_leaves_nothing_behind(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write, seen = Streams.write, bytearray()

    def interrupted(self: Streams, stream: str, data: bytes, **options: Any) -> None:
        first = not seen
        seen.extend(data)
        write(self, stream, data, **options)
        if first:
            raise KeyboardInterrupt

    monkeypatch.setattr(Streams, "write", interrupted)
    script = "trap 'echo bye; exit 7' INT; echo start; while :; do sleep 0.02; done"
    cell = run(f'%docker run --rm busybox sh -c "{script}"')
    assert isinstance(cell.error, KeyboardInterrupt)
    assert cell.stdout == "start\nbye\n"
    assert run("%docker ps -a").value.items == ()


def test_a_cell_is_standard_input(run: Any) -> None:
    assert run("%%run_container --rm busybox sh\necho $((6 * 7))\n").stdout == "42\n"
    assert run("%%run_container --rm -t busybox cat\nhello\n").stdout.count("hello") == 2


def test_a_terminal_of_its_own_ends_with_its_input(run: Any) -> None:
    cell = run("%docker run -it --rm busybox sh")
    assert cell.error is None


@pytest.mark.parametrize(
    ("line", "code"), [("run --rm busybox true", 0), ("run --rm busybox sh -c 'exit 9'", 9)]
)
def test_exit_codes_of_the_command_line(session: Any, line: str, code: int) -> None:
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line)]
    assert main(words, session) == code


def test_a_terminal_session(engine: Any) -> None:
    """`run -it` under a terminal of a known size; what is typed arrives, the code comes back."""
    line = [sys.executable, "-m", "dockmagic", "run", "--rm", "-it", "busybox", "sh"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)}
    environment.pop("COLUMNS", None)
    environment.pop("LINES", None)
    before = termios.tcgetattr(ours)
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)  # so that reading ends when the command does, whatever it said
    shown = read_until(ours, b"# ")
    os.write(ours, b"stty size; exit 5\n")
    shown += read_until(ours, b"never")
    assert process.wait() == 5, shown
    assert termios.tcgetattr(ours) == before
    os.close(ours)
    assert b"33 77" in shown


def read_until(fd: int, text: bytes) -> bytes:
    """What a terminal shows up to `text`, or to its end."""
    shown = b""
    while text not in shown:
        try:
            shown += os.read(fd, 4096)
        except OSError:
            break
    return shown


def test_keys_that_detach_leave_it_running_with_its_address(engine: Any, run: Any) -> None:
    line = [sys.executable, "-m", "dockmagic", "run", "--rm", "-it", "--name", "shell", "busybox"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)}
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    read_until(ours, b"# ")
    os.write(ours, b"\x10\x11")
    assert process.wait() == 0
    os.close(ours)
    container = engine.containers.get("shell")
    assert container.status.is_alive
    assert container.ip_address
    run("%docker rm -f shell")


def test_attach_draws_the_prompt_again_and_sees_the_end(engine: Any, run: Any) -> None:
    run("%docker run -dit --name shell busybox")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)}
    line = [sys.executable, "-m", "dockmagic", "attach", "shell"]
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    assert b"# " in read_until(ours, b"# ")
    os.write(ours, b"exit 6\n")
    read_until(ours, b"never")
    assert process.wait() == 6
    os.close(ours)


def test_attach_in_a_cell_shows_what_is_written_to_the_end(
    engine: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "until [ -e /go ]; do sleep 0.02; done; echo went; exit 4"
    run(f"%docker run -d --name slow busybox sh -c '{script}'")
    attach = engine.containers.attach

    def attach_and_go(name: str) -> Any:
        process = attach(name)
        run("%exec slow touch /go")
        return process

    monkeypatch.setattr(engine.containers, "attach", attach_and_go)
    cell = run("%docker attach slow")
    assert isinstance(cell.error, ContainerExitError)
    assert (cell.stdout, cell.error.exit_code) == ("went\n", 4)


def test_explain_tells_what_was_really_done(run: Any) -> None:
    cell = run("made = %explain run --rm -m 64m -p 127.0.0.1:0:80 busybox echo hello\nmade")
    assert cell.error is None
    assert "hello\n" in cell.stdout
    done = {who: [step.name for step in cell.value.lane(who)] for who in ("start process", "child")}
    assert "LimitResources" in done["start process"]
    assert done["child"].index("MountOverlay") < done["child"].index("PivotRoot")
    assert "PublishPorts" in repr(cell.value)
    assert all(step.seconds >= 0 for step in cell.value.steps)
    again = run("%explain run --rm -m 64m -p 127.0.0.1:0:80 busybox echo hello")
    assert repr(again.value) == repr(cell.value)


def test_explain_looks_back_at_the_last_start(run: Any) -> None:
    run("%docker run --name one busybox true")
    explanation = run("%explain --calls one").value
    assert "pivot_root" in str(explanation)
    assert repr(explanation).splitlines()[-1].split() == ["program", "true"]


def test_events_tell_the_life_of_a_container(run: Any, session: Any, capfd: Any) -> None:
    run("%docker run --rm --name web busybox true")
    actions = [row["action"] for row in run("%events -f container=web -f type=container").value]
    assert actions[:2] == ["create", "attach"] or actions[:2] == ["create", "start"]
    assert actions[-1] == "destroy"
    capfd.readouterr()
    line = ["events", "--since", "1h", "--until", "0s", "-f", "event=die", "--format"]
    assert main([*line, "{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}"], session) == 0
    assert capfd.readouterr().out == "web 0\n"


def test_flags_of_run_reach_the_container(run: Any, engine: Any) -> None:
    """One flag of each kind that was new to the spec, seen from inside or in inspect."""
    line = (
        "--init --restart on-failure:2 --health-cmd true --health-interval 50ms "
        "--device /dev/null:/dev/mine:r --oom-score-adj 500 --uts host --annotation a=b "
        "--log-opt max-size=1m --log-opt max-file=2 --device-cgroup-rule 'c 1:11 r' "
        "--stop-signal INT --stop-timeout 0 --cgroupns host --security-opt no-new-privileges:true"
    )
    assert run(f"%docker run -d --name web {line} busybox sleep 300").error is None
    inside = run(
        "%exec web sh -c 'ls /dev/mine; cat /proc/1/oom_score_adj; cat /proc/1/comm; hostname; "
        "grep NoNewPrivs /proc/self/status'"
    )
    mine, score, init, hostname, privileges = inside.value.stdout.splitlines()
    assert (mine, score, hostname) == ("/dev/mine", "500", os.uname().nodename)
    assert init != "sleep"
    assert privileges.split() == ["NoNewPrivs:", "1"]
    config = engine.containers.inspect("web")["HostConfig"]
    assert config["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert config["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}
    listed = [row["status"] for row in run("%docker ps -f name=web").value.rows()]
    assert listed == ["running"]
    run("%docker rm -f web")


def test_health_is_seen_in_ps(run: Any, engine: Any) -> None:
    run(
        "web = %docker run -d --name web --health-cmd true --health-interval 20ms busybox sleep 300"
    )
    events = engine.system.events(since=1, filters={"event": ["health_status"]}, follow=True)
    assert next(iter(events)).action == "health_status: healthy"
    assert "(healthy)" in str(run("%docker ps --format {{.Status}}").value)
    assert run("web.health").value == "healthy"
    run("%docker rm -f web")


def test_restart_and_update(run: Any, engine: Any) -> None:
    run("web = %docker run -d --name web busybox sleep 300")
    before = engine.containers.get("web").started
    assert run("%docker restart -t 0 web").error is None
    assert engine.containers.get("web").started > before
    assert run("%docker update -m 32m --memory-swap -1 --restart unless-stopped web").error is None
    host_config = engine.containers.inspect("web")["HostConfig"]
    assert (host_config["Memory"], host_config["RestartPolicy"]["Name"]) == (
        32 << 20,
        "unless-stopped",
    )
    assert "32MiB" in str(run("%docker stats --no-stream web").value)
    assert "Minimum memory limit allowed is 6MB" in run("%docker update -m 1m web").traceback[0]
    run("%docker rm -f web")


def test_trace_tells_every_operation_of_a_start_and_leaves_the_output_alone(
    session: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main("--trace run --rm busybox echo hello".split(), session) == 0
    out, err = capfd.readouterr()
    assert out == "hello\n"
    first, start, heading, *rows, last = err.splitlines()
    assert first.endswith(" to open the Docker area")
    assert " ms to start " in start
    assert heading.split() == ["WHEN", "TOOK", "WHO", "CALLS", "OPERATION"]
    assert last.endswith(" for the command, until its last output")
    assert {"start", "child", "network"} <= {word for row in rows for word in row.split()}
    for text in ("create the control group", "execute the program: echo hello"):
        assert any(text in row for row in rows)


def test_a_command_that_starts_nothing_is_traced_too(
    session: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--trace", "ps"], session) == 0
    assert len(capfd.readouterr().err.splitlines()) == 2
