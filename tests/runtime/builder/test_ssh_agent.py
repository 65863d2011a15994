"""The socket that a step gets for an agent's."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from dockmagic_runtime.builder.run_mounts.ssh_agent import AgentSocket
from dockmagic_runtime.errors import NotFound


@pytest.mark.root
def test_what_is_said_is_passed_on_both_ways(tmp_path: Path) -> None:
    directory = tmp_path / ("deep" * 30)  # longer than a socket's name may be
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()
        proxy = AgentSocket(str(directory), str(tmp_path / "agent"), mode=0o640, uid=7, gid=8)
        status = os.stat(proxy.path)
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 7, 8)
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        with _connected(directory) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO"
            proxy.close()
            assert client.recv(100) == b""


def test_an_agent_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no ssh agent listens on"):
        AgentSocket(str(tmp_path), str(tmp_path / "none"), mode=0o600, uid=0, gid=0)


def _connected(directory: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    fd = os.open(directory, os.O_PATH)
    try:
        client.connect(f"/proc/self/fd/{fd}/agent")
    finally:
        os.close(fd)
    return client


def _answer(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        while data := client.recv(100):
            client.sendall(data.upper())
