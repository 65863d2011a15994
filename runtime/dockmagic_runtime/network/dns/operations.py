"""The resolver's place in the container: 127.0.0.11, port 53 of UDP and TCP.

Strategy: the sockets are made while the container starts, by whoever carries the start out, and
held by its supervisor, which forks the resolver when there is something to read. As in Docker they
listen on a port that the kernel has chosen, and a rule in the container's own namespace leads from
port 53 to it: a name server in the container can have port 53 of all addresses for itself.
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
SOCKETS: Final = Slot[tuple[socket.socket, socket.socket]]("resolver sockets: UDP, TCP")
_TABLE: Final = "dockmagic_names"
_BACKLOG: Final = 128
_ATTEMPTS: Final = 16  # to find a port that is free for both protocols
# what a kernel without nftables or without its address translation says
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
    any, the host's are asked. `local_only`: `ndots` was set, see `messages.answer`."""

    calls: ClassVar[tuple[str, ...]] = ("setns", "socket", "bind", "netlink NFT_MSG_NEWRULE")
    undoing: ClassVar[str] = "close the sockets, end the resolver"

    container_id: str
    networks: str
    servers: tuple[str, ...] = ()
    local_only: bool = False
    library: str = ""  # directory of dnslib: a supervisor has none but this package's on its path

    def describe(self) -> str:
        return f"let a resolver inside answer on {ADDRESS}:{PORT} for the networks' names"

    def execute(self, context: Context) -> None:
        with _inside(context.linux, context.netns_fd):
            SOCKETS.put(context.slots, _listening())

    def resume(self, context: Context) -> None:
        """On new sockets: the rules are made anew, and lead there."""
        with _inside(context.linux, context.netns_fd):
            _lead_nowhere()
        self.execute(context)

    def keep(self, context: Context) -> tuple[None, tuple[int, ...]]:
        return None, ()  # the supervisor has to know the sockets at once: see `delivery`

    def take_over(self, context: Context, value: None, fds: Sequence[int]) -> None:
        """Nothing: see `keep`."""

    def undo(self, context: Context) -> None:
        for one in SOCKETS.take(context.slots) or ():
            one.close()

    def run(self, linux: Linux, inside: int, datagrams: int, listener: int) -> None:
        """Be the resolver until no question comes. `inside` is a pidfd of the container."""
        sys.path.append(self.library)
        from dockmagic_runtime.network.dns.server import DnsServer, Sockets
        from dockmagic_runtime.network.dns.upstreams import HostServers, of_flags
        from dockmagic_runtime.network.dns.zone import Zone

        flags = of_flags(self.servers)
        resolver = DnsServer(
            socket.socket(fileno=datagrams),
            socket.socket(fileno=listener),
            Zone(self.networks, self.container_id),
            (lambda: flags) if flags else HostServers(),
            Sockets(linux, inside).open,
            local_only=self.local_only,
        )
        resolver.run()


@contextlib.contextmanager
def _inside(linux: Linux, namespace: int) -> Iterator[None]:
    """This single-threaded process goes there and comes back."""
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
    """On a free port that 53 leads to; on 53 itself where nothing can lead there."""
    pair = _pair(0)
    try:
        _lead_to(pair[0].getsockname()[1])
    except OSError as error:
        for one in pair:
            one.close()
        if error.errno not in _NO_NFTABLES:
            raise
        return _pair(PORT)
    return pair


def _lead_nowhere() -> None:
    """Not part of each start: the kernel takes its time over what is deleted."""
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
    one = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        one.bind((ADDRESS, port))
    except BaseException:
        one.close()
        raise
    return one


def _lead_to(port: int) -> None:
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
