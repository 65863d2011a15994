"""A client's socket from the supervisor's side: no blocking, and no memory without bound."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.connection import OUTPUT_LIMIT, ClientConnection


class Host:
    """Writes down what it is told, and stops the loop."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.frames: list[tuple[int, bytes]] = []
        self.is_gone = False
        self.caught_up_times = 0
        ours, self.peer = socket.socketpair()
        self.client = ClientConnection(self.loop, ours, self)

    def frame(self, client: ClientConnection, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))
        self.loop.stop()

    def gone(self, client: ClientConnection) -> None:
        self.is_gone = True
        self.loop.stop()

    def caught_up(self, client: ClientConnection) -> None:
        self.caught_up_times += 1
        self.loop.stop()

    def turn(self, seconds: float = 5) -> None:
        """Until something happens, or nothing for so long."""
        timer = self.loop.after(seconds, self.loop.stop)
        self.loop.run()
        timer.cancel()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.client.close()
    made.peer.close()
    made.loop.close()


def test_frames_come_whole_however_they_are_cut(host: Host) -> None:
    data = protocol.frame(protocol.STDIN, b"hello")
    for value in data:
        host.peer.send(bytes([value]))
        host.turn(0)
    host.turn(0)
    assert host.frames == [(protocol.STDIN, b"hello")]


def test_a_peer_that_goes_is_noticed_once(host: Host) -> None:
    host.peer.close()
    host.turn()
    assert host.is_gone


def test_nonsense_is_answered_and_ends_the_connection(host: Host) -> None:
    host.peer.send(b"\xff" * 8)
    host.turn()
    assert host.is_gone
    reader = protocol.FrameReader()
    ((kind, payload),) = reader.feed(host.peer.recv(4096))
    assert kind == protocol.CONTROL
    assert json.loads(payload)["error"]["kind"] == "EngineBug"


def test_a_slow_client_is_behind_and_catches_up(host: Host) -> None:
    host.client.send(b"x" * (4 * OUTPUT_LIMIT))
    was_behind = host.client.is_behind
    received = 0
    while received < 4 * OUTPUT_LIMIT:
        received += len(host.peer.recv(1 << 20))
        host.turn(0)
    assert (was_behind, host.client.is_behind, host.caught_up_times) == (True, False, 1)


def test_a_client_that_is_not_heard_waits(host: Host) -> None:
    host.client.hear(False)
    host.peer.send(protocol.frame(protocol.STDIN, b"later"))
    host.turn(0)
    assert host.frames == []
    host.client.hear(True)
    host.turn()
    assert host.frames == [(protocol.STDIN, b"later")]


def test_a_client_that_goes_unheard_has_its_last_words(host: Host) -> None:
    host.client.hear(False)
    host.peer.send(protocol.frame(protocol.STDIN, b"last"))
    host.peer.close()
    host.turn()
    host.turn()
    assert host.frames == [(protocol.STDIN, b"last")]
    host.turn()
    assert host.is_gone


def test_last_words_count_though_the_client_hears_no_answer(host: Host) -> None:
    host.peer.sendall(protocol.control("detach"))
    host.peer.close()
    host.client.send(protocol.frame(protocol.STDOUT, b"output that comes too late"))
    assert not host.is_gone
    host.turn()
    assert [kind for kind, _ in host.frames] == [protocol.CONTROL]
    host.turn()
    assert host.is_gone


def test_finishing_delivers_what_is_left(host: Host) -> None:
    host.client.send(b"y" * 300_000)
    received = bytearray(host.peer.recv(1 << 20))
    host.client.finish()
    while data := host.peer.recv(1 << 20):
        received += data
    assert received == b"y" * 300_000
