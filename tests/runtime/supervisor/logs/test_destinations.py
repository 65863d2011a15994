"""syslog and journald, played by sockets that write down what they receive."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockmagic_runtime.supervisor.logs import journald, syslog
from dockmagic_runtime.supervisor.logs.lines import PIECE, LineLog
from dockmagic_runtime.supervisor.logs.syslog import Syslog

TIME = r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as received:
        received.bind(str(tmp_path / "log"))
        received.settimeout(10)
        yield received


def syslog_to(tmp_path: Path, **options: str) -> LineLog:
    given = {f"syslog-{name}": value for name, value in options.items()}
    return LineLog(Syslog({"syslog-address": f"unixgram://{tmp_path}/log", **given}, "n1"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("", rf"<158>{TIME} n1\[\d+\]: out\n"),
        ("rfc3164", rf"<158>{TIME} \S+ n1\[\d+\]: out\n"),
        ("rfc5424", r"<158>1 [-0-9]{10}T[:0-9]{8}Z \S+ n1 \d+ n1 - out\n"),
        ("rfc5424micro", r"<158>1 [-0-9]{10}T[:0-9]{8}\.\d{6}Z \S+ n1 \d+ n1 - out\n"),
    ],
)
def test_syslog_messages_have_dockers_forms(
    tmp_path: Path, receiver: socket.socket, form: str, expected: str
) -> None:
    log = syslog_to(tmp_path, facility="local3", format=form)
    log.write("stdout", b"out\n")
    assert re.fullmatch(expected, receiver.recv(4096).decode())
    log.close()


def test_syslog_has_a_severity_for_each_stream_and_no_empty_lines(
    tmp_path: Path, receiver: socket.socket
) -> None:
    log = syslog_to(tmp_path)
    log.write("stderr", b"\n\nerr\n")
    assert receiver.recv(4096).startswith(b"<27>")
    log.write("stdout", b"x" * (PIECE + 1))
    assert len(receiver.recv(1 << 20)) > PIECE
    log.flush()
    assert receiver.recv(4096).endswith(b"]: x\n")
    log.close()


def test_syslog_is_connected_again_when_it_was_restarted(
    tmp_path: Path, receiver: socket.socket
) -> None:
    log = syslog_to(tmp_path)
    log.write("stdout", b"one\n")
    receiver.close()
    log.write("stdout", b"lost\n")
    os.unlink(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "log"))
        again.settimeout(10)
        log.write("stdout", b"two\n")
        assert again.recv(4096).endswith(b"]: two\n")
    log.close()


def test_syslog_goes_over_tcp(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        log = LineLog(Syslog({"syslog-address": f"tcp://127.0.0.1:{port}"}, "n1"))
        log.write("stdout", b"one\ntwo\n")
        connection, _ = server.accept()
        log.close()
        with connection, connection.makefile("rb") as stream:
            assert [line.rpartition(b": ")[2] for line in stream] == [b"one\n", b"two\n"]


def test_a_syslog_that_is_not_there_has_dockers_words() -> None:
    options = {"syslog-address": "tcp://127.0.0.1:1"}
    with pytest.raises(OSError, match="refused") as raised:
        syslog.connect(options)
    assert (
        syslog.reason(raised.value, options) == "dial tcp 127.0.0.1:1: connect: connection refused"
    )


# ------------------------------------------------------------------ journald


def entry(data: bytes) -> dict[str, bytes]:
    """Decodes the journal's native protocol."""
    fields = {}
    while data:
        end = data.index(b"\n")
        name, is_short, value = data[:end].partition(b"=")
        data = data[end + 1 :]
        if not is_short:
            (length,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + length], data[9 + length :]
        fields[name.decode()] = value
    return fields


def journald_to(tmp_path: Path) -> LineLog:
    fields = journald.fields(
        id="4" * 64, name="n1", image="busybox", tag="t", attributes={"app.x-y": "1", "_odd": "2"}
    )
    return LineLog(journald.Journald(fields, str(tmp_path / "log")))


def test_journald_gets_dockers_fields(tmp_path: Path, receiver: socket.socket) -> None:
    log = journald_to(tmp_path)
    log.write("stderr", b"hello\n")
    assert entry(receiver.recv(1 << 20)) == {
        "CONTAINER_ID": b"4" * 12,
        "CONTAINER_ID_FULL": b"4" * 64,
        "CONTAINER_NAME": b"n1",
        "CONTAINER_TAG": b"t",
        "IMAGE_NAME": b"busybox",
        "SYSLOG_IDENTIFIER": b"t",
        "APP_X_Y": b"1",
        "ODD": b"2",
        "PRIORITY": b"3",
        "MESSAGE": b"hello",
    }
    log.close()


def test_journald_marks_pieces_of_a_line(tmp_path: Path, receiver: socket.socket) -> None:
    log = journald_to(tmp_path)
    log.write("stdout", b"x" * (PIECE + 3) + b"\n")
    first, rest = entry(receiver.recv(1 << 20)), entry(receiver.recv(1 << 20))
    assert (len(first["MESSAGE"]), first["CONTAINER_PARTIAL_MESSAGE"]) == (PIECE, b"true")
    assert (rest["MESSAGE"], "CONTAINER_PARTIAL_MESSAGE" in rest) == (b"xxx", False)
    log.close()


def test_journald_gets_a_large_entry_as_a_sealed_file(
    tmp_path: Path, receiver: socket.socket
) -> None:
    fields = {"LARGE": "y" * (1 << 20), "LINES": "a\nb"}
    sink = journald.Journald(fields, str(tmp_path / "log"))
    sink.line("stdout", b"hello", is_whole=True)
    _, fds, _, _ = socket.recv_fds(receiver, 16, 1)
    with os.fdopen(fds[0], "rb") as stream:
        stream.seek(0)
        received = entry(stream.read())
    assert (received["MESSAGE"], received["LINES"]) == (b"hello", b"a\nb")
    sink.close()


def test_a_journald_that_is_not_there_costs_entries_only(tmp_path: Path) -> None:
    log = journald_to(tmp_path)
    log.write("stdout", b"lost\n")
    log.close()
