"""`docker system dial-stdio`: the Engine API on standard input and output, for `ssh://` hosts."""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Nothing
from dockmagic.version import __version__
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_BLOCK = 65536


def parser() -> Parser:
    return Parser(
        verb="system dial-stdio",
        usage="",
        summary="Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
        maximum=0,
    )


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    """Until the client closes its side."""
    try:
        reading, writing = sys.stdin.fileno(), sys.stdout.fileno()
    except (OSError, AttributeError):
        raise InvalidInput("dial-stdio needs standard input and output of a terminal") from None
    from dockmagic_runtime.api.background import BackgroundServer

    with BackgroundServer(engine, __version__) as server:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(server.address.removeprefix("unix://"))
        with connection:
            answers = threading.Thread(target=_copy_out, args=(connection, writing), daemon=True)
            answers.start()
            while data := os.read(reading, _BLOCK):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answers.join()
    return Nothing()


def _copy_out(connection: socket.socket, writing: int) -> None:
    while data := connection.recv(_BLOCK):
        view = memoryview(data)
        while view:
            view = view[os.write(writing, view) :]
