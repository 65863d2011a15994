"""The names that one container knows: its neighbours' on all its networks.

Read from the endpoint files and kept until they change. A directory's time tells that; but it
moves in steps of the kernel's clock, so what was read within a few steps of the last change is
not yet trusted: somebody may have come in the same step.
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


class Found(Struct, frozen=True, kw_only=True):
    """The addresses of a name. A name may be known and have none of a family."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()


class Neighbourhood(Struct):
    """One network as a container on it sees it; all names in lower case."""

    name: str
    names: dict[str, list[NetworkEndpoint]] = field(default_factory=dict)
    by_address: dict[str, NetworkEndpoint] = field(default_factory=dict)

    def add(self, container_id: str, one: NetworkEndpoint) -> None:
        for address in (one.ipv4, one.ipv6):
            if address:
                self.by_address[canonical(address)] = one
        names = {one.name, one.short_id, container_id, one.hostname, *one.aliases}
        for name in names - {""}:
            self.names.setdefault(name.lower(), []).append(one)


class Snapshot(Struct, frozen=True):
    """Everything that is known at one moment. `may_ask_outside` is false on networks that are all
    internal, and on no network at all."""

    neighbourhoods: tuple[Neighbourhood, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    may_ask_outside: bool = False

    def find(self, name: str) -> Found | None:
        """`name` without the dot at its end, `name.network` too; None when nobody is called so.

        As in Docker the first network that knows it answers, and a link wins over all.
        """
        name = name.lower()
        target = self.links.get(name, "").lower()
        return (target and self._named(target)) or self._named(name) or None

    def _named(self, name: str) -> Found | None:
        return next((found for one in self.neighbourhoods if (found := _find(one, name))), None)

    def name_of(self, address: str) -> str:
        """`name.network` of who has that address; empty when nobody has."""
        for one in self.neighbourhoods:
            if address in one.by_address:
                return f"{one.by_address[address].name}.{one.name}"
        return ""


def _find(one: Neighbourhood, name: str) -> Found | None:
    suffix = f".{one.name.lower()}"
    bare = name.removesuffix(suffix) if name.endswith(suffix) else ""
    return _found(one.names.get(name) or one.names.get(bare) or [])


def _found(those: list[NetworkEndpoint]) -> Found | None:
    if not those:
        return None
    return Found(
        ipv4=tuple(one.ipv4 for one in those if one.ipv4),
        ipv6=tuple(one.ipv6 for one in those if one.ipv6),
    )


def canonical(address: str) -> str:
    """IPv6 can be written in many ways."""
    if ":" not in address:
        return address
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address))


class _Remembered:
    """Reads files that have not been read as they are now: of a thousand neighbours one changes."""

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
        found = endpoints.read(path)
        if found is not None and self._now() - status.st_mtime_ns > _STEP:
            self._known[path] = (key, found)
        return found

    def keep_only(self, paths: set[str]) -> None:
        """Forget the others: they have gone, or we have."""
        for path in self._known.keys() - paths:
            del self._known[path]


class Zone:
    """What one container knows, as of the last change. `now` is a clock of nanoseconds."""

    def __init__(
        self, networks: str, container_id: str, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._networks = networks
        self._container_id = container_id
        self._now = now
        self._seen: tuple[int, ...] = ()
        self._files = _Remembered(now)
        self._snapshot = Snapshot()
        self._directories: tuple[str, ...] = ()

    def snapshot(self) -> Snapshot:
        times = self._times()
        if not times or times != self._seen:
            read_at = self._now()
            self._snapshot = self._read()
            times = self._times()
            self._seen = times if times and read_at - max(times) > _STEP else ()
        return self._snapshot

    def _times(self) -> tuple[int, ...]:
        """When the directories were changed; of one that is gone, nothing."""
        times = []
        for path in (self._networks, *self._directories):
            try:
                times.append(os.stat(path).st_mtime_ns)
            except FileNotFoundError:
                return ()
        return tuple(times)

    def _read(self) -> Snapshot:
        own = tuple(endpoints.of_container(self._networks, self._container_id))
        self._directories = tuple(endpoints.directory(self._networks, one) for one, _ in own)
        return Snapshot(
            neighbourhoods=tuple(sorted(self._neighbourhoods(own), key=lambda one: one.name)),
            links={name.lower(): target for _, mine in own for name, target in mine.links.items()},
            may_ask_outside=any(not mine.internal for _, mine in own),
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
            made = Neighbourhood(mine.network or network_id)
            for container_id, one in endpoints.of_network(self._networks, network_id, reading):
                made.add(container_id, one)
            yield made
        self._files.keep_only(seen)
