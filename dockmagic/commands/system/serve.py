"""`dockmagic serve`: Docker's Engine API, for every client of Docker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch, value, values
from dockmagic.commands.output.result import Event, Nothing, notice
from dockmagic.commands.units import parse_seconds
from dockmagic.version import __version__

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


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


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    """Until it is interrupted, or idle for long enough."""
    from dockmagic_runtime.api.listeners import Listener, TlsFiles, listen
    from dockmagic_runtime.api.server import Server
    from dockmagic_runtime.api.service import Service

    flag = arguments.flag
    files = [flag(name) for name in ("tlscacert", "tlscert", "tlskey")]
    if any(files) and not all(files):
        raise arguments.wrong("--tlscacert, --tlscert and --tlskey go together")
    listeners: list[Listener] = []
    try:
        for host in flag("host") or ("unix:///run/dockmagic.sock",):
            listeners += listen(
                host,
                tls=TlsFiles(*files) if all(files) else None,
                insecure_tcp=flag("insecure-tcp-without-tls"),
                group=_group(flag("group")),
            )
        server = Server(
            Service(engine, __version__), listeners, idle_timeout=flag("idle-timeout") or None
        )
        for listener in listeners:
            yield notice(f"API listen on {listener.address}")
        try:
            server.serve()
        finally:
            server.shutdown()
    finally:
        for listener in listeners:
            listener.close()
    yield Nothing()


def _group(name: str) -> int:
    from grp import getgrnam

    from dockmagic_runtime.errors import NotFound

    if not name:
        return -1
    try:
        return int(name) if name.isdigit() else getgrnam(name).gr_gid
    except KeyError:
        raise NotFound(f"group {name} not found") from None
