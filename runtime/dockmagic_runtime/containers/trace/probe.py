"""One packet of ours on its way to a container: a connection is made, or an empty datagram sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from dockmagic_runtime.containers.trace import sockets
from dockmagic_runtime.containers.trace.routes import RouteCandidate

_PATIENCE = 2.0  # seconds
_FOR_A_REFUSAL = 0.1  # seconds
_GLANCE = 0.01  # seconds between two looks at what waits
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
ENDED = "the connection was ended at once"
NOUNS = {"tcp": "connection", "udp": "datagram"}


class Probe(Struct, frozen=True, kw_only=True):
    """`source` is where it came from, unless it was refused. `is_held`: it still waits in the
    socket that holds the port, because the port proxy does not take it."""

    source: tuple[str, int]
    failure: str = ""
    is_held: bool = False


def nobody(protocol: str) -> str:
    return f"nobody takes the {NOUNS[protocol]} there"


@contextmanager
def sent(way: RouteCandidate) -> Iterator[Probe]:
    """The connection stays for as long as the block does."""
    family = socket.AF_INET6 if way.is_ipv6 else socket.AF_INET
    with socket.socket(family, _KINDS[way.protocol]) as probe:
        probe.settimeout(_PATIENCE)
        failure, is_held = _send(probe, way), False
        if not failure and way.kind == "proxy":
            is_held = _waits_on(probe, way)
        if is_held:
            failure = f"the port proxy does not take the {NOUNS[way.protocol]} from its socket"
        elif not failure and (way.kind == "proxy" or way.protocol == "udp"):
            failure = _refusal(probe, way.protocol)
        host, port, *_ = probe.getsockname()
        yield Probe(source=(host, port), failure=failure, is_held=is_held)


def _send(probe: socket.socket, way: RouteCandidate) -> str:
    try:
        probe.connect((way.address, way.port))
        if way.protocol == "udp":
            probe.send(b"")
    except ConnectionRefusedError:
        return nobody(way.protocol)
    except TimeoutError:
        return f"nothing came back within {_PATIENCE:g} s"
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return ""


def _waits_on(probe: socket.socket, way: RouteCandidate) -> bool:
    """Whether nobody takes it: the kernel accepts for a proxy that stands still as well."""
    deadline = time.monotonic() + _PATIENCE
    while _is_waiting(probe, way):
        if time.monotonic() > deadline:
            return True
        time.sleep(_GLANCE)
    return False


def _is_waiting(probe: socket.socket, way: RouteCandidate) -> bool:
    here = (one for one in sockets.table(way.protocol, ipv6=way.is_ipv6) if one.port == way.port)
    if way.protocol == "udp":
        return any(one.waiting for one in here if not one.peer_port)
    source = tuple(probe.getsockname()[:2])
    return any((one.peer, one.peer_port) == source and not one.is_accepted for one in here)


def _refusal(probe: socket.socket, protocol: str) -> str:
    """The proxy takes every connection, and ends it at once if the container takes none, as a
    server may that wants none of us; to a datagram a refusal comes back, or nothing."""
    probe.settimeout(_FOR_A_REFUSAL)
    try:
        if probe.recv(1, socket.MSG_PEEK) or protocol == "udp":
            return ""
    except TimeoutError:
        return ""
    except OSError:
        pass
    return ENDED if protocol == "tcp" else nobody(protocol)
