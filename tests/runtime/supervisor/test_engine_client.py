"""A client of a supervisor that is about to leave: played by a socket that never accepts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dockmagic_runtime.errors import Conflict, StartFailed
from dockmagic_runtime.supervisor.engine_client import ContainerProcess


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        yield listener


def test_waiting_for_one_that_leaves_unheard_tells_that_it_was_lost(
    leaving: socket.socket, tmp_path: Path
) -> None:
    with closing(ContainerProcess.connect(str(tmp_path), "c")) as process:
        leaving.close()
        assert process.wait() == 137
        assert process.was_lost


def test_starting_in_one_that_leaves_unheard_is_a_failed_start(
    leaving: socket.socket, tmp_path: Path
) -> None:
    process = ContainerProcess.connect(str(tmp_path), "c")
    leaving.close()
    with pytest.raises(StartFailed, match="ended before the container ran"):
        process.await_start()


def test_one_that_has_left_is_a_conflict(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="is not running"):
        ContainerProcess.connect(str(tmp_path), "c")


@pytest.fixture
def following(tmp_path: Path) -> Iterator[tuple[ContainerProcess, socket.socket]]:
    """A client whose supervisor was killed, and the next supervisor's socket."""
    for name in ("first", "next"):
        (tmp_path / name).mkdir()
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as next_one:
        first.bind(str(tmp_path / "first" / "sock"))
        first.listen()
        next_one.bind(str(tmp_path / "next" / "sock"))
        next_one.listen()
        with closing(ContainerProcess.connect(str(tmp_path / "first"), "c")) as process:
            process.hooks.reconnect = lambda: ContainerProcess.connect(str(tmp_path / "next"), "c")
            first.close()
            yield process, next_one


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_the_timeout_is_the_same_with_the_next_supervisor(
    following: tuple[ContainerProcess, socket.socket], seconds: float
) -> None:
    process, _ = following
    with pytest.raises(TimeoutError):
        process.wait(seconds)


def test_a_client_that_detaches_while_the_next_supervisor_is_sought_has_detached(
    following: tuple[ContainerProcess, socket.socket],
) -> None:
    process, next_one = following
    seek = process.hooks.reconnect
    assert seek is not None

    def seek_and_be_left() -> ContainerProcess | None:
        connection_found = seek()
        process.detach()
        return connection_found

    process.hooks.reconnect = seek_and_be_left
    assert list(process.output()) == []
    connection, _ = next_one.accept()
    with connection:
        assert connection.recv(1) == b""


def test_a_writer_that_waits_goes_on_when_the_process_is_closed() -> None:
    ours, supervisor = socket.socketpair()
    process = ContainerProcess(ours, "c")
    with supervisor:
        writer = threading.Thread(target=process.write, args=(b"x" * (8 << 20),), daemon=True)
        writer.start()
        assert supervisor.recv(1)  # it has begun, and waits for the rest to be read
        process.close()
        writer.join(10)
        assert not writer.is_alive()
    process.write(b"after the end")
    process.close_stdin()


@pytest.mark.parametrize("leave", [ContainerProcess.detach, ContainerProcess.close])
def test_notebook_b3_waiting_after_leaving_is_no_use_of_a_closed_socket(
    leave: Callable[[ContainerProcess], None],
) -> None:
    ours, supervisor = socket.socketpair()
    with supervisor:
        process = ContainerProcess(ours, "c")
        leave(process)
        assert process.wait(10) == process.wait() == 137


def test_notebook_b3_the_end_of_a_left_connection_is_no_reason_to_reconnect(
    following: tuple[ContainerProcess, socket.socket],
) -> None:
    process, next_one = following
    next_one.settimeout(0)
    process.close()
    assert list(process.output()) == []
    with pytest.raises(BlockingIOError):
        next_one.accept()
