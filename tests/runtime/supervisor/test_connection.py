"""A client's socket from the supervisor's side: no blocking, and no memory without bound."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.connection import OUTPUT_LIMIT, ClientConnection


class Recorder:
    """Records its callbacks, and stops the loop."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.frames: list[tuple[int, bytes]] = []
        self.is_disconnected = False
        self.caught_up_times = 0
        ours, self.peer = socket.socketpair()
        self.client = ClientConnection(self.loop, ours, self)

    def received(self, client: ClientConnection, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))
        self.loop.stop()

    def disconnected(self, client: ClientConnection) -> None:
        self.is_disconnected = True
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
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.client.close()
    recorder.peer.close()
    recorder.loop.close()


def test_frames_come_whole_however_they_are_cut(recorder: Recorder) -> None:
    data = protocol.frame(protocol.STDIN, b"hello")
    for value in data:
        recorder.peer.send(bytes([value]))
        recorder.turn(0)
    recorder.turn(0)
    assert recorder.frames == [(protocol.STDIN, b"hello")]


def test_a_peer_that_disconnects_is_noticed_once(recorder: Recorder) -> None:
    recorder.peer.close()
    recorder.turn()
    assert recorder.is_disconnected


def test_nonsense_is_answered_and_ends_the_connection(recorder: Recorder) -> None:
    recorder.peer.send(b"\xff" * 8)
    recorder.turn()
    assert recorder.is_disconnected
    reader = protocol.FrameReader()
    ((kind, payload),) = reader.feed(recorder.peer.recv(4096))
    assert kind == protocol.CONTROL
    assert json.loads(payload)["error"]["kind"] == "EngineBug"


def test_a_slow_client_is_behind_and_catches_up(recorder: Recorder) -> None:
    recorder.client.send_bytes(b"x" * (4 * OUTPUT_LIMIT))
    was_behind = recorder.client.is_behind
    received = 0
    while received < 4 * OUTPUT_LIMIT:
        received += len(recorder.peer.recv(1 << 20))
        recorder.turn(0)
    assert (was_behind, recorder.client.is_behind, recorder.caught_up_times) == (True, False, 1)


def test_a_client_that_is_not_read_waits(recorder: Recorder) -> None:
    recorder.client.set_reading(False)
    recorder.peer.send(protocol.frame(protocol.STDIN, b"later"))
    recorder.turn(0)
    assert recorder.frames == []
    recorder.client.set_reading(True)
    recorder.turn()
    assert recorder.frames == [(protocol.STDIN, b"later")]


def test_what_a_client_sent_before_it_disconnected_counts_while_it_is_not_read(
    recorder: Recorder,
) -> None:
    recorder.client.set_reading(False)
    recorder.peer.send(protocol.frame(protocol.STDIN, b"last"))
    recorder.peer.close()
    recorder.turn()
    recorder.turn()
    assert recorder.frames == [(protocol.STDIN, b"last")]
    recorder.turn()
    assert recorder.is_disconnected


def test_what_a_client_sent_last_counts_though_it_receives_no_answer(recorder: Recorder) -> None:
    recorder.peer.sendall(protocol.control("detach"))
    recorder.peer.close()
    recorder.client.send_bytes(protocol.frame(protocol.STDOUT, b"output that comes too late"))
    assert not recorder.is_disconnected
    recorder.turn()
    assert [kind for kind, _ in recorder.frames] == [protocol.CONTROL]
    recorder.turn()
    assert recorder.is_disconnected


def test_finishing_delivers_what_is_left(recorder: Recorder) -> None:
    recorder.client.send_bytes(b"y" * 300_000)
    received = bytearray(recorder.peer.recv(1 << 20))
    recorder.client.finish()
    while data := recorder.peer.recv(1 << 20):
        received += data
    assert received == b"y" * 300_000
