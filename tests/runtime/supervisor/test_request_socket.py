"""Requests to a launcher: whole ones are received, others are passed over."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dockmagic_runtime.supervisor import protocol, request_socket
from dockmagic_runtime.supervisor.request_socket import RequestSocket


class Bench:
    """A launcher's descriptors, and engines that connect."""

    def __init__(self, directory: Path, undo: ExitStack) -> None:
        self._path = str(directory / "sock")
        self._undo = undo
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(self._path)
        listener.listen()
        os.mkfifo(directory / "users")
        self.users = os.open(directory / "users", os.O_RDONLY | os.O_NONBLOCK)
        wanted, self.launcher = os.pipe()
        for fd in (self.users, wanted):
            undo.callback(os.close, fd)
        self.requests = RequestSocket(listener.fileno(), self.users, wanted)

    def connect(self) -> socket.socket:
        connection = self._undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.connect(self._path)
        return connection

    def request(self, payload: bytes) -> socket.socket:
        connection = self.connect()
        message = protocol.frame(protocol.CONTROL, payload)
        socket.send_fds(connection, [message], [connection.fileno()])
        return connection


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as undo:
        yield Bench(tmp_path, undo)


def received(bench: Bench) -> bytes:
    request = bench.requests.receive()
    assert request is not None
    assert not os.get_inheritable(request.owner)
    os.close(request.owner)
    request.connection.close()
    return request.payload


def test_a_request_comes_with_its_descriptor(bench: Bench) -> None:
    bench.request(b"{}")
    assert received(bench) == b"{}"


@pytest.mark.parametrize("start", [b"", b"\3\0\0", b"\xff" * 8])
def test_a_sender_that_disconnects_or_sends_nonsense_is_passed_over(
    bench: Bench, start: bytes
) -> None:
    with bench.connect() as broken:
        broken.send(start)
    bench.request(b"next")
    assert received(bench) == b"next"


def test_a_sender_that_stops_half_way_does_not_keep_the_others_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_socket, "_PATIENCE", 0.01)
    stopped = bench.connect()
    stopped.send(b"\3\0\0")
    bench.request(b"next")
    assert received(bench) == b"next"
    assert stopped.recv(1) == b""


def test_a_spare_that_is_not_wanted_takes_no_request(bench: Bench) -> None:
    os.close(bench.launcher)
    bench.request(b"for the next spare")
    assert bench.requests.receive() is None


def test_a_user_is_seen_by_the_launcher(bench: Bench) -> None:
    user = bench.requests.become_user()
    os.write(user, b"x")
    assert os.read(bench.users, 1) == b"x"
    os.close(user)
