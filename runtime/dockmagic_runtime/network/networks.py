"""`Networks`: connects containers that start, and keeps leases, rules and files consistent."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound, StateDamaged, Unsupported
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.model.container import ContainerSpec, PortMapping
from dockmagic_runtime.model.network import INTERFACE_NAME, Attachment, Network
from dockmagic_runtime.network import endpoints, options, published_ports_file, rows, rtnl, subnets
from dockmagic_runtime.network.endpoint_operations import BringUpLoopback
from dockmagic_runtime.network.etc import host_files, hosts
from dockmagic_runtime.network.etc.resolv_conf import ResolvConf
from dockmagic_runtime.network.ipam import leases
from dockmagic_runtime.network.ipam.claims import Claims
from dockmagic_runtime.network.ipam.leases import Lease
from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.network.nftables import firewall, published_ports, ruleset, wire
from dockmagic_runtime.network.operations import ensure_table
from dockmagic_runtime.network.plan import (
    Connection,
    ContainerInfo,
    EndpointPlan,
    bridge_config,
    plan,
)
from dockmagic_runtime.network.requirements import needs_nftables
from dockmagic_runtime.network.store import DEFAULT, NetworkStore
from dockmagic_runtime.store import container_process
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database

_LINK_LOCAL = (Block.parse("169.254.0.0/16"), Block.parse("fe80::/10"))
_DEFAULT_ATTACHMENT = (Attachment(network=DEFAULT),)


class Networks:
    def __init__(self, data_root: DataRoot, database: Database) -> None:
        self._data_root = data_root
        self._database = database
        self.store = NetworkStore(data_root, database)
        self.paths = self.store.paths
        self._claims = Claims(data_root.run_path)

    # ------------------------------------------------------------ for a start

    def connect(
        self,
        container: ContainerInfo,
        ports: Sequence[PortMapping] = (),
        attachments: Sequence[Attachment] = _DEFAULT_ATTACHMENT,
    ) -> Connection:
        """Lease addresses on the networks; the operations that connect the container to them.

        The leases are claimed until `confirm` or `release`: no `sweep` of any process takes them.

        Raises Conflict when another process is starting the same container and when an address is
        taken, and NotFound for a network that was removed.
        """
        self._claims.take(container.id)
        try:
            joined = self._endpoints(container, attachments)
        except BaseException:
            self.release(container.id)
            raise
        return plan(self.paths, container, joined, ports)

    def _endpoints(
        self, container: ContainerInfo, attachments: Sequence[Attachment]
    ) -> list[EndpointPlan]:
        if any(attachment.network == DEFAULT for attachment in attachments):
            self.store.default()
        leased = self.lease(container.id, attachments)
        for network, _ in leased:
            if network.name != DEFAULT:
                subnets.require_free_subnet(network)
        endpoints: list[EndpointPlan] = []
        for (network, lease), attachment in zip(leased, attachments, strict=True):
            interface = free_interface(network, attachment, _interfaces(endpoints))
            endpoints.append(new_endpoint(network, attachment, lease, interface))
        return endpoints

    def lease(
        self, container_id: str, attachments: Sequence[Attachment]
    ) -> list[tuple[Network, Lease]]:
        """An address on each of the networks, or on none of them."""
        try:
            with self._database.transaction() as connection:
                return list(_leases(connection, container_id, attachments))
        except Conflict:
            self.sweep()  # containers that ended by themselves may still have theirs
        with self._database.transaction() as connection:
            return list(_leases(connection, container_id, attachments))

    def present(
        self,
        container_id: str,
        attachments: Sequence[Attachment],
        recorded: Mapping[str, dict[str, Any]],
    ) -> list[EndpointPlan]:
        """The endpoints of a running container, on each network where it has an address.

        `recorded` are the endpoints in its state file, by network id.
        """
        with self._database.snapshot() as connection:
            present: list[EndpointPlan] = []
            for attachment in attachments:
                network = rows.attached(connection, attachment)
                lease = network and leases.lease_of(connection, network.id, container_id)
                if network is not None and lease:
                    interface = free_interface(network, attachment, _interfaces(present))
                    endpoint = new_endpoint(network, attachment, lease, interface)
                    present.append(_as_recorded(endpoint, recorded.get(network.id)))
            return present

    @staticmethod
    def isolate() -> Connection:
        """The connection of `--network none`: a namespace with loopback alone."""
        return Connection(operations=(BringUpLoopback(),), endpoint={})

    def confirm(self, container_id: str) -> None:
        """Drop the claim: from now on the lock of the container's supervisor keeps the leases."""
        self._claims.drop(container_id)

    def release(self, container_id: str, network_id: str = "") -> None:
        """Give the container's addresses back, or that on one network. Idempotent."""
        with self._database.transaction() as connection:
            leases.release(connection, container_id, network_id)
        if not network_id:
            self._claims.drop(container_id)

    @staticmethod
    def hosts(
        hostname: str,
        spec: ContainerSpec,
        connection: Connection | None,
        linked: Sequence[tuple[str, str]] = (),
    ) -> str:
        """The text of the container's /etc/hosts; each of `linked` is an address and its names."""
        if spec.network == "host" and not spec.extra_hosts:
            return host_files.read(host_files.HOSTS)
        endpoint = connection.endpoint if connection else {}
        return hosts.text(
            hostname,
            addresses=hosts.own_addresses(endpoint),
            domainname=spec.domainname,
            extra=spec.extra_hosts,
            gateway=endpoint.get("gateway", "") or ("127.0.0.1" if spec.network == "host" else ""),
            linked=linked,
        )

    @staticmethod
    def resolv_conf(spec: ContainerSpec, *, has_names: bool = False) -> str:
        """The text of the container's /etc/resolv.conf; `has_names`: it has a DNS server."""
        text = host_files.read(host_files.RESOLV_CONF)
        if spec.network == "host" and not (spec.dns or spec.dns_search or spec.dns_options):
            return text
        host = ResolvConf.parse(text)
        if host.is_stub:
            host = ResolvConf.parse(host_files.read(host_files.RESOLVED_UPSTREAMS))
        if has_names:
            return str(host.for_embedded(search=spec.dns_search, options=spec.dns_options))
        return str(
            host.for_container(dns=spec.dns, search=spec.dns_search, options=spec.dns_options)
        )

    # ------------------------------------------------------------ upkeep

    def default(self) -> Network:
        """The network `bridge`; its bridge is up when this returns."""
        return self.store.default()

    def repair(self) -> bool:
        """Install the table if it was flushed, and correct the published ports.

        Elements that a killed supervisor left are deleted, missing ones are added. Without a
        bridge there are no containers, and nothing is done. Returns whether a repair was needed.
        """
        known = [bridge_config(network) for network in self._some_that_are_up()]
        if not known:
            return False
        paths = self.paths
        try:
            with needs_nftables(), Netlink(NETLINK_NETFILTER) as netlink:
                installed = [
                    ensure_table(netlink, paths.table, config, paths.networks, paths.run)
                    for config in known
                ]
                righted = published_ports.correct(
                    netlink, paths.table, lambda: published_ports_file.alive(paths.run)
                )
                return righted or any(installed)
        except Unsupported:
            return False  # nothing to repair; a start on a network raises this

    def _some_that_are_up(self) -> list[Network]:
        """A network with its bridge, and one with IPv6: each family has a table of its own,
        and one may be flushed without the other."""
        with Netlink() as netlink:
            each = [self._first_up(netlink, where) for where in ("", " AND subnet6 != ''")]
        return list({network.id: network for network in each if network is not None}.values())

    def _first_up(self, netlink: Netlink, where: str) -> Network | None:
        candidates = self._database.rows(
            f"SELECT id, bridge FROM networks WHERE bridge != ''{where} ORDER BY name != ? LIMIT 8",
            DEFAULT,
        )
        for network_id, bridge in candidates:
            if rtnl.find_link(netlink, bridge) is not None:
                with self._database.snapshot() as connection:
                    return rows.by_id(connection, network_id)
        return None

    def sweep(self) -> None:
        """Take back what killed supervisors left: leases, published ports, files."""
        if self._over():
            with self._database.transaction() as connection:
                for container_id in self._over():  # again: within the transaction none is added
                    leases.release(connection, container_id)
        self._claims.sweep()
        self.store.sweep()
        self.repair()

    def _over(self) -> list[str]:
        """The containers with leases that are not needed any more."""
        leased = self._database.rows("SELECT DISTINCT container_id FROM leases")
        return [container_id for (container_id,) in leased if not self._needs_lease(container_id)]

    def _needs_lease(self, container_id: str) -> bool:
        # in this order: a claim is dropped only when the container is alive
        return self._claims.is_taken(container_id) or container_process.is_alive(
            f"{self.paths.run}/{container_id}"
        )

    def forget_endpoints(
        self, container_id: str, networks: Mapping[str, dict[str, Any]]
    ) -> tuple[tuple[str, str, str], ...]:
        """Remove the endpoint files of a container after its supervisor was killed.

        `networks` are those of its state file. Returns the networks' fields for events.
        """
        for network_id in networks:
            endpoints.remove(self.paths.networks, network_id, container_id)
        return tuple((key, fields.get("name", ""), DEFAULT) for key, fields in networks.items())

    def forget_everywhere(self, container_id: str) -> None:
        """Remove its endpoint files of all networks, when its state file is lost."""
        for network_id in rows.ids(self._database):
            endpoints.remove(self.paths.networks, network_id, container_id)

    def members(self, network_id: str) -> list[str]:
        """The ids of the containers with an address on the network, by address."""
        with self._database.snapshot() as connection:
            return rows.members(connection, network_id)

    def counters(self, *, ipv6: bool = False) -> dict[tuple[str, str], int]:
        """The packets that each of our rules has counted, by chain and comment."""
        family = wire.IPV6 if ipv6 else wire.IPV4
        with Netlink(NETLINK_NETFILTER) as netlink:
            return ruleset.counters(netlink, self.paths.table, family)

    def forward_warning(self, bridge: str, *, ipv6: bool = False) -> str:
        """Why containers on that bridge will not reach other hosts, and the remedy; empty when they
        will. Raises Unsupported on a host without nftables."""
        with needs_nftables(), Netlink(NETLINK_NETFILTER) as netlink:
            return firewall.forward_warning(netlink, self.paths.table, bridge, ipv6=ipv6)

    def warning(self) -> str:
        """The warning of the default network, or the reason why there can be none."""
        try:
            return self.forward_warning(self._data_root.bridge)
        except Unsupported as error:
            return str(error)

    def remove_all(self) -> None:
        """Delete the bridges and tables. Containers on them lose their network."""
        self.store.remove_all()

    def close(self) -> None:
        """Drop the claims of starts that were not finished."""
        self._claims.close()


