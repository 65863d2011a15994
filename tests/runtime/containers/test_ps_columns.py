"""ps(1)'s columns: the options that are understood, and the same words as the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from dockmagic_runtime.containers.inspect import ps_columns
from dockmagic_runtime.containers.inspect.processes import read_process
from dockmagic_runtime.errors import InvalidInput, Unsupported


def headings(*words: str) -> str:
    return " ".join(column.heading for column in ps_columns.columns(words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-ef"], "UID PID PPID C STIME TTY TIME CMD"),
        (["-f"], "UID PID PPID C STIME TTY TIME CMD"),
        (["-e"], "PID TTY TIME CMD"),
        (["aux"], "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        (["-aux"], "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        (["ax"], "PID TTY STAT TIME COMMAND"),
        (["-o", "pid,comm"], "PID COMMAND"),
        (["-opid,ppid"], "PID PPID"),
        (["-eo", "pid,args"], "PID COMMAND"),
        (["-o", "pid", "-o", "cmd"], "PID CMD"),
        (["-o", "pid=ID,comm="], "ID "),
        (["--format=pid,user"], "PID USER"),
        (["--format", "pid"], "PID"),
    ],
)
def test_options_choose_columns(words: list[str], expected: str) -> None:
    assert headings(*words) == expected


def test_what_ps_does_not_know_is_told_in_its_words() -> None:
    with pytest.raises(InvalidInput, match='unknown user-defined format specifier "nope"'):
        ps_columns.columns(["-o", "pid,nope"])
    with pytest.raises(InvalidInput, match="format specification must follow -o"):
        ps_columns.columns(["-o"])


@pytest.mark.parametrize("words", [["--sort=pid"], ["-Z"], ["-C", "sh"], ["-p", "1"]])
def test_what_is_not_understood_is_never_ignored(words: list[str]) -> None:
    with pytest.raises(Unsupported, match="docker top knows no ps option"):
        ps_columns.columns(words)


STEADY = "pid ppid pgid sid user uid group gid comm args tty tname lstart ni nlwp euser ruser"


@pytest.mark.skipif(shutil.which("ps") is None, reason="optional: no ps(1) to compare with")
@pytest.mark.parametrize("name", STEADY.split())
def test_columns_say_what_ps_says(name: str) -> None:
    script = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            real = subprocess.run(
                ["ps", "-ww", "-o", f"{name}=", "-p", str(process.pid)],
                capture_output=True, text=True, check=True,
                env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            ).stdout.strip()  # fmt: skip
            info = read_process(process.pid)
            assert info is not None
            (column,) = ps_columns.columns(["-o", name])
            assert column.text(info) == real
            (column,) = ps_columns.columns(["-o", f"{name}=X"])
            assert column.heading == "X"
        finally:
            process.kill()


def test_a_process_that_has_ended_is_nobody() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert read_process(process.pid) is None


def test_a_command_may_have_any_name() -> None:
    script = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') R 1 (', 0, 0, 0); print(flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        info = read_process(process.pid)
        process.kill()
    assert info is not None
    assert (info.command, info.ppid) == (") R 1 (", os.getpid())
