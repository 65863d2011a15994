"""`Networks`: the engine's view of an area's network, and what it sees to on the host.

The default network's subnet is chosen when it is first needed, and again if somebody else has
taken it while the bridge was away. Choosing and making the bridge happen under one lock of the
host, so that two areas never choose the same.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import ContainerSpec, PortMapping
from dockmagic_runtime.network import bridge, leases, names, nft, pools, records, rtnl
from dockmagic_runtime.network.claims import Claims
from dockmagic_runtime.network.leases import Network
from dockmagic_runtime.network.operations import BringUpLoopback, ensure_table
from dockmagic_runtime.network.plan import Connection, Place, plan
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.area import Area
from dockmagic_runtime.store.database import Database

_DEFAULT = "bridge"
_HOST_LOCK = "/run/dockmagic.lock"
_RESOLV_CONF = "/etc/resolv.conf"
_RESOLV_CONF_BEHIND_STUB = "/run/systemd/resolve/resolv.conf"


class Networks:
    def __init__(self, area: Area, database: Database) -> None:
        self._area = area
        self._database = database
        self._place = Place(table=area.nft_table, run=str(area.run))
        self._claims = Claims(str(area.run))

    # ------------------------------------------------------------ for a start

    def connect(self, container_id: str, ports: Sequence[PortMapping] = ()) -> Connection:
        """Lease an address on the default network; the operations that plug the container in.

        The lease is claimed until `settle` or `release`: nobody's `sweep` takes it. Raises
        Conflict when somebody else is starting the same container.
        """
        self._claims.take(container_id)
        try:
            network = self.default()
            address = self._lease(network, container_id)
        except BaseException:
            self._claims.drop(container_id)
            raise
        veth = f"veth{secrets.token_hex(4)[:7]}"
        return plan(self._place, network, container_id, address, veth, ports)

    def _lease(self, network: Network, container_id: str) -> str:
        try:
            with self._database.transaction() as connection:
                return leases.allocate(connection, network, container_id)
        except Conflict:
            self.sweep()  # containers that ended by themselves may still have theirs
        with self._database.transaction() as connection:
            return leases.allocate(connection, network, container_id)

    @staticmethod
    def isolate() -> Connection:
        """For `--network none`: a namespace with nothing but its loopback."""
        return Connection(operations=(BringUpLoopback(),), endpoint={})

    def settle(self, container_id: str) -> None:
        """The container's supervisor is alive: from now on its lock keeps the lease."""
        self._claims.drop(container_id)

    def release(self, container_id: str) -> None:
        """Give the container's address back. Idempotent."""
        with self._database.transaction() as connection:
            leases.release(connection, container_id)
        self._claims.drop(container_id)

    def hosts(self, hostname: str, spec: ContainerSpec, connection: Connection | None) -> str:
        """The text of the container's /etc/hosts."""
        endpoint = connection.endpoint if connection else {}
        return names.hosts(
            hostname,
            address=endpoint.get("ip_address", ""),
            domainname=spec.domainname,
            extra=spec.extra_hosts,
            gateway=endpoint.get("gateway", ""),
        )

    @staticmethod
    def resolv_conf(spec: ContainerSpec) -> str:
        """The text of the container's /etc/resolv.conf."""
        host = names.Resolver.parse(_text(_RESOLV_CONF))
        if spec.network == "host":
            return str(host)
        if host.is_stub:
            host = names.Resolver.parse(_text(_RESOLV_CONF_BEHIND_STUB))
        return str(
            host.for_container(dns=spec.dns, search=spec.dns_search, options=spec.dns_options)
        )

    # ------------------------------------------------------------ the network

    def default(self) -> Network:
        """The network `bridge`; its bridge is up when this returns."""
        network = self._find_default()
        with Netlink() as netlink:
            if network and bridge.is_ready(netlink, network.bridge, network.gateway):
                return network
            return self._establish(netlink)

    def default_identity(self) -> tuple[str, str]:
        """Id and name of the network `bridge`, made or not; empty before its first use."""
        network = self._find_default()
        return (network.id, network.name) if network else ("", "")

    def _find_default(self) -> Network | None:
        return leases.as_network(self._database.row(leases.FIND_NETWORK, _DEFAULT))

    def _establish(self, netlink: Netlink) -> Network:
        with locks.held(_HOST_LOCK), self._database.transaction() as connection:
            network = self._find_default()
            used = tuple(self._used(netlink))
            if network is None or _is_taken(network, used):
                network = self._with_subnet(network, pools.choose(used))
                leases.store_network(connection, network)
            bridge.ensure(Kernel(), netlink, network.bridge, network.gateway, network.prefix_length)
            return network

    def _with_subnet(self, network: Network | None, block: pools.Block) -> Network:
        return Network(
            id=network.id if network else secrets.token_hex(32),
            name=_DEFAULT,
            driver="bridge",
            bridge=self._area.bridge,
            subnet=str(block),
            gateway=pools.gateway_of(block),
            created=network.created if network else time.time(),
        )

    def _used(self, netlink: Netlink) -> Iterator[pools.Block]:
        """What the host has routes to, except by our own bridge, and its name servers."""
        own = rtnl.find_link(netlink, self._area.bridge)
        for address, length, index in rtnl.routes(netlink):
            if own is None or index != own.index:
                yield pools.Block(leases.number_of(address), length)
        for server in names.Resolver.parse(_text(_RESOLV_CONF)).servers:
            if ":" not in server:
                yield pools.Block.parse(server)

    # ------------------------------------------------------------ upkeep

    def repair(self) -> None:
        """Install the table if it was flushed, and set the published ports right.

        Elements that a killed supervisor left are deleted, missing ones are added. Does nothing
        when the area has no bridge, and so no containers on it.
        """
        network = self._find_default()
        with Netlink() as netlink:
            if network is None or rtnl.find_link(netlink, network.bridge) is None:
                return
        table, run = self._place.table, self._place.run
        with Netlink(NETLINK_NETFILTER) as netlink:
            if not ensure_table(netlink, table, network.bridge, network.subnet, run):
                nft.set_right(netlink, table, lambda: records.alive(run))

    def sweep(self) -> None:
        """Take back what containers left that ended without a last word: leases and ports."""
        if self._over():
            with self._database.transaction() as connection:
                for container_id in self._over():  # looked at again: now nobody takes a new one
                    leases.release(connection, container_id)
        self.repair()

    def _over(self) -> list[str]:
        """The containers whose lease nobody needs any more."""
        rows = self._database.rows("SELECT DISTINCT container_id FROM leases")
        return [container_id for (container_id,) in rows if not self._needs_lease(container_id)]

    def _needs_lease(self, container_id: str) -> bool:
        # in this order: a claim is dropped only when the supervisor's lock is held
        return self._claims.is_taken(container_id) or records.is_alive(
            f"{self._place.run}/{container_id}"
        )

    def traffic(self, veth: str) -> tuple[int, int]:
        """Bytes (received, sent) as the container sees them: the host's end counts in reverse."""
        with Netlink() as netlink:
            link = rtnl.find_link(netlink, veth)
        return (link.tx_bytes, link.rx_bytes) if link else (0, 0)

    def forward_warning(self) -> str:
        """Why containers will not reach the network, and the remedy; empty when they will."""
        with Netlink(NETLINK_NETFILTER) as netlink:
            return nft.forward_warning(netlink, self._place.table, self._area.bridge)

    def remove_all(self) -> None:
        """Delete the area's bridge and table. Containers on it lose their network."""
        with Netlink(NETLINK_NETFILTER) as netlink:
            nft.remove(netlink, self._place.table)
        with Netlink() as netlink:
            bridge.remove(netlink, self._area.bridge)

    def close(self) -> None:
        """Give up the claims of starts that were not finished."""
        self._claims.close()


def _is_taken(network: Network, used: Iterable[pools.Block]) -> bool:
    block = pools.Block.parse(network.subnet)
    return any(block.overlaps(other) for other in used)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""  # a host without resolv.conf has no servers of its own