def new_endpoint(
    network: Network, attachment: Attachment, lease: Lease, interface: str
) -> EndpointPlan:
    return EndpointPlan(
        network=network,
        attachment=attachment,
        lease=lease,
        interface=interface,
        veth=f"veth{os.urandom(4).hex()[:7]}",
        id=os.urandom(32).hex(),
    )


def _interfaces(endpoints: Sequence[EndpointPlan]) -> list[str]:
    return [endpoint.interface for endpoint in endpoints]


def _as_recorded(endpoint: EndpointPlan, recorded: dict[str, Any] | None) -> EndpointPlan:
    if recorded is None:
        return endpoint
    return replace(
        endpoint,
        interface=recorded.get("interface", endpoint.interface),
        veth=recorded.get("veth", endpoint.veth),
        id=recorded.get("endpoint_id", endpoint.id),
    )


def free_interface(network: Network, attachment: Attachment, taken: Sequence[str]) -> str:
    """The name of one more interface in the container: as asked for, else the network's prefix and
    the lowest free number. Raises Conflict for a name in use."""
    if asked := dict(attachment.driver_options).get(INTERFACE_NAME):
        if asked in taken:
            raise Conflict(f"interface name {asked} is already in use in the container")
        return asked
    prefix = options.interface_prefix(network.options)
    return next(name for number in range(1 << 16) if (name := f"{prefix}{number}") not in taken)


