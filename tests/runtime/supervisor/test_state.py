from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dockmagic_runtime.store import locks
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.supervisor.state import State


def test_a_container_that_was_never_started_is_created(tmp_path: Path) -> None:
    assert state.read(str(tmp_path), str(tmp_path)) == State()


def test_a_change_leaves_the_rest(tmp_path: Path) -> None:
    state.write(str(tmp_path), State(status="running", pid=7, ports=(("", 80, 80, "tcp"),)))
    state.change(str(tmp_path), health="healthy")
    assert state.load(str(tmp_path)) == State(
        status="running", pid=7, health="healthy", ports=(("", 80, 80, "tcp"),)
    )
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize("status", ["running", "paused", "restarting"])
def test_a_state_of_life_without_a_lock_is_lost(tmp_path: Path, status: str) -> None:
    state.write(str(tmp_path), State(status=status, pid=7, ip_address="172.17.0.2"))
    ready = state.read(str(tmp_path), str(tmp_path))
    assert (ready.status, ready.exit_code, ready.pid, ready.lost) == ("exited", 137, 0, True)
    assert (ready.ip_address, ready.error) == ("", "the supervisor of this container was killed")


def test_a_supervisor_that_said_why_it_fails_is_believed(tmp_path: Path) -> None:
    state.write(str(tmp_path), State(status="running", error="the supervisor failed: x"))
    assert state.read(str(tmp_path), str(tmp_path)).error == "the supervisor failed: x"


def test_a_state_of_life_with_a_lock_is_believed(tmp_path: Path) -> None:
    state.write(str(tmp_path), State(status="running", pid=7))
    with locks.held(str(tmp_path / "lock")):
        assert state.read(str(tmp_path), str(tmp_path)).status == "running"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_is_no_error_of_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    state.write(str(tmp_path), State(status="running"))
    monkeypatch.setattr(state, "write", refuse)
    state.note(str(tmp_path), {}, health="healthy")
    with pytest.raises(OSError, match=os.strerror(number)):
        state.change(str(tmp_path), health="healthy")


def test_other_errors_of_a_note_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "denied")

    monkeypatch.setattr(state, "write", refuse)
    with pytest.raises(OSError, match="denied"):
        state.note(str(tmp_path), {}, health="healthy")
