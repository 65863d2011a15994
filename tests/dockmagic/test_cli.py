"""`main()` with a fake engine: Docker's output on the right stream, Docker's exit codes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic import terminal
from dockmagic.cli import main
from dockmagic.commands.options.detach_keys import parse_keys
from dockmagic.commands.output.result import Attached
from dockmagic.terminal import KeyWatch, raw_terminal
from dockmagic_runtime.errors import InvalidInput, StartFailed
from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.model.times import ago


def test_detached_run_prints_the_full_id(dockmagic: Any) -> None:
    assert dockmagic("run -d --name web httpd") == (0, "01" * 32 + "\n", "")


def test_ps_has_exactly_dockers_columns(dockmagic: Any, engine: Any) -> None:
    dockmagic("run -d --name web -p 9999:80 httpd")
    code, out, _ = dockmagic("ps")
    head, row = out.splitlines()
    up = ago(engine.created["web"].started).removesuffix(" ago")
    created = ago(engine.created["web"].created)
    assert code == 0
    assert head.split("   ")[0] == "CONTAINER ID"
    assert [word.strip() for word in head.split("  ") if word] == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES",
    ]  # fmt: skip
    assert row == (
        f'010101010101   httpd     "httpd-foreground"   {created}   Up {up}   '
        "0.0.0.0:9999->80/tcp   web"
    )


def test_what_a_template_makes_is_a_line_even_if_it_is_empty(dockmagic: Any) -> None:
    assert dockmagic(["ps", "--format", "{{.Mounts}}"]) == (0, "", "")
    dockmagic("run -d --name web httpd")
    assert dockmagic(["ps", "--format", "{{.Mounts}}"]) == (0, "\n", "")


def test_quiet_prints_ids_only(dockmagic: Any) -> None:
    dockmagic("create --name one httpd")
    dockmagic("run -d --name two httpd")
    assert dockmagic("ps -a -q") == (0, "020202020202\n010101010101\n", "")
    assert dockmagic("ps -q") == (0, "020202020202\n", "")
    assert dockmagic("ps -l -q --no-trunc") == (0, "02" * 32 + "\n", "")
    assert dockmagic("ps -aqn 1") == (0, "020202020202\n", "")
    assert dockmagic("images -q") == (0, "a" * 12 + "\n", "")


def test_ps_orders_and_joins_ports_as_docker_does(dockmagic: Any, engine: Any) -> None:
    """By the container's port. Only what has the same number on both sides becomes a range, which
    comes with its last port; what has another number comes last."""
    published = [
        (8080, 80), (40171, 82), (8083, 83), (8084, 84), (7000, 7000), (7001, 7001), (53, 53),
    ]  # fmt: skip
    ports = [
        PortMapping(container_port=inner, host_port=outer, host_ip=host_ip)
        for host_ip in ("0.0.0.0", "::")
        for outer, inner in published
    ]
    ports.append(PortMapping(container_port=110, host_port=110, host_ip="::1", protocol="udp"))
    dockmagic("run -d --name web httpd")
    exposed = ("443/tcp", "91/tcp", "92/tcp", "92/udp", "80/tcp")
    engine.created["web"] = replace(engine.created["web"], ports=tuple(ports), exposed=exposed)
    assert dockmagic("ps --format {{.Ports}}")[1] == (
        "91-92/tcp, 0.0.0.0:53->53/tcp, [::]:53->53/tcp, "
        "0.0.0.0:7000-7001->7000-7001/tcp, [::]:7000-7001->7000-7001/tcp, 443/tcp, 92/udp, "
        "[::1]:110->110/udp, "
        "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:40171->82/tcp, [::]:40171->82/tcp, "
        "0.0.0.0:8083->83/tcp, [::]:8083->83/tcp, 0.0.0.0:8084->84/tcp, [::]:8084->84/tcp\n"
    )


@pytest.mark.parametrize("line", ["run -d", "run", "create"])
def test_who_publishes_is_told_of_a_firewall_that_drops(
    dockmagic: Any, engine: Any, line: str
) -> None:
    engine.dropped["back"] = "all is lost. To allow it: iptables"
    warning = "WARNING: all is lost. To allow it: iptables"
    networks = "--network front --network back"
    assert warning in dockmagic(f"{line} --name one {networks} -p 80:80 httpd")[2]
    assert warning in dockmagic(f"{line} --name two {networks} -P httpd")[2]
    assert warning not in dockmagic(f"{line} --name three {networks} httpd")[2]
    assert warning not in dockmagic(f"{line} --name four --network front -p 80:80 httpd")[2]


def test_an_empty_listing_is_its_heading(dockmagic: Any) -> None:
    assert dockmagic("ps")[1] == (
        "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
    )


def test_images_table(dockmagic: Any, engine: Any) -> None:
    head, row = dockmagic("images")[1].splitlines()
    assert head.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert row.split()[:3] == ["httpd", "latest", "aaaaaaaaaaaa"]
    assert row.endswith("12.3MB")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["ps", "--format", "{{.Names}}: {{.Image}}"], "web: httpd\n"),
        (["ps", "--format", "table {{.Names}}\\t{{.Label \"a\"}}"], "NAMES     a\nweb       b\n"),
        (["ps", "--filter", "label=a=b", "-q"], "010101010101\n"),
        (["ps", "--filter", "label=a=c", "-q"], ""),
        (["ps", "--filter", "name=we", "-q"], "010101010101\n"),
        (["ps", "--filter", "status=exited", "-q"], ""),
        (["ps", "--filter", "ancestor=httpd", "-q"], "010101010101\n"),
        (["ps", "--filter", "since=web", "-q"], ""),
        (["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"], "httpd:latest aaaaaaaaaaaa\n"),
        (["images", "busybox", "-q"], ""),
        (["images", "htt*", "-q"], "aaaaaaaaaaaa\n"),
        (["inspect", "-f", "{{.State.Status}}", "web"], "running\n"),
        (["inspect", "-f", "{{json .Config.Labels}}", "web"], '{"a":"b"}\n'),
        (["image", "inspect", "-f", "{{len .RepoTags}}", "httpd"], "1\n"),
        (["diff", "web"], "C /etc\nA /etc/motd\nD /srv/<img src=x>\n"),
        (["stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.NetIO}}"],
         "web 12.50% 3MiB / 1GiB 1.5kB / 0B\n"),
        (["wait", "web"], "0\n"),
        (["tag", "httpd", "mine"], ""),
        (["rename", "web", "web2"], ""),
        (["pause", "web"], "web\n"),
        (["info", "-f", "{{.Driver}}"], "overlay2\n"),
        (["history", "-q", "httpd"], "aaaaaaaaaaaa\n<missing>\n"),
    ],
)  # fmt: skip
def test_outputs(dockmagic: Any, line: list[str], expected: str) -> None:
    dockmagic("run -d --name web -l a=b httpd")
    assert dockmagic(line) == (0, expected, "")


def test_foreground_gives_the_containers_code_and_streams(dockmagic: Any, engine: Any) -> None:
    engine.process.code = 42
    engine.process.pieces = [("stdout", b"\xffout"), ("stderr", b"err\n")]
    code = dockmagic("run httpd x")[0]
    assert code == 42


def test_streams_are_kept_apart(session: Any, engine: Any, capfdbinary: Any) -> None:
    engine.process.pieces = [("stdout", b"\xffout\x1b[2J"), ("stderr", b"err\n")]
    main(["run", "httpd", "x"], session)
    assert tuple(capfdbinary.readouterr()) == (b"\xffout\x1b[2J", b"err\n")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("run --nmae x httpd", 125, "unknown flag: --nmae (did you mean --name?"),
        ("run httpd missing", 127, "executable file not found"),
        ("run nope", 125, "pull access denied"),
        ("run -d -a stdout httpd", 1, "conflicting options"),
        ("run", 1, "requires at least 1 argument"),
        ("rm nobody", 1, "No such container: nobody"),
        ("stop nobody", 1, "No such container: nobody"),
        ("frobnicate", 1, "unknown command: docker frobnicate"),
        ("inspect nobody", 1, "No such object: nobody"),
        ("swarm init", 1, "'dockmagic swarm' is not supported yet"),
        ("run -it httpd", 1, "the input device is not a TTY"),
        ("ps --format {{.Nmes}}", 1, "can't evaluate field Nmes"),
        ("build /nowhere", 1, 'path "/nowhere" not found'),
    ],
)
def test_exit_codes(dockmagic: Any, line: str, code: int, message: str) -> None:
    exit_code, _, err = dockmagic(line)
    assert (exit_code, message in err) == (code, True)
    assert err.count("\n") <= 2  # one line, after the notice of a pull


def test_a_wrong_field_of_a_format_is_an_error(dockmagic: Any) -> None:
    dockmagic("run -d httpd")
    code, _, err = dockmagic("ps --format {{.Nmes}}")
    assert code == 1
    assert "did you mean .Names?" in err


def test_what_worked_is_printed_and_what_did_not_is_told(dockmagic: Any) -> None:
    dockmagic("create --name one httpd")
    code, out, err = dockmagic("rm one two")
    assert (code, out, err) == (1, "one\n", "dockmagic: No such container: two\n")


def test_forced_removal_of_nothing_is_no_error(dockmagic: Any) -> None:
    assert dockmagic("rm -f nobody")[0] == 0


def test_pull_prints_lines(dockmagic: Any) -> None:
    assert dockmagic("pull busybox")[1] == (
        "Using default tag: latest\n"
        "latest: Pulling from library/busybox\n"
        "0123456789ab: Pull complete\n"
        "Status: Downloaded newer image for busybox:latest\n"
        "docker.io/library/busybox:latest\n"
    )
    assert dockmagic("pull -q alpine")[1] == "docker.io/library/alpine:latest\n"


def test_run_says_that_it_pulls(dockmagic: Any) -> None:
    code, out, err = dockmagic("run -d -q busybox")
    assert (code, err) == (0, "Unable to find image 'busybox:latest' locally\n")
    assert out == "01" * 32 + "\n"


def test_build_prints_steps(dockmagic: Any, tmp_path: Any, engine: Any) -> None:
    (tmp_path / "Dockerfile").write_text("FROM httpd\nRUN make\n")
    code, out, err = dockmagic(f"build -t site {tmp_path}")
    assert (code, out) == (0, "")  # all of it is progress
    assert "#1 [1/2] FROM httpd\n#1 CACHED\n\n#2 [1/2] RUN make\n" in err
    iid = tmp_path / "iid"
    assert dockmagic(f"build -q --iidfile {iid} {tmp_path}")[1] == f"sha256:{'d' * 64}\n"
    assert iid.read_text() == f"sha256:{'d' * 64}"


def test_build_file_is_found_from_here_or_in_the_context(
    dockmagic: Any, tmp_path: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Other").write_text("FROM scratch\n")
    assert dockmagic("build -f Other sub")[0] == 0
    assert engine.calls[-1][1].dockerfile == "FROM scratch\n"
    code, _, err = dockmagic("build sub")
    assert code == 1
    assert "open Dockerfile: no such file or directory" in err


def test_a_failed_build_fails(dockmagic: Any, tmp_path: Any, engine: Any) -> None:
    (tmp_path / "Dockerfile").write_text("FROM httpd\n")
    engine.build_fails = True
    code, _, err = dockmagic(f"build {tmp_path}")
    assert code == 1
    assert "exit code: 2" in err


def test_cidfile(dockmagic: Any, tmp_path: Any) -> None:
    file = tmp_path / "cid"
    dockmagic(f"run -d --cidfile {file} httpd")
    assert file.read_text() == "01" * 32
    code, _, err = dockmagic(f"run -d --cidfile {file} httpd")
    assert (code, "container ID file found" in err) == (125, True)


def test_command_line_3_the_cidfile_is_created_before_anything_else(
    dockmagic: Any, engine: Any, tmp_path: Any
) -> None:
    code, _, err = dockmagic("run --cidfile /nosuch/dir/cid httpd echo ran")
    assert (code, len(engine.containers.list())) == (127, 0)
    assert "failed to create the container ID file: open /nosuch/dir/cid: no such file" in err
    assert dockmagic("create --cidfile /nosuch/dir/cid httpd")[0] == 1
    assert dockmagic(["run", "--cidfile", "a" * 300, "httpd"])[0] == 125
    file = tmp_path / "cid"
    assert dockmagic(f"run --cidfile {file} --restart on-failure:x httpd")[0] == 125
    assert not file.exists()


def test_command_line_9_a_container_that_cannot_start_has_an_id_all_the_same(
    dockmagic: Any, engine: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(spec: Any, *, detach: bool = False) -> Any:
        error = StartFailed("no such program", exit_code=127)
        error.container_id = "7" * 64
        raise error

    monkeypatch.setattr(engine.containers, "run", run)
    for flag, out in (("-d", "7" * 64 + "\n"), ("--rm", "")):
        file = tmp_path / f"cid{flag}"
        code, said, _ = dockmagic(f"run {flag} --cidfile {file} httpd nosuch")
        assert (code, said, file.read_text()) == (127, out, "7" * 64)


def test_command_line_10_login_without_a_terminal_is_one_line(
    dockmagic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, out, err = dockmagic("login -u a")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "Cannot perform an interactive login from a non TTY device" in err


def test_command_line_14_forced_removal_of_nothing_writes_nothing(dockmagic: Any) -> None:
    assert dockmagic("rm -f nosuch")[:2] == (0, "")
    assert dockmagic("rm nosuch")[:2] == (1, "")


def test_logs_go_to_their_streams(dockmagic: Any) -> None:
    dockmagic("run -d --name web httpd")
    code, out, err = dockmagic("logs -t web")
    assert code == 0
    assert out.startswith("2026-01-01T00:00:00Z \x1b[31mred")
    assert err == "2026-01-01T00:00:01Z <script>alert(1)</script>\n"
    assert dockmagic("logs -n 1 web")[1:] == ("", "<script>alert(1)</script>\n")
    assert dockmagic("logs -f --tail=all web")[0] == 0


def test_help(dockmagic: Any) -> None:
    code, out, _ = dockmagic("run --help")
    assert (code, out.splitlines()[0]) == (
        0, "Usage:  dockmagic run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    )  # fmt: skip
    assert "Commands:" in dockmagic("--help")[1]


def test_help_of_a_group_tells_each_verb_once(dockmagic: Any) -> None:
    lines = dockmagic("network --help")[1].splitlines()
    assert "  ls          List networks" in lines
    assert not [line for line in lines if line.startswith(("  list", "  remove"))]


def test_signals_are_passed_on(session: Any, engine: Any) -> None:
    engine.process.waits_for, engine.process.pieces = "SIGTERM", []
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert main(["run", "httpd", "sleep"], session) == 0
    timer.join()
    assert engine.process.signals == ["SIGTERM"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_keys_that_detach() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("a,ctrl-[") == b"a\x1b"
    assert parse_keys("") == b""
    with pytest.raises(InvalidInput, match=r"invalid detach keys \(ctrl-pp\) provided"):
        parse_keys("ctrl-pp")


@pytest.mark.parametrize("size", [1, 2, 100])
def test_detaching_is_seen_however_the_keys_arrive(size: int) -> None:
    typed = b"ab\x10c\x10\x10\x11later"
    watch = KeyWatch(parse_keys("ctrl-p,ctrl-q"))
    passed = b"".join(watch.feed(typed[i : i + size]) for i in range(0, len(typed), size))
    assert watch.found
    assert passed == b"ab\x10c\x10"


def test_without_keys_everything_passes() -> None:
    watch = KeyWatch(b"")
    assert watch.feed(b"\x10\x11") == b"\x10\x11"
    assert not watch.found


@pytest.fixture
def tty() -> Any:
    """A terminal as the process's standard input: its other end."""
    ours, theirs = pty.openpty()
    saved = os.dup(0)
    os.dup2(theirs, 0)
    replaced, sys.stdin = sys.stdin, os.fdopen(os.dup(theirs), "r")
    try:
        yield ours
    finally:
        sys.stdin.close()
        sys.stdin = replaced
        os.dup2(saved, 0)
        for fd in (saved, ours, theirs):
            os.close(fd)