def _leases(
    connection: sqlite3.Connection, container_id: str, attachments: Sequence[Attachment]
) -> Iterator[tuple[Network, Lease]]:
    for attachment in attachments:
        network = rows.attached(connection, attachment)
        if network is None:
            raise NotFound(f"network {attachment.network_id or attachment.network} not found")
        refuse_configuration(network)
        if network.damage:
            raise StateDamaged(
                f"network {network.name} is damaged: {network.damage}",
                hint=f"'docker network rm {network.name}' removes it",
            )
        yield (
            network,
            leases.allocate(
                connection,
                network,
                container_id,
                address=attachment.ipv4,
                address6=attachment.ipv6,
            ),
        )


def refuse_configuration(network: Network) -> None:
    """Raises Conflict for a network that is a configuration alone: no container can be on it."""
    if network.config_only:
        raise Conflict("cannot create endpoint on configuration-only network")


def check_attachment(network: Network, attachment: Attachment) -> None:
    """Raises InvalidInput, with Docker's texts, for options that this network does not have."""
    asked = [address for address in (attachment.ipv4, attachment.ipv6) if address]
    if network.is_predefined:
        if asked:
            raise InvalidInput(
                "user specified IP address is supported on user defined networks only"
            )
        if attachment.links:
            raise InvalidInput(
                f"links to other containers are made on {network.name} when a container is created",
                hint="use 'docker run --link', or a user defined network",
            )
        if attachment.aliases:
            raise InvalidInput(
                "network-scoped alias is supported only for containers in user defined networks"
            )
    if asked and not network.has_own_subnet:
        raise InvalidInput(
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets"
        )
    for address in attachment.link_local_ips:
        if not any(block.contains(address) for block in _LINK_LOCAL):
            raise InvalidInput(f"invalid link local IP address: {address}")
    subnets = [Block.parse(text) for text in (network.subnet, network.subnet6) if text]
    for address in asked:
        if not any(subnet.contains(address) for subnet in subnets):
            raise InvalidInput(
                f"invalid config for network {network.name}: invalid endpoint settings:\n"
                f"no configured subnet or ip-range contain the IP address {address}"
            )
