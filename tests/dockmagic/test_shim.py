"""The `docker` that `!` lines and `%%bash` cells find."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockmagic.magics import shim
from dockmagic.magics.shim import Shim, other_docker_works


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Docker: an empty directory in PATH, no daemon, no configuration."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(shim, "_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr("shutil.which", lambda name: _which(programs, name))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _which(programs: Path, name: str) -> str | None:
    return str(programs / name) if (programs / name).exists() else None


@pytest.fixture
def ours() -> Iterator[Shim]:
    ours = Shim()
    yield ours
    ours.close()


def add_client(machine: Path, content: bytes = b"\x7fELF") -> None:
    (machine / "bin" / "docker").write_bytes(content)


def test_notebook_b10_the_path_gets_our_docker_where_there_is_none(
    machine: Path, ours: Shim
) -> None:
    before = os.environ["PATH"]
    ours.offer()
    ours.offer()
    assert os.environ["PATH"] == f"{ours.directory}:{before}"
    directory = ours.directory
    ours.close()
    assert os.environ["PATH"] == before
    assert not Path(directory).exists()


def test_what_a_killed_kernel_left_is_removed_and_nothing_in_use(
    ours: Shim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(shim, "_SETTLED", -1.0)
    left = tmp_path / "dockmagic-docker-left"
    left.mkdir()
    used = Path(ours.directory)
    assert not left.exists()
    other = Shim()
    assert used.exists()
    assert other.directory != ours.directory
    assert used.exists()
    other.close()


def test_a_client_without_a_daemon_is_no_docker(machine: Path) -> None:
    add_client(machine)
    assert not other_docker_works()


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_a_client_of_another_engine_is_left_alone(
    machine: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    add_client(machine)
    monkeypatch.setenv(name, "ssh://elsewhere")
    assert other_docker_works()


def test_a_context_in_the_configuration_is_another_engine(machine: Path) -> None:
    add_client(machine)
    (machine / ".docker").mkdir()
    (machine / ".docker" / "config.json").write_text('{"currentContext": "lab"}')
    assert other_docker_works()


def test_a_script_named_docker_stands_for_another_engine(machine: Path) -> None:
    add_client(machine, b'#!/bin/sh\nexec podman "$@"\n')
    assert other_docker_works()


@pytest.mark.parametrize(("answer", "works"), [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"", False)])
def test_a_daemon_that_answers_wins(machine: Path, answer: bytes, works: bool) -> None:
    add_client(machine)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(machine / "docker.sock"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert other_docker_works() is works
        thread.join(10)


def test_the_program_is_our_command_line_with_dockers_words(
    ours: Shim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "DOCKMAGIC_ROOT": str(tmp_path / "area")}
    ran = subprocess.run(
        [f"{ours.directory}/docker", "run", "--nmae", "x"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (125, "")
    assert ran.stderr == (
        "unknown flag: --nmae\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
        "Run 'docker run --help' for more information\n"
    )
    helped = subprocess.run(
        [f"{ours.directory}/docker", "volume", "--help"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Usage:  docker volume COMMAND" in helped.stdout


def test_a_shell_offers_it_while_the_setting_says_so(
    shell: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "other_docker_works", lambda: False)
    run("%unload_ext dockmagic")
    before = os.environ["PATH"]
    run("%load_ext dockmagic")
    directory = shell._dockmagic_extension.shim.directory
    assert os.environ["PATH"] == f"{directory}:{before}"
    run("%config DockMagic.shim = False")
    assert os.environ["PATH"] == before
    run("%config DockMagic.shim = True")
    assert os.environ["PATH"] == f"{directory}:{before}"
    run("%unload_ext dockmagic")
    assert os.environ["PATH"] == before
    assert not Path(directory).exists()
