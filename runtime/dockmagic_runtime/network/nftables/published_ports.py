"""Published ports as elements of our tables: a host address and port to a container's.

The key is (protocol, port) for all addresses of the host and (address, protocol, port) for one of
them. A port on 127.0.0.0/8 leads nowhere: the proxy serves it, and its element in the set
`loopback` keeps the packets of other hosts away from it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from dockmagic_runtime.linux.netlink import Message, Netlink
from dockmagic_runtime.network.ipam.pools import packed
from dockmagic_runtime.network.nftables import wire as nft
from dockmagic_runtime.network.nftables.transaction import ElementMessage, change, in_messages
from dockmagic_runtime.network.nftables.wire import IPV4, IPV6, Family

# names of two maps and a set
ANY_ADDRESS: Final = "published"
ONE_ADDRESS: Final = "published_at"
LOOPBACK: Final = "loopback"
SETS: Final = (ANY_ADDRESS, ONE_ADDRESS, LOOPBACK)
FAMILIES: Final = (IPV4, IPV6)
_PROTOCOLS: Final = {
    "tcp": socket.IPPROTO_TCP,
    "udp": socket.IPPROTO_UDP,
    "sctp": socket.IPPROTO_SCTP,
}
_PROTOCOL_NAMES: Final = {number: name for name, number in _PROTOCOLS.items()}


class Published(Struct, frozen=True, kw_only=True):
    """One published port: `host_ip` ("" for all) and `host_port` lead to `address` and `port`."""

    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int

    @property
    def family(self) -> Family:
        return IPV6 if ":" in self.address or ":" in self.host_ip else IPV4

    @property
    def set_name(self) -> str:
        """The set of its element; empty where the proxy alone serves it: with a container's address
        of the other family, and on ::1."""
        if ":" in self.host_ip and (":" not in self.address or self.host_ip == "::1"):
            return ""
        if self.host_ip in ("", "0.0.0.0", "::"):
            return ANY_ADDRESS
        return LOOPBACK if self.host_ip.startswith("127.") else ONE_ADDRESS

    @property
    def key(self) -> bytes:
        protocol = bytes((_PROTOCOLS[self.protocol],)).ljust(4, b"\0")
        key = protocol + self.host_port.to_bytes(2, "big") + bytes(2)
        return key if self.set_name == ANY_ADDRESS else packed(self.host_ip) + key

    @property
    def value(self) -> bytes:
        if self.set_name == LOOPBACK:
            return b""
        return packed(self.address) + self.port.to_bytes(2, "big") + bytes(2)


def publish(netlink: Netlink, table: str, published: Iterable[Published]) -> None:
    """Let the ports lead to the container, in one transaction.

    The caller holds the host's ports by sockets. So an element that exists was left by a
    supervisor that was killed, and is replaced in the same transaction.

    Raises FileNotFoundError when the table is missing.
    """
    wanted = tuple(published)
    messages = _messages(table, wanted, nft.add_elements)
    if not messages:
        return
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EEXIST):
            raise
        keys = {_identity(port)[:-1] for port in wanted}
        stale = [port for port in listed(netlink, table) if _identity(port)[:-1] in keys]
        old = _messages(table, stale, nft.delete_elements)
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *old, *messages)


def unpublish(netlink: Netlink, table: str, published: Iterable[Published]) -> None:
    """Delete the elements of the ports, as far as they exist."""
    wanted = tuple(published)
    messages = _messages(table, wanted, nft.delete_elements)
    if not messages:
        return
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        if len(wanted) > 1:  # a set or the table was flushed: delete what is left, each by itself
            for port in wanted:
                unpublish(netlink, table, (port,))


def correct(netlink: Netlink, table: str, published: Callable[[], Iterable[Published]]) -> bool:
    """Delete the elements of other ports and add missing ones; whether there were any."""

    def messages() -> tuple[Message, ...]:
        present = {_identity(port): port for port in listed(netlink, table)}
        wanted = {_identity(port): port for port in published() if port.set_name}
        wrong = [port for identity, port in present.items() if identity not in wanted]
        missing = [port for identity, port in wanted.items() if identity not in present]
        return (
            *_messages(table, wrong, nft.delete_elements),
            *_messages(table, missing, nft.add_elements),
        )

    return change(netlink, messages)


def _identity(port: Published) -> tuple[int, str, bytes, bytes]:
    return port.family.number, port.set_name, port.key, port.value


def listed(netlink: Netlink, table: str) -> tuple[Published, ...]:
    """The ports that the kernel has elements for; none when there is no table."""
    ports: list[Published] = []
    for family in FAMILIES:
        for name in SETS:
            try:
                answers = netlink.dump(nft.get_elements(table, name, family))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                    break  # there is no table of that family, and so no other set of it
                raise
            for answer in answers:
                pairs = nft.listed_elements(answer.payload)
                ports += (_as_published(family, name, key, value) for key, value in pairs)
    return tuple(ports)


def _as_published(family: Family, name: str, key: bytes, value: bytes) -> Published:
    size, kind = family.length, socket.AF_INET if family is IPV4 else socket.AF_INET6
    protocol, port = key[-8], int.from_bytes(key[-4:-2], "big")
    return Published(
        host_ip="" if name == ANY_ADDRESS else socket.inet_ntop(kind, key[:size]),
        host_port=port,
        protocol=_PROTOCOL_NAMES.get(protocol, str(protocol)),
        address=socket.inet_ntop(kind, value[:size]) if value else "",
        port=int.from_bytes(value[size : size + 2], "big"),
    )


def _messages(
    table: str, published: Iterable[Published], message: ElementMessage
) -> tuple[Message, ...]:
    wanted = tuple(published)
    families = [family for family in FAMILIES if any(port.family is family for port in wanted)]
    return tuple(
        each for family in families for each in family_messages(table, family, wanted, message)
    )


def family_messages(
    table: str, family: Family, published: Iterable[Published], message: ElementMessage
) -> tuple[Message, ...]:
    """The messages that add or delete the elements of that family."""
    by_set: dict[str, list[bytes]] = {}
    for port in published:
        if port.set_name and port.family is family:
            by_set.setdefault(port.set_name, []).append(nft.element(port.key, port.value))
    return in_messages(table, family, by_set, message)
