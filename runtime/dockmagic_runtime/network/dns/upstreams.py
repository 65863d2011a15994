"""The servers to which a container's DNS server forwards the queries it cannot answer itself."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dockmagic_runtime.network.dns.forwarder import Server
from dockmagic_runtime.network.etc import host_files
from dockmagic_runtime.network.etc.resolv_conf import PUBLIC_SERVERS, ResolvConf


def of_flags(dns: Sequence[str]) -> tuple[Server, ...]:
    """The servers of `--dns`, reached from inside the container, loopback addresses too."""
    return tuple(map(Server, dns))


def of_host(text: str, behind_stub: str) -> tuple[Server, ...]:
    """The servers in the texts of the host's two files; Docker's public ones if both name none.

    A server on the host's loopback is asked from the host's network namespace. So is a server
    with an IPv6 address, because the container may have no IPv6.
    """
    host = ResolvConf.parse(text)
    if host.is_stub and (upstream := ResolvConf.parse(behind_stub)).servers:
        host = upstream
    return tuple(
        Server(address, on_host=address.startswith("127.") or ":" in address)
        for address in host.servers or PUBLIC_SERVERS
    )


class HostServers:
    """The host's servers according to its files now: a laptop changes them with every network
    it joins."""

    def __init__(
        self,
        path: str = host_files.RESOLV_CONF,
        behind_stub: str = host_files.RESOLVED_UPSTREAMS,
    ) -> None:
        self._paths = (path, behind_stub)
        self._seen: tuple[int, ...] | None = None
        self._servers: tuple[Server, ...] = ()

    def __call__(self) -> tuple[Server, ...]:
        """The servers, read again if a file has changed since the last call."""
        times = tuple(map(_changed, self._paths))
        if times != self._seen:
            self._servers = of_host(*map(host_files.read, self._paths))
            self._seen = times
        return self._servers


def _changed(path: str) -> int:
    """When the file was last changed, in nanoseconds; 0 when it does not exist."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
