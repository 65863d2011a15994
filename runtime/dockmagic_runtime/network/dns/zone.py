"""The names that one container can resolve: those of its neighbours on all its networks.

They are read from the endpoint files and kept until those change. The modification time of a
directory shows a change; but it advances in steps of the kernel's clock. So what was read within a
few steps of the last change is read again: another endpoint may have been added in the same step.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from dockmagic_runtime.network import endpoints
from dockmagic_runtime.network.endpoints import NetworkEndpoint

_WITHOUT_NAMES = "bridge"  # the default network: as in Docker it is only a way out
_STEP = 50_000_000  # nanoseconds; a jiffy is at most ten million


class Addresses(Struct, frozen=True, kw_only=True):
    """The addresses of a name. A name may exist and have none of a family."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()


class Neighbourhood(Struct):
    """One network as a container on it sees it; all names in lower case."""

    name: str
    names: dict[str, list[NetworkEndpoint]] = field(default_factory=dict)
    by_address: dict[str, NetworkEndpoint] = field(default_factory=dict)

    def add(self, container_id: str, endpoint: NetworkEndpoint) -> None:
        for address in (endpoint.ipv4, endpoint.ipv6):
            if address:
                self.by_address[canonical(address)] = endpoint
        names = {
            endpoint.name,
            endpoint.short_id,
            container_id,
            endpoint.hostname,
            *endpoint.aliases,
        }
        for name in names - {""}:
            self.names.setdefault(name.lower(), []).append(endpoint)

    def find(self, name: str) -> Addresses | None:
        """The addresses of `NAME` or `NAME.NETWORK`, in lower case; None for an unknown name."""
        suffix = f".{self.name.lower()}"
        bare = name.removesuffix(suffix) if name.endswith(suffix) else ""
        named = self.names.get(name) or self.names.get(bare)
        return _addresses(named) if named else None


def _addresses(named: list[NetworkEndpoint]) -> Addresses:
    return Addresses(
        ipv4=tuple(endpoint.ipv4 for endpoint in named if endpoint.ipv4),
        ipv6=tuple(endpoint.ipv6 for endpoint in named if endpoint.ipv6),
    )


class Snapshot(Struct, frozen=True):
    """All names at one moment.

    `may_forward` is false when all networks of the container are internal, and without a network.
    """

    neighbourhoods: tuple[Neighbourhood, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    may_forward: bool = False

    def find(self, name: str) -> Addresses | None:
        """The addresses of `name`, which is written without the final dot; `name.network` is
        understood. None for an unknown name.

        As in Docker the first network that knows the name answers, and a link precedes all.
        """
        name = name.lower()
        target = self.links.get(name, "").lower()
        return (target and self._named(target)) or self._named(name) or None

    def _named(self, name: str) -> Addresses | None:
        results = (neighbourhood.find(name) for neighbourhood in self.neighbourhoods)
        return next((addresses for addresses in results if addresses is not None), None)

    def name_of(self, address: str) -> str:
        """`NAME.NETWORK` of the container with that address; empty when there is none."""
        for neighbourhood in self.neighbourhoods:
            if address in neighbourhood.by_address:
                return f"{neighbourhood.by_address[address].name}.{neighbourhood.name}"
        return ""


def canonical(address: str) -> str:
    """The address in its shortest form: IPv6 can be written in many ways."""
    if ":" not in address:
        return address
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address))


class _FileCache:
    """Reads a file again only after it has changed: of a thousand neighbours one changes."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._known: dict[str, tuple[tuple[int, int, int], NetworkEndpoint]] = {}

    def read(self, path: str) -> NetworkEndpoint | None:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            self._known.pop(path, None)
            return None
        key = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._known.get(path)
        if known is not None and known[0] == key:
            return known[1]
        endpoint = endpoints.read(path)
        if endpoint is not None and self._now() - status.st_mtime_ns > _STEP:
            self._known[path] = (key, endpoint)
        return endpoint

    def keep_only(self, paths: set[str]) -> None:
        """Drop the other files: they were removed, or this container has left their network."""
        for path in self._known.keys() - paths:
            del self._known[path]


class Zone:
    """The names that one container can resolve, as of the last change.

    `now` is a clock, in nanoseconds since the epoch.
    """

    def __init__(
        self, networks: str, container_id: str, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._networks = networks
        self._container_id = container_id
        self._now = now
        self._seen: tuple[int, ...] = ()
        self._files = _FileCache(now)
        self._snapshot = Snapshot()
        self._directories: tuple[str, ...] = ()

    def snapshot(self) -> Snapshot:
        """The names now; read again only if a directory has changed."""
        times = self._times()
        if not times or times != self._seen:
            read_at = self._now()
            self._snapshot = self._read()
            times = self._times()
            self._seen = times if times and read_at - max(times) > _STEP else ()
        return self._snapshot

    def _times(self) -> tuple[int, ...]:
        """When the directories were changed; nothing if one of them was removed."""
        times = []
        for path in (self._networks, *self._directories):
            try:
                times.append(os.stat(path).st_mtime_ns)
            except FileNotFoundError:
                return ()
        return tuple(times)

    def _read(self) -> Snapshot:
        own = tuple(endpoints.of_container(self._networks, self._container_id))
        self._directories = tuple(
            endpoints.directory(self._networks, network_id) for network_id, _ in own
        )
        return Snapshot(
            neighbourhoods=tuple(sorted(self._neighbourhoods(own), key=lambda each: each.name)),
            links={name.lower(): target for _, mine in own for name, target in mine.links.items()},
            may_forward=any(not mine.internal for _, mine in own),
        )

    def _neighbourhoods(
        self, own: tuple[tuple[str, NetworkEndpoint], ...]
    ) -> Iterator[Neighbourhood]:
        seen: set[str] = set()

        def reading(path: str) -> NetworkEndpoint | None:
            seen.add(path)
            return self._files.read(path)

        for network_id, mine in own:
            if mine.network == _WITHOUT_NAMES:
                continue
            neighbourhood = Neighbourhood(mine.network or network_id)
            members = endpoints.of_network(self._networks, network_id, reading)
            for container_id, endpoint in members:
                neighbourhood.add(container_id, endpoint)
            yield neighbourhood
        self._files.keep_only(seen)
