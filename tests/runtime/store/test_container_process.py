"""Whether a container is alive, by the lock and by the note of its program."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.linux.processes import start_of
from dockmagic_runtime.store import container_process, locks
from dockmagic_runtime.store.container_process import Program


@pytest.fixture
def program() -> Iterator[Program]:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
    yield Program(pid=pid, started=start_of(pid), pipes={"stdout": 7})
    if start_of(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def end(program: Program) -> None:
    os.kill(program.pid, signal.SIGKILL)
    os.waitpid(program.pid, 0)


def test_without_lock_and_note_nothing_is_alive(tmp_path: Path) -> None:
    assert not container_process.is_alive(str(tmp_path))
    assert not container_process.is_alive(str(tmp_path / "missing"))


def test_a_held_lock_is_life_whatever_is_noted(tmp_path: Path) -> None:
    with locks.held(str(tmp_path / "lock")):
        assert container_process.has_supervisor(str(tmp_path))
        assert container_process.is_alive(str(tmp_path))
    assert not container_process.is_alive(str(tmp_path))


def test_a_noted_program_is_a_survivor_as_long_as_it_runs(tmp_path: Path, program: Program) -> None:
    container_process.write_record(str(tmp_path), program)
    assert os.listdir(tmp_path) == ["program.json"]
    assert container_process.survivor(str(tmp_path)) == program
    assert container_process.is_alive(str(tmp_path))
    end(program)
    assert container_process.read_record(str(tmp_path)) == program
    assert container_process.survivor(str(tmp_path)) is None


def test_another_process_with_the_number_is_no_survivor(tmp_path: Path, program: Program) -> None:
    earlier = Program(pid=program.pid, started=program.started - 1, pipes={})
    container_process.write_record(str(tmp_path), earlier)
    assert container_process.survivor(str(tmp_path)) is None


def test_it_is_ended_once_or_twice(tmp_path: Path, program: Program) -> None:
    container_process.kill(str(tmp_path))
    container_process.write_record(str(tmp_path), program)
    container_process.kill(str(tmp_path))
    assert os.waitpid(program.pid, 0)[1] == signal.SIGKILL
    container_process.kill(str(tmp_path))
    assert container_process.survivor(str(tmp_path)) is None