def _fail_in_raw_mode() -> None:
    with raw_terminal(0):
        assert not termios.tcgetattr(0)[3] & termios.ICANON
        raise RuntimeError


def test_raw_mode_is_left_whatever_happens(tty: int) -> None:
    before = termios.tcgetattr(0)
    with pytest.raises(RuntimeError):
        _fail_in_raw_mode()
    assert termios.tcgetattr(0)[3] == before[3]


def _type_when_raw(tty: int, keys: bytes) -> None:
    while termios.tcgetattr(0)[3] & termios.ICANON:
        time.sleep(0.002)
    os.write(tty, keys)


def test_a_terminal_session_and_its_end_by_keys(
    tty: int, engine: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.process.waits_for, engine.process.pieces = "never", []
    typist = threading.Thread(target=_type_when_raw, args=(tty, b"ls\x10\x11"))
    typist.start()
    finished = terminal.attach(Attached(engine.process, "web", tty=True, stdin=True))
    typist.join()
    assert (finished.detached, finished.exit_code) == (True, 0)
    assert bytes(engine.process.stdin) == b"ls"
    assert engine.process.detached
    assert termios.tcgetattr(0)[3] & termios.ICANON


def test_command_line_12_leaving_an_exec_or_attach_by_keys_fails(
    tty: int, engine: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.process.waits_for, engine.process.pieces = "never", []
    typist = threading.Thread(target=_type_when_raw, args=(tty, b"\x10\x11"))
    typist.start()
    attached = Attached(engine.process, "web", tty=True, stdin=True, detach_code=1)
    assert terminal.attach(attached).exit_code == 1
    typist.join()
    assert capfd.readouterr().err == "read escape sequence\n"


def test_a_closed_reader_is_no_traceback() -> None:
    program = "import sys; from dockmagic.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    time.sleep(0)
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


def test_a_light_command_imports_no_notebook() -> None:
    program = (
        "import sys\n"
        "from dockmagic.cli import main\n"
        "main(['--help'])\n"
        "heavy = {'IPython', 'ipywidgets', 'anywidget', 'traitlets', 'argparse', 'asyncio'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_stats_in_a_terminal_are_redrawn_in_place(
    session: Any, engine: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["run", "-d", "--name", "web", "httpd"], session)
    capsys.readouterr()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    def ended_after_the_second(_: float) -> None:
        if "\x1b[H" in (shown := capsys.readouterr().out):
            tables.append(shown)
        if len(tables) == 2:
            engine.created.clear()

    tables: list[str] = []
    monkeypatch.setattr("dockmagic.commands.container.stats.time.sleep", ended_after_the_second)
    assert main(["stats", "web"], session) == 0
    assert tables[0].startswith("\x1b[2J\x1b[H")
    assert tables[1].startswith("\x1b[H")
    assert tables[1].endswith("\x1b[K\n\x1b[J")
    assert main(["stats", "--no-stream", "nobody"], session) == 1
