"""A client of a supervisor that is about to leave: played by a socket that never accepts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dockmagic_runtime.errors import Conflict, StartFailed
from dockmagic_runtime.supervisor.handle import Process


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        yield listener


def test_waiting_for_one_that_leaves_unheard_tells_that_it_was_lost(
    leaving: socket.socket, tmp_path: Path
) -> None:
    with closing(Process.connect(str(tmp_path), "c")) as process:
        leaving.close()
        assert process.wait() == 137
        assert process.was_lost


def test_starting_in_one_that_leaves_unheard_is_a_failed_start(
    leaving: socket.socket, tmp_path: Path
) -> None:
    process = Process.connect(str(tmp_path), "c")
    leaving.close()
    with pytest.raises(StartFailed, match="ended before the container ran"):
        process.await_start()


def test_one_that_has_left_is_a_conflict(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="is not running"):
        Process.connect(str(tmp_path), "c")
