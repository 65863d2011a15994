"""CVE-2016-9962's class: what a container with CAP_SYS_PTRACE sees of a process that enters it.

That capability opens /proc/PID/root and /proc/PID/fd of processes that are not dumpable, too, and
lets its holder take over a process with all the privileges that it has at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec

from .conftest import log

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(180)]

# what lies behind every link of every process that is not busybox, and its capabilities
LOOK = """
while :; do
    for p in /proc/[0-9]*; do
        case $(readlink $p/exe) in */busybox|'') continue ;; esac
        [ -e $p/root/{secret} ] && echo root
        [ -e $p/cwd/{secret} ] && echo cwd
        for f in $p/fd/*; do [ -e $f/{secret} ] && echo fd; done
        while read -r name value; do
            case $name in CapPrm:|CapEff:) echo $name $value ;; esac
        done < $p/status
    done
done 2>/dev/null
"""
KEPT = 0xA80C25FB  # Docker's 14 and CAP_SYS_PTRACE
ROUNDS = 40


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text("x")
    return str(path)


def spec(name: str, *command: str, **fields: object) -> ContainerSpec:
    return ContainerSpec(image="busybox", command=command, name=name, **fields)  # type: ignore[arg-type]


def watcher(secret: str, **fields: object) -> ContainerSpec:
    script = LOOK.format(secret=secret.lstrip("/"))
    return spec("watch", "sh", "-c", script, cap_add=("SYS_PTRACE",), **fields)


def by_exec(engine: Engine) -> None:
    engine.containers.exec("watch", ExecSpec(command=("true",))).wait()


def by_exec_with_a_terminal(engine: Engine) -> None:
    engine.containers.exec("watch", ExecSpec(command=("true",), tty=True)).wait()


def by_exec_as_another_user(engine: Engine) -> None:
    engine.containers.exec("watch", ExecSpec(command=("true",), user="1000")).wait()


def by_start_in_its_pid_namespace(engine: Engine) -> None:
    engine.containers.run(
        spec("other", "true", pid_mode="container:watch", auto_remove=True)
    ).wait()


@pytest.mark.parametrize(
    "enter",
    [by_exec, by_exec_with_a_terminal, by_exec_as_another_user, by_start_in_its_pid_namespace],
)
def test_security_ptrace_of_a_process_that_enters_gains_nothing(
    engine: Engine, secret: str, enter: Callable[[Engine], None]
) -> None:
    engine.containers.run(watcher(secret), detach=True)
    for _ in range(ROUNDS):
        enter(engine)
    seen = set(log(engine, "watch").split("\n")) - {""}
    assert {line for line in seen if not line.startswith("Cap")} == set()
    held = [int(line.split()[1], 16) for line in seen]
    assert not any(capabilities & ~KEPT for capabilities in held)
