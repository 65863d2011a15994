"""`dockmagic serve`: Docker's Engine API, for every client of Docker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch, value, values
from dockmagic.commands.output.result import Event, Nothing, Result, notice
from dockmagic.commands.units import parse_seconds
from dockmagic.version import __version__
from dockmagic_runtime.errors import NotFound

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi
    from dockmagic_runtime.api.listeners import Listener


def parser() -> Parser:
    return Parser(
        verb="serve",
        usage="[OPTIONS]",
        summary="Serve Docker's Engine API to docker, docker-py, Compose and other clients",
        maximum=0,
        flags=(
            values(
                "host",
                "H",
                "Address to listen on: unix:///PATH, tcp://ADDRESS:PORT or fd://",
                own=True,
            ),
            value(
                "idle-timeout",
                help="End after so long without a connection (0s: never)",
                type="duration",
                default=0.0,
                default_text="0s",
                convert=parse_seconds,
                own=True,
            ),
            value("group", help="Group that may use the unix socket", own=True),
            value("tlscacert", help="Certificates of the authority of clients", own=True),
            value("tlscert", help="Certificate of this server", own=True),
            value("tlskey", help="Key of this server", own=True),
            switch(
                "insecure-tcp-without-tls",
                help="Listen on TCP without TLS",
                own=True,
            ),
        ),
    )


class Serving(Result, frozen=True):
    """A server beside the notebook's kernel, which ends with it."""

    address: str

    def text(self) -> str:
        return f"export DOCKER_HOST={self.address}"

    def stable(self) -> str:
        return "export DOCKER_HOST=…"


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    """In a terminal until it is interrupted, or idle for long enough; in a notebook beside it."""
    flag = arguments.flag
    if arguments.values.get("beside"):  # a flag of the notebook's
        return _beside(engine, _listeners(arguments, flag("host")))
    hosts = flag("host") or ("unix:///run/dockmagic.sock",)
    return _until_ended(engine, _listeners(arguments, hosts), flag("idle-timeout"))


def _listeners(arguments: Arguments, hosts: Sequence[str]) -> list[Listener]:
    """One or more for each host; none of them stays open after an error."""
    from dockmagic_runtime.api.listeners import TlsFiles, listen

    flag = arguments.flag
    files = [flag(name) for name in ("tlscacert", "tlscert", "tlskey")]
    if any(files) and not all(files):
        raise arguments.wrong("--tlscacert, --tlscert and --tlskey go together")
    listeners: list[Listener] = []
    try:
        for host in hosts:
            listeners += listen(
                host,
                tls=TlsFiles(*files) if all(files) else None,
                insecure_tcp=flag("insecure-tcp-without-tls"),
                group=_group(flag("group")),
            )
    except BaseException:
        _close(listeners)
        raise
    return listeners


def _close(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.close()


def _until_ended(
    engine: EngineApi, listeners: list[Listener], idle_timeout: float
) -> Iterator[Event]:
    from dockmagic_runtime.api.server import Server
    from dockmagic_runtime.api.service import Service

    service = Service(engine, __version__)
    server = Server(service, listeners, idle_timeout=idle_timeout or None)
    try:
        for listener in listeners:
            yield notice(f"API listen on {listener.address}")
        server.serve()
    finally:
        server.shutdown()
        _close(listeners)
    yield Nothing()


def _beside(engine: EngineApi, listeners: list[Listener]) -> Iterator[Event]:
    import atexit

    from dockmagic_runtime.api.background import BackgroundServer

    server = BackgroundServer(engine, __version__, listeners)
    server.start()
    atexit.register(server.close)
    yield Serving(server.address)


def _group(name: str) -> int:
    from grp import getgrnam

    if not name:
        return -1
    try:
        return int(name) if name.isdigit() else getgrnam(name).gr_gid
    except KeyError:
        raise NotFound(f"group {name} not found") from None
