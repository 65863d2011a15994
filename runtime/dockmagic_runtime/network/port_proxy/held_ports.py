"""A published port is held by a bound socket, from before the container starts until it has ended.

So the kernel assigns the port, among containers, data roots and other programs alike, and frees it
when the supervisor ends, however it ended. (The ports of a container that outlived its supervisor
are in `published_ports_file`, until the next supervisor holds them.) The proxy accepts on the same
socket what nftables does not translate: connections from this host to loopback addresses and to
IPv6, and everything while our table is flushed.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable

from msgspec import Struct

from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, Unsupported

_ATTEMPTS = 64  # to find a port that is free in both families
_KINDS = {
    "tcp": (socket.SOCK_STREAM, 0),
    "udp": (socket.SOCK_DGRAM, 0),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),  # one association for each socket
}
_BACKLOG = 4096
# linux/sctp.h: clients are sent to on as many streams as they are ready for, within reason
_SCTP_INITMSG, _SCTP_STREAMS = 2, struct.pack("=HHHH", 256, 0, 0, 0)
_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it before 3.14

Bound = tuple[str, int, int, str]  # host address, host port, container port, protocol
IsKept = Callable[[str, int, str], bool]  # address, port and protocol
PortRequest = Bound | tuple[str, int, int, str, int]  # also with the last host port that will do


class HeldPort(Struct, frozen=True):
    """One bound socket (listening, unless UDP) and the container's port that it leads to."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str
    socket: socket.socket


def _is_free(_ip: str, _port: int, _protocol: str) -> bool:
    """No port is kept: the kernel alone decides."""
    return False


def hold(requests: Iterable[PortRequest], is_kept: IsKept = _is_free) -> list[HeldPort]:
    """Bind all, or none and raise Conflict with Docker's text. A port that `is_kept` is refused
    too, although no socket holds it.

    Without a host address a port is held in both families, `0.0.0.0` and `::`, as in Docker. A
    host port 0 becomes one that is free, of the range that Docker takes too
    (net.ipv4.ip_local_port_range, 32768 to 60999). Of a range it is the first that is free.
    """
    held: list[HeldPort] = []
    try:
        for host_ip, host_port, container_port, protocol, *last in requests:
            end = max(last, default=0)
            for bound, ip in _bind_first(host_ip, host_port, end, protocol, is_kept):
                port = bound.getsockname()[1]
                held.append(HeldPort(ip, port, container_port, protocol, bound))
    except BaseException:
        release(held)
        raise
    return held


def release(held: Iterable[HeldPort]) -> None:
    for port in held:
        port.socket.close()


def _bind_first(
    host_ip: str, port: int, last: int, protocol: str, is_kept: IsKept
) -> list[tuple[socket.socket, str]]:
    for candidate in range(port, last):
        try:
            return _bind(host_ip, candidate, protocol, is_kept)
        except Conflict:
            continue  # the next may be free
    try:
        return _bind(host_ip, max(port, last), protocol, is_kept)
    except Conflict as error:
        if last > port:
            error.args = (error.message.replace(f":{last} ", f":{port}-{last} "),)
            error.message = error.args[0]
        raise


def _bind(
    host_ip: str, port: int, protocol: str, is_kept: IsKept
) -> list[tuple[socket.socket, str]]:
    if protocol not in _KINDS:
        raise Unsupported(f"cannot publish a port of {protocol}", hint="tcp, udp and sctp can be")
    addresses = (host_ip,) if host_ip else ("0.0.0.0", "::")
    for attempt in range(_ATTEMPTS):
        try:
            return _bind_all(addresses, port, protocol, is_kept)
        except Conflict:
            # a port the kernel chose for one family may be taken in the other
            if port or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bind_all(
    addresses: Iterable[str], port: int, protocol: str, is_kept: IsKept
) -> list[tuple[socket.socket, str]]:
    bound: list[tuple[socket.socket, str]] = []
    try:
        for ip in addresses:
            port_socket = _bind_one(ip, port, protocol, required=not bound)
            if port_socket is not None:
                bound.append((port_socket, ip))
                port = port or port_socket.getsockname()[1]
                if is_kept(ip, port, protocol):
                    raise _allocated(ip, port)
    except BaseException:
        for port_socket, _ in bound:
            port_socket.close()
        raise
    return bound


def _bind_one(ip: str, port: int, protocol: str, *, required: bool) -> socket.socket | None:
    """A bound socket; None for an address family that this host lacks, unless `required`."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        port_socket = socket.socket(family, *_KINDS[protocol])
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT and not required:
            return None
        if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            raise Unsupported(
                f"this kernel has no {protocol}", hint=f"load its module: modprobe {protocol}"
            ) from error
        raise
    try:
        _prepare(port_socket, ip, port)
    except OSError as error:
        port_socket.close()
        if error.errno == errno.EADDRNOTAVAIL and not required:
            return None  # IPv6 is switched off by sysctl
        raise _refusal(error, ip, port) from error
    return port_socket


def _prepare(port_socket: socket.socket, ip: str, port: int) -> None:
    port_socket.setblocking(False)
    if port_socket.family == socket.AF_INET6:
        port_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        port_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif port_socket.type == socket.SOCK_DGRAM:
        port_socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    if port_socket.type == socket.SOCK_DGRAM:
        port_socket.bind((ip, port))
        return
    if port_socket.proto == socket.IPPROTO_SCTP:
        port_socket.setsockopt(socket.IPPROTO_SCTP, _SCTP_INITMSG, _SCTP_STREAMS)
    # old connections in TIME_WAIT do not keep the port; another listener still does
    port_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port_socket.bind((ip, port))
    port_socket.listen(_BACKLOG)


def _failed(ip: str, port: int) -> str:
    return f"Bind for {f'[{ip}]' if ':' in ip and ip != '::' else ip}:{port} failed"


def _allocated(ip: str, port: int) -> Conflict:
    hint = "another container or program has it: choose another host port, or stop that one"
    return Conflict(f"{_failed(ip, port)}: port is already allocated", hint=hint)


def _refusal(error: OSError, ip: str, port: int) -> DockmagicError:
    where = _failed(ip, port)
    if error.errno == errno.EADDRINUSE:
        return _allocated(ip, port)
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidInput(
            f"{where}: cannot assign requested address",
            hint=f"{ip} is not an address of this host",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unsupported(
            f"{where}: permission denied",
            hint="ports below net.ipv4.ip_unprivileged_port_start need root",
        )
    return Unsupported(f"{where}: {os.strerror(error.errno or 0)}")
