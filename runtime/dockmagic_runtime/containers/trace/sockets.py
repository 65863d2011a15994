"""The kernel's table of sockets in a network namespace, and the program that listens on a port.

Source: proc(5), /proc/pid/net/tcp and udp. An address is written there as 32-bit numbers in this
machine's byte order.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator

from msgspec import Struct

from dockmagic_runtime.containers.inspect.processes import read_process
from dockmagic_runtime.linux.processes import descriptor_target

ESTABLISHED = "01"
_LISTENS = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; unconnected UDP
_EVERYWHERE = ("0.0.0.0", "::")
_NO_INODE = "0"  # the inode of a connection that no program has accepted


class SocketEntry(Struct, frozen=True, kw_only=True):
    """`waiting`: bytes that the program has not read, or connections it has not accepted."""

    address: str
    port: int
    peer: str
    peer_port: int
    state: str
    waiting: int
    inode: str

    @property
    def is_accepted(self) -> bool:
        return self.state != ESTABLISHED or self.inode != _NO_INODE


class Listener(Struct, frozen=True, kw_only=True):
    """A program that listens. `only_at` is its address, unless it listens on all of them."""

    program: str
    only_at: str = ""


def table(protocol: str, *, ipv6: bool, pid: int | str = "self") -> Iterator[SocketEntry]:
    """The sockets of that process's namespace; none when it has ended, or without IPv6."""
    try:
        with open(f"/proc/{pid}/net/{protocol}{'6' if ipv6 else ''}", encoding="ascii") as stream:
            yield from map(parse, stream.readlines()[1:])
    except OSError:
        return


def parse(line: str) -> SocketEntry:
    """One line below the heading."""
    _, local, remote, state, queues, _, _, _, _, inode, *_ = line.split()
    (address, port), (peer, peer_port) = map(_place, (local, remote))
    return SocketEntry(
        address=address,
        port=port,
        peer=peer,
        peer_port=peer_port,
        state=state,
        waiting=int(queues.partition(":")[2], 16),
        inode=inode,
    )


def _place(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)), int(port, 16)


def listener(
    pids: Iterable[int], pid: int, protocol: str, address: str, port: int
) -> Listener | None:
    """The program among `pids` that listens on that port in the namespace of `pid`.

    A socket that accepts packets to `address` is preferred.
    """
    entries = [
        entry
        for ipv6 in (":" in address, ":" not in address)
        for entry in table(protocol, ipv6=ipv6, pid=pid)
        if entry.port == port and entry.state == _LISTENS[protocol]
    ]
    entries.sort(key=lambda entry: not accepts(entry.address, address))
    owners = _owners(pids)
    for entry in entries:
        if entry.inode in owners and (process := read_process(owners[entry.inode])) is not None:
            only_at = "" if accepts(entry.address, address) else entry.address
            return Listener(program=process.command, only_at=only_at)
    return None


def accepts(listening: str, address: str) -> bool:
    """Whether a socket bound to `listening` accepts packets to `address`; `::` accepts IPv4 too."""
    if listening in _EVERYWHERE:
        return listening == "::" or ":" not in address
    return listening in (address, f"::ffff:{address}")


def _owners(pids: Iterable[int]) -> dict[str, int]:
    """The lowest process that has a socket open, by the socket's inode."""
    return {inode: pid for pid in sorted(pids, reverse=True) for inode in _sockets(pid)}


def _sockets(pid: int) -> Iterator[str]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return  # it has ended
    for fd in descriptors:
        kind, _, inode = descriptor_target(f"/proc/{pid}/fd/{fd}").partition(":")
        if kind == "socket":
            yield inode.strip("[]")
