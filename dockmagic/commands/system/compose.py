"""`docker compose`: Docker's own Compose program, on this engine.

Compose is a client of Docker's API. Its program is started with the address of a server of this
process, which ends with it; the containers that it leaves running need no server.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from queue import Queue
from typing import IO, TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Chunk, Event, Finished
from dockmagic.version import __version__
from dockmagic_runtime.errors import NotFound

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_PLUGINS = (
    "~/.docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)  # where Docker's client looks for them
_PATIENCE = 30.0  # seconds for Compose to stop its containers after an interrupt


def parser() -> Parser:
    return Parser(
        verb="compose",
        usage="[OPTIONS] COMMAND",
        summary="Define and run multi-container applications with Docker",
        is_passed_on=True,
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    """Passes all words on, and what the program writes back."""
    return compose(engine, arguments.words)


def compose(
    engine: EngineApi, words: tuple[str, ...], *, stdin: bytes | None = None
) -> Iterator[Event]:
    """Starts Compose. Raises NotFound where it is not installed.

    Args:
        engine: Where its containers are to run.
        words: Its options, command and arguments.
        stdin: What it reads, such as a compose file for `-f -`. None: what this process reads.
    """
    program = compose_program()
    from dockmagic_runtime.api.background import BackgroundServer

    with BackgroundServer(engine, __version__) as server:
        environ = {**os.environ, "DOCKER_HOST": server.address, "DOCKER_BUILDKIT": "0"}
        environ.pop("DOCKER_CONTEXT", None)
        if stdin is None and isinstance(sys.stdout, io.TextIOWrapper):
            code = _in_terminal(program, words, environ)
        else:
            code = yield from _in_cell(program, words, environ, stdin or b"")
    yield Finished("compose", code)


def compose_program() -> str:
    """The path of Compose 2: of the extra `dockmagic[compose]`, of the PATH, or a plugin.

    Raises NotFound.
    """
    from importlib.util import find_spec

    package = find_spec("compose")
    for place in (package.submodule_search_locations or []) if package else []:
        if os.access(f"{place}/docker-compose", os.X_OK):
            return f"{place}/docker-compose"
    plugins = os.pathsep.join(str(Path(place).expanduser()) for place in _PLUGINS)
    program = shutil.which("docker-compose", path=plugins) or shutil.which("docker-compose")
    if program is None:
        raise NotFound(
            "Docker Compose is not installed", hint="pip install 'dockmagic[compose]' installs it"
        )
    return program


def _in_terminal(program: str, words: tuple[str, ...], environ: dict[str, str]) -> int:
    """With this process's own streams; an interrupt of the terminal reaches both processes."""
    process = subprocess.Popen([program, *words], env=environ)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # Compose stops its containers, and ends at a second one


def _in_cell(
    program: str, words: tuple[str, ...], environ: dict[str, str], stdin: bytes
) -> Generator[Event, None, int]:
    """With pipes: each piece of output as it comes. An interrupt lets Compose stop first."""
    process = subprocess.Popen(
        [program, "--ansi", "never", "--progress", "plain", *words],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    pieces: Queue[Chunk | None] = Queue(64)
    threads = [
        threading.Thread(target=_read, args=(name, pipe, pieces), daemon=True)
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr))
        if pipe is not None
    ]
    for thread in threads:
        thread.start()
    try:
        _feed(process, stdin)
        for _ in threads:
            while (piece := pieces.get()) is not None:
                yield piece
        return process.wait()
    except (KeyboardInterrupt, GeneratorExit):
        process.send_signal(signal.SIGINT)
        raise
    finally:
        _end(process)


def _read(name: str, pipe: IO[bytes], pieces: Queue[Chunk | None]) -> None:
    with pipe:
        while data := os.read(pipe.fileno(), 65536):
            pieces.put(Chunk(name, data))
    pieces.put(None)


def _feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    try:
        if process.stdin is not None:
            with process.stdin as pipe:
                pipe.write(data)
    except BrokenPipeError:
        pass  # it has ended without reading


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
