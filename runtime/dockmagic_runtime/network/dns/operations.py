"""The address of the DNS server in the container: 127.0.0.11, port 53 of UDP and TCP.

The start process creates the sockets, and the supervisor holds them; it forks the DNS server when
a query arrives. As in Docker the sockets are bound to a port that the kernel has chosen, and a rule
in the container's own namespace translates port 53 to it: so a name server in the container can
have port 53 of all addresses for itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from msgspec import Struct

from dockmagic_runtime.linux.constants import CLONE_NEWNET
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.network.nftables import wire as nft
from dockmagic_runtime.sandbox.operation import Context, operation
from dockmagic_runtime.sandbox.slots import Slot

ADDRESS: Final = "127.0.0.11"
PORT: Final = 53
SOCKETS: Final = Slot[tuple[socket.socket, socket.socket]]("sockets of the DNS server: UDP, TCP")
_TABLE: Final = "dockmagic_names"
_BACKLOG: Final = 128
_ATTEMPTS: Final = 16  # to find a port that is free for both protocols
# the errors of a kernel without nftables or without its address translation
_NO_NFTABLES: Final = (
    errno.ENOENT,
    errno.EPROTONOSUPPORT,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.EPERM,
)


@operation
class ServeDns(Struct, frozen=True, kw_only=True):
    """`networks` is the directory of the endpoint files, `servers` are those of `--dns`: without
    any, queries are forwarded to the host's. `local_only`: `ndots` was set, see
    `messages.answer`."""

    calls: ClassVar[tuple[str, ...]] = ("setns", "socket", "bind", "netlink NFT_MSG_NEWRULE")
    undoing: ClassVar[str] = "close the sockets, end the DNS server"

    container_id: str
    networks: str
    servers: tuple[str, ...] = ()
    local_only: bool = False
    library: str = ""  # the directory of dnslib: only this package's is on a supervisor's path

    def describe(self) -> str:
        return f"let a DNS server inside answer on {ADDRESS}:{PORT} for the networks' names"

    def execute(self, context: Context) -> None:
        with _inside(context.linux, context.netns_fd):
            SOCKETS.put(context.slots, _listening())

    def resume(self, context: Context) -> None:
        """Create new sockets, and rules anew that lead to them."""
        with _inside(context.linux, context.netns_fd):
            _delete_rules()
        self.execute(context)

    def keep(self, context: Context) -> tuple[None, tuple[int, ...]]:
        return None, ()  # the supervisor needs the sockets at once: `handover` passes them

    def take_over(self, context: Context, value: None, fds: Sequence[int]) -> None:
        """Nothing: see `keep`."""

    def undo(self, context: Context) -> None:
        for each in SOCKETS.take(context.slots) or ():
            each.close()

    def run(self, linux: Linux, inside: int, datagrams: int, listener: int) -> None:
        """Run the DNS server until no query arrives any more.

        `inside` is a pidfd of the container, the others are the descriptors of the sockets.
        """
        sys.path.append(self.library)
        from dockmagic_runtime.network.dns.server import DnsServer, Sockets
        from dockmagic_runtime.network.dns.upstreams import HostServers, of_flags
        from dockmagic_runtime.network.dns.zone import Zone

        flags = of_flags(self.servers)
        server = DnsServer(
            socket.socket(fileno=datagrams),
            socket.socket(fileno=listener),
            Zone(self.networks, self.container_id),
            (lambda: flags) if flags else HostServers(),
            Sockets(linux, inside).open,
            local_only=self.local_only,
        )
        server.run()


@contextlib.contextmanager
def _inside(linux: Linux, namespace: int) -> Iterator[None]:
    """Run the block in that network namespace; this process has one thread."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            linux.setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def _listening() -> tuple[socket.socket, socket.socket]:
    """Sockets on a free port that a rule leads to from port 53; on 53 itself where the kernel has
    no such rules."""
    pair = _pair(0)
    try:
        _redirect_to(pair[0].getsockname()[1])
    except OSError as error:
        for each in pair:
            each.close()
        if error.errno not in _NO_NFTABLES:
            raise
        return _pair(PORT)
    return pair


def _delete_rules() -> None:
    """Not part of each start: the kernel needs milliseconds for a deletion."""
    messages = (nft.new_table(_TABLE), nft.delete_table(_TABLE))
    try:
        with Netlink(NETLINK_NETFILTER) as netlink:
            netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
    except OSError as error:
        if error.errno not in _NO_NFTABLES:
            raise


def _pair(port: int) -> tuple[socket.socket, socket.socket]:
    for attempt in range(_ATTEMPTS):
        datagrams = _bound(socket.SOCK_DGRAM, port)
        try:
            listener = _bound(socket.SOCK_STREAM, datagrams.getsockname()[1])
        except OSError:
            datagrams.close()
            if port or attempt == _ATTEMPTS - 1:
                raise
        else:
            listener.listen(_BACKLOG)
            return datagrams, listener
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bound(kind: int, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.bind((ADDRESS, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _redirect_to(port: int) -> None:
    here = socket.inet_aton(ADDRESS)
    rules = (
        nft.new_rule(
            _TABLE,
            "output",
            f"names, {name}",
            nft.goes_to(here, number, PORT) + nft.rewrite_to(here, port),
        )
        for name, number in (("UDP", socket.IPPROTO_UDP), ("TCP", socket.IPPROTO_TCP))
    )
    with Netlink(NETLINK_NETFILTER) as netlink:
        netlink.transact_batch(
            nft.NFNL_SUBSYS_NFTABLES,
            nft.new_table(_TABLE),
            nft.new_chain(_TABLE, "output", "nat", nft.HOOK_OUTPUT, nft.PRIORITY_DSTNAT),
            *rules,
        )
