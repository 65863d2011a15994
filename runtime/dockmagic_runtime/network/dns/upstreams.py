"""Whom the resolver of a container asks about what it does not know itself."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dockmagic_runtime.network.dns import files
from dockmagic_runtime.network.dns.forwarder import Server


def of_flags(dns: Sequence[str]) -> tuple[Server, ...]:
    """`--dns`: asked as a program in the container would ask them, loopback addresses too."""
    return tuple(map(Server, dns))


def of_host(text: str, behind_stub: str) -> tuple[Server, ...]:
    """From the texts of the host's two files; Docker's public servers when they name none.

    What listens on the host's loopback is asked from there, and what has an IPv6 address too: the
    container may have none.
    """
    host = files.Resolver.parse(text)
    if host.is_stub and (real := files.Resolver.parse(behind_stub)).servers:
        host = real
    return tuple(
        Server(one, on_host=one.startswith("127.") or ":" in one)
        for one in host.servers or files.PUBLIC_SERVERS
    )


class HostServers:
    """The host's, as its files say now: a laptop changes them with every network it joins."""

    def __init__(self, path: str = files.RESOLV_CONF, behind_stub: str = files.BEHIND_STUB) -> None:
        self._paths = (path, behind_stub)
        self._seen: tuple[int, ...] | None = None
        self._servers: tuple[Server, ...] = ()

    def __call__(self) -> tuple[Server, ...]:
        times = tuple(map(_changed, self._paths))
        if times != self._seen:
            self._servers = of_host(*map(files.text_of, self._paths))
            self._seen = times
        return self._servers


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0
