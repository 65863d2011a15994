"""Finding the pipes of a program again, whatever it has made of its descriptors."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from dockmagic_runtime.cgroups.none import NoCgroup
from dockmagic_runtime.linux.processes import start_of
from dockmagic_runtime.sandbox.cgroup_operations import CGROUP
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.store.container_process import Program
from dockmagic_runtime.supervisor import takeover
from dockmagic_runtime.testing.fake_linux import FakeLinux


class Group:
    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def pids(self) -> tuple[int, ...]:
        return self._pids


class Processes:
    """Each with the pipes that were made so far, under the numbers that are asked for."""

    def __init__(self) -> None:
        self._pids: list[int] = []
        self.pipe = os.pipe()
        self.inode = os.fstat(self.pipe[1]).st_ino

    def start(self, *numbers: int) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, self.pipe[1], number) for number in numbers]
        pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, file_actions=actions)
        self._pids.append(pid)
        return pid

    def program(self, pid: int) -> Program:
        return Program(pid=pid, started=start_of(pid), pipes={"stdout": self.inode})

    def close(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for fd in self.pipe:
            os.close(fd)


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


def outputs_found(program: Program, cgroup: Any = None) -> list[str]:
    context = Context(FakeLinux())
    if cgroup is not None:
        CGROUP.put(context.slots, cgroup)
    pipes = takeover._outputs(program, context)
    for fd in pipes:
        assert not os.get_inheritable(fd)
        assert os.fstat(fd).st_ino == program.pipes["stdout"]
        os.close(fd)
    return list(pipes.values())


def test_a_pipe_is_found_where_a_process_of_the_group_has_it(processes: Processes) -> None:
    first, second = processes.start(), processes.start(7)
    program = processes.program(first)
    assert outputs_found(program, cgroup=Group(first)) == []
    assert outputs_found(program, cgroup=Group(first, second)) == ["stdout"]
    assert outputs_found(processes.program(second)) == ["stdout"]


def test_processes_that_have_just_ended_are_passed_over(processes: Processes) -> None:
    program = processes.program(processes.start())
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    assert outputs_found(program, cgroup=Group(ended, processes.start(7))) == ["stdout"]


def test_what_may_not_be_looked_into_is_passed_over(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    program = processes.program(processes.start(7))
    for name in ("scandir", "readlink"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            assert outputs_found(program) == []


def test_without_groups_the_program_alone_is_asked(processes: Processes) -> None:
    assert outputs_found(processes.program(processes.start()), cgroup=NoCgroup()) == []
    assert outputs_found(processes.program(processes.start(7)), cgroup=NoCgroup()) == ["stdout"]


def test_no_number_of_descriptors_keeps_us(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    readlink = os.readlink

    def counted(path: str) -> str:
        looks.append(path)
        return readlink(path)

    program = processes.program(processes.start(*range(3, 53)))
    hidden = Program(pid=program.pid, started=program.started, pipes={"stdout": 1})
    monkeypatch.setattr(takeover, "_LOOKS", 20)
    monkeypatch.setattr(os, "readlink", counted)
    assert outputs_found(hidden, cgroup=Group(*[program.pid] * 1000)) == []
    assert len(looks) == 20


def test_what_was_put_in_the_place_of_a_pipe_is_not_opened(processes: Processes) -> None:
    pid = processes.start(7)
    assert takeover._open(f"/proc/{pid}/fd/7", "pipe:[1]") is None
    assert takeover._open(f"/proc/{pid}/fd/8", f"pipe:[{processes.inode}]") is None
    before = os.listdir("/proc/self/fd")
    assert takeover._open(f"/proc/{pid}/fd/7", "pipe:[1]") is None
    assert os.listdir("/proc/self/fd") == before
