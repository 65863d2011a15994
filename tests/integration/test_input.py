"""Standard input for programs that do not read it: they end as they would without any."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec

from .conftest import collect
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

# more than the pipe, the sockets and the supervisor take while the program does not read
MUCH = b"x" * (8 << 20)


def command(engine: Engine, *words: str, stdin: bytes = MUCH) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "dockmagic", *words],
        env={**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)},
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "program", ["exit 0", "head -c 10 >/dev/null; exit 3", "sleep 0.2; exit 4"]
)
def test_command_line_16_run_bears_a_program_that_does_not_read(
    engine: Engine, program: str
) -> None:
    ended = command(engine, "run", "-i", "--rm", "busybox", "sh", "-c", program)
    assert ended == (int(program[-1]), b"", b"")


@pytest.mark.parametrize(
    "program", ["exit 0", "head -c 10 >/dev/null; exit 3", "sleep 0.2; exit 4"]
)
def test_command_line_16_exec_bears_a_program_that_does_not_read(
    engine: Engine, program: str
) -> None:
    spec = ContainerSpec(image="busybox", command=("sleep", "1000"), name="web")
    engine.containers.run(spec, detach=True)
    assert command(engine, "exec", "-i", "web", "sh", "-c", program) == (int(program[-1]), b"", b"")


def test_command_line_16_attach_bears_a_program_that_ends(engine: Engine) -> None:
    spec = ContainerSpec(
        image="busybox",
        command=("sh", "-c", "head -c 10 >/dev/null; exit 5"),
        name="web",
        open_stdin=True,
    )
    engine.containers.run(spec, detach=True)
    assert command(engine, "attach", "web") == (5, b"", b"")


def test_command_line_16_start_bears_a_program_that_does_not_read(engine: Engine) -> None:
    spec = ContainerSpec(image="busybox", command=("true",), name="web", open_stdin=True)
    engine.containers.create(spec)
    assert command(engine, "start", "-ai", "web") == (0, b"", b"")


def test_command_line_16_a_standard_input_that_is_closed_is_empty(engine: Engine) -> None:
    line = f"exec {sys.executable} -m dockmagic run -i --rm busybox cat <&-"
    done = subprocess.run(
        ["sh", "-c", line],
        env={**os.environ, "DOCKMAGIC_ROOT": str(engine.data_root.root)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_is_sent_to_an_exec_that_has_ended_is_not_for_the_program(engine: Engine) -> None:
    spec = ContainerSpec(
        image="busybox", command=("cat",), name="web", open_stdin=True, stop_signal="USR1"
    )
    engine.containers.run(spec, detach=True)
    process = engine.containers.exec("web", ExecSpec(command=("true",), open_stdin=True))
    assert list(process.output()) == []
    process.write(b"for nobody\n")
    process.signal("KILL")
    process.resize(10, 10)
    process.close_stdin()
    process.close()
    program = engine.containers.attach("web")
    program.write(b"for the program\n")
    assert next(iter(program.output())) == ("stdout", b"for the program\n")
    program.detach()
    logged = b"".join(line.text for line in engine.containers.logs("web"))
    assert logged == b"for the program\n"
    assert eventually(
        lambda: collect(engine.containers.exec("web", ExecSpec(command=("true",)))).code == 0
    )
