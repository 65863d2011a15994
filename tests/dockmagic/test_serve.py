"""`serve`: beside the kernel in a notebook, in the foreground of a terminal."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from dockmagic import commands
from dockmagic.commands.system.serve import Serving
from dockmagic.magics.runner import EXTRA_FLAGS

from .fake_engine import FakeEngine


def _ping(address: str) -> bytes:
    connection = http.client.HTTPConnection("docker", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(address.removeprefix("unix://"))
    connection.request("GET", "/_ping")
    body = connection.getresponse().read()
    connection.close()
    return body


def test_in_a_notebook_the_cell_returns_with_an_address(tmp_path: Path) -> None:
    arguments = commands.parse(["serve", "-H", f"unix://{tmp_path}/s"], EXTRA_FLAGS)
    (serving,) = commands.execute(FakeEngine(), arguments)
    assert isinstance(serving, Serving)
    assert serving.text() == f"export DOCKER_HOST=unix://{tmp_path}/s"
    assert _ping(serving.address) == b"OK"


def test_in_a_terminal_it_serves_until_a_signal_and_removes_its_socket(tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKMAGIC_ROOT": str(tmp_path / "root")}
    server = subprocess.Popen(
        [sys.executable, "-m", "dockmagic", "serve", "-H", f"unix://{tmp_path}/s"],
        env=environ, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert server.stderr is not None
    with server.stderr as messages:
        assert messages.readline() == f"API listen on unix://{tmp_path}/s\n".encode()
        assert _ping(f"unix://{tmp_path}/s") == b"OK"
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 143
    assert not (tmp_path / "s").exists()
