"""The probe of a trace: one connection to a container, or one empty datagram."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from dockmagic_runtime.containers.trace import sockets
from dockmagic_runtime.containers.trace.routes import RouteCandidate

_TIMEOUT = 2.0  # seconds
_REFUSAL_TIMEOUT = 0.1  # seconds
_POLL = 0.01  # seconds between two looks at the queue of a socket
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
ENDED = "the connection was ended at once"
NOUNS = {"tcp": "connection", "udp": "datagram"}


class Probe(Struct, frozen=True, kw_only=True):
    """`source` is the probe's own address and port. `is_held`: the probe still waits in the queue
    of the socket that holds the port, because the port proxy does not accept it."""

    source: tuple[str, int]
    failure: str = ""
    is_held: bool = False


def refused(protocol: str) -> str:
    return f"no program takes the {NOUNS[protocol]} there"


@contextmanager
def sent(candidate: RouteCandidate) -> Iterator[Probe]:
    """Sends the probe; the connection is closed at the end of the block."""
    family = socket.AF_INET6 if candidate.is_ipv6 else socket.AF_INET
    with socket.socket(family, _KINDS[candidate.protocol]) as probe:
        probe.settimeout(_TIMEOUT)
        failure, is_held = _send(probe, candidate), False
        if not failure and candidate.kind == "proxy":
            is_held = _waits_on(probe, candidate)
        if is_held:
            failure = (
                f"the port proxy does not take the {NOUNS[candidate.protocol]} from its socket"
            )
        elif not failure and (candidate.kind == "proxy" or candidate.protocol == "udp"):
            failure = _refusal(probe, candidate.protocol)
        host, port, *_ = probe.getsockname()
        yield Probe(source=(host, port), failure=failure, is_held=is_held)


def _send(probe: socket.socket, candidate: RouteCandidate) -> str:
    try:
        probe.connect((candidate.address, candidate.port))
        if candidate.protocol == "udp":
            probe.send(b"")
    except ConnectionRefusedError:
        return refused(candidate.protocol)
    except TimeoutError:
        return f"nothing came back within {_TIMEOUT:g} s"
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return ""


def _waits_on(probe: socket.socket, candidate: RouteCandidate) -> bool:
    """Whether the proxy does not accept the probe: the kernel completes the handshake also for a
    proxy that is stopped."""
    deadline = time.monotonic() + _TIMEOUT
    while _is_waiting(probe, candidate):
        if time.monotonic() > deadline:
            return True
        time.sleep(_POLL)
    return False


def _is_waiting(probe: socket.socket, candidate: RouteCandidate) -> bool:
    table = sockets.table(candidate.protocol, ipv6=candidate.is_ipv6)
    here = (entry for entry in table if entry.port == candidate.port)
    if candidate.protocol == "udp":
        return any(entry.waiting for entry in here if not entry.peer_port)
    source = tuple(probe.getsockname()[:2])
    return any((entry.peer, entry.peer_port) == source and not entry.is_accepted for entry in here)


def _refusal(probe: socket.socket, protocol: str) -> str:
    """Why the proxy gave up, empty if it did not.

    The proxy accepts every connection and closes it at once when the container refuses; a server
    that closes the connection at once looks the same. A datagram is answered by an ICMP error, or
    by nothing.
    """
    probe.settimeout(_REFUSAL_TIMEOUT)
    try:
        if probe.recv(1, socket.MSG_PEEK) or protocol == "udp":
            return ""
    except TimeoutError:
        return ""
    except OSError:
        pass
    return ENDED if protocol == "tcp" else refused(protocol)
