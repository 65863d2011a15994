"""`docker compose` starts Docker's program with a server of ours; here a script stands for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dockmagic.commands.output.result import Chunk, Finished
from dockmagic.commands.system import compose
from dockmagic_runtime.errors import NotFound

from .fake_engine import FakeEngine

_PROGRAM = f"""#!{sys.executable}
import os, sys, urllib.request, http.client, socket
address = os.environ["DOCKER_HOST"].removeprefix("unix://")
connection = http.client.HTTPConnection("docker")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(address)
connection.request("GET", "/_ping")
print("ping", connection.getresponse().read().decode())
connection.close()
print("words", *sys.argv[1:])
print("read", sys.stdin.read())
print("kit", os.environ["DOCKER_BUILDKIT"], file=sys.stderr)
sys.exit(4)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(compose, "_PLUGINS", (str(tmp_path),))
    monkeypatch.setenv("PATH", "/nonexistent")
    path = tmp_path / "docker-compose"
    path.write_text(_PROGRAM)
    path.chmod(0o755)
    return path


def test_the_program_gets_the_words_an_address_and_the_cell(program: Path) -> None:
    *chunks, end = compose.compose(FakeEngine(), ("-f", "-", "up"), stdin=b"services: {}")
    assert end == Finished("compose", 4)
    streams = {"stdout": b"", "stderr": b""}
    for chunk in chunks:
        assert isinstance(chunk, Chunk)
        streams[chunk.stream] += chunk.data
    assert streams["stdout"].decode().splitlines() == [
        "ping OK", "words --ansi never --progress plain -f - up", "read services: {}",
    ]  # fmt: skip
    assert streams["stderr"] == b"kit 0\n"


def test_the_server_ends_with_the_program(program: Path) -> None:
    before = set(os.listdir("/tmp"))
    list(compose.compose(FakeEngine(), ("ps",), stdin=b""))
    assert not any("dockmagic-api" in name for name in set(os.listdir("/tmp")) - before)


def test_without_compose_the_error_says_how_to_get_it(program: Path) -> None:
    program.unlink()
    with pytest.raises(NotFound) as caught:
        list(compose.compose(FakeEngine(), ("up",)))
    assert "dockmagic[compose]" in caught.value.hint
