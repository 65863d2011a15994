from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.supervisor import protocol

frames = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300)), max_size=6)


@settings(deadline=None)
@given(frames, st.data())
def test_frames_come_out_whole_however_they_are_cut(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    wire = b"".join(protocol.frame(kind, payload) for kind, payload in sent)
    reader = protocol.FrameReader()
    received = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        received += list(reader.feed(wire[:size]))
        wire = wire[size:]
    assert received == sent


def test_one_byte_at_a_time() -> None:
    wire = protocol.control("signal", number=15) + protocol.frame(protocol.STDIN, b"")
    reader = protocol.FrameReader()
    received = [received_frame for byte in wire for received_frame in reader.feed(bytes([byte]))]
    assert [kind for kind, _ in received] == [protocol.CONTROL, protocol.STDIN]
    assert json.loads(received[0][1]) == {"verb": "signal", "number": 15}


def test_the_header_is_dockers() -> None:
    assert protocol.frame(protocol.STDERR, b"abc") == b"\x02\x00\x00\x00\x00\x00\x00\x03abc"


@pytest.mark.parametrize(
    "wire", [b"\x09\x00\x00\x00\x00\x00\x00\x00", b"\x01\0\0\0\xff\xff\xff\xff"]
)
def test_what_no_peer_of_ours_sends_is_refused(wire: bytes) -> None:
    with pytest.raises(EngineBug):
        list(protocol.FrameReader().feed(wire))
