"""`NetworkStore`: the networks of an area, in the database and on the host.

A network is a row, a directory with the file that supervisors read (`network_config`), a bridge,
and some elements of our nftables table. The row decides whether it exists: it is written last and
deleted first, so that a directory without a row shows what a killed call has left. A subnet is
chosen and its bridge created under one lock of the host, so that two data roots never choose the
same.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from dockmagic_runtime.errors import Conflict, NotFound, Unsupported
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.names import require_name
from dockmagic_runtime.model.network import PREDEFINED, Network, NetworkSpec
from dockmagic_runtime.network import (
    bridge,
    definition,
    network_config,
    options,
    rows,
    rtnl,
    subnets,
)
from dockmagic_runtime.network.ipam import pools
from dockmagic_runtime.network.ipam.pools import Block
from dockmagic_runtime.network.nftables import ruleset
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.network.operations import ensure_table
from dockmagic_runtime.network.plan import NetworkPaths, bridge_config
from dockmagic_runtime.network.requirements import needs_bridges, needs_nftables
from dockmagic_runtime.store import locks
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.database import Database
from dockmagic_runtime.store.events import emit

DEFAULT = "bridge"
_HOST_LOCK = "/run/dockmagic.lock"
_ID = "[0-9a-f]{64}"


class NetworkStore:
    def __init__(self, data_root: DataRoot, database: Database) -> None:
        self._data_root = data_root
        self._database = database
        self.paths = NetworkPaths(
            table=data_root.nft_table, run=data_root.run_path, networks=f"{data_root.path}/networks"
        )

    # ------------------------------------------------------------ reading

    def find(self, wanted: str) -> Network:
        """By id, name, or unique prefix of an id. Raises NotFound, and InvalidInput for no name."""
        require_name("network", wanted)
        if wanted in (*PREDEFINED, "default"):
            return self._predefined("bridge" if wanted == "default" else wanted)
        return self._restored(rows.find(self._database, wanted))

    def everything(self) -> list[Network]:
        """All networks by name, with the three predefined ones."""
        for name in PREDEFINED:
            try:
                self._predefined(name)
            except Conflict:
                pass  # no addresses are left for `bridge`: a start reports it
            except OSError as error:
                if error.errno not in DISK_UNWRITABLE:
                    raise
        return list(map(self._restored, rows.everything(self._database)))

    def _restored(self, network: Network) -> Network:
        """The network; one with a damaged row as it is in its own directory, if that has it."""
        if not network.damage:
            return network
        known = network_config.definition(f"{self.paths.networks}/{network.id}")
        if known is None or (known.id, known.name) != (network.id, network.name):
            return network
        with self._database.transaction() as connection:
            rows.store(connection, known)
        return known

    def bridges(self) -> set[str]:
        """The names of the bridges of all networks, whether or not they exist on the host."""
        rows = self._database.rows("SELECT bridge FROM networks WHERE bridge != ''")
        return {bridge for (bridge,) in rows}

    def _predefined(self, name: str) -> Network:
        network = rows.by_name(self._database, name)
        if network is None and name == DEFAULT:
            with Netlink() as netlink:
                return self._establish(netlink, makes_bridge=False)
        return network or self._add_predefined(name)

    def _add_predefined(self, name: str) -> Network:
        with self._database.transaction() as connection:
            network = rows.by_name(self._database, name)
            if network is None:
                driver = {"none": "null"}.get(name, name)
                network = Network(
                    id=os.urandom(32).hex(),
                    name=name,
                    driver=driver,
                    bridge="",
                    subnet="",
                    gateway="",
                    created=time.time(),
                )
                rows.store(connection, network)
            return network

    # ------------------------------------------------------------ the default network

    def default(self) -> Network:
        """The network `bridge`; its bridge is up when this returns."""
        network = rows.by_name(self._database, DEFAULT)
        with Netlink() as netlink:
            if network is not None and _is_ready(netlink, network):
                return network
            return self._establish(netlink)

    def _establish(self, netlink: Netlink, *, makes_bridge: bool = True) -> Network:
        """Choose its subnet when it is first needed, and again if the subnet was taken by another
        program while the bridge did not exist."""
        with locks.held(_HOST_LOCK), self._database.transaction() as connection:
            network = rows.by_name(self._database, DEFAULT)
            used = [
                *subnets.used_on_host(netlink, own=self._data_root.bridge),
                *subnets.of_others(connection, DEFAULT),
            ]
            if network is None or network.damage or subnets.is_taken(network, used):
                self._forget_config(network)
                network = self._with_subnet(network, pools.choose(used))
                rows.store(connection, network)
            self._write_config(network)
            if makes_bridge:
                with needs_bridges(network.bridge):
                    bridge.ensure(Kernel(), netlink, _bridge_of(network))
            return network

    def _with_subnet(self, network: Network | None, block: Block) -> Network:
        subnet, gateway = str(block), pools.gateway_of(block)
        if network is not None:
            return replace(network, subnet=subnet, gateway=gateway, damage="")
        return Network(
            id=os.urandom(32).hex(),
            name=DEFAULT,
            driver="bridge",
            bridge=self._data_root.bridge,
            created=time.time(),
            subnet=subnet,
            gateway=gateway,
        )

    def _forget_config(self, network: Network | None) -> None:
        if network is not None and not network.damage:
            with Netlink(NETLINK_NETFILTER) as netlink:
                ruleset.disconnect(netlink, self.paths.table, bridge_config(network))

    # ------------------------------------------------------------ creating

    def create(self, spec: NetworkSpec) -> Network:
        """Create a network; its bridge is up when this returns.

        Raises InvalidInput, Conflict, Unsupported and NotFound in Docker's words, with nothing
        changed.
        """
        definition.check(spec)
        if rows.by_name(self._database, spec.name) is not None:  # before any effect
            raise Conflict(f"network with name {spec.name} already exists")
        if spec.config_only:
            return self._create_configuration(spec)
        config_from = spec.config_from
        if config_from:
            spec = definition.configured(spec, self._configuration(config_from))
            definition.check(spec)
        if not definition.pool_of(spec, 32).subnet:
            self._predefined(DEFAULT)  # it has the first pool, whichever network is created first
        transaction = self._database.transaction
        with Netlink() as netlink, locks.held(_HOST_LOCK), transaction() as connection:
            network = self._defined(connection, netlink, spec, config_from)
            with self._directory_of(network):
                self._build(netlink, network)
                rows.store(connection, network)
        self._emit("create", network)
        return network

    def _create_configuration(self, spec: NetworkSpec) -> Network:
        with self._database.transaction() as connection:
            network = definition.as_configuration(
                spec, network_id=self._free_id(connection), created=time.time()
            )
            with self._directory_of(network):
                rows.store(connection, network)
        self._emit("create", network)
        return network

    def _configuration(self, name: str) -> Network:
        network = rows.by_name(self._database, name)
        if network is None or not network.config_only:
            raise NotFound(f'configuration network "{name}" does not exist')
        return network

    def _defined(
        self,
        connection: sqlite3.Connection,
        netlink: Netlink,
        spec: NetworkSpec,
        config_from: str,
    ) -> Network:
        network_id = self._free_id(connection)
        blocks = [subnets.choose4(connection, netlink, spec)]
        if spec.ipv6:
            blocks.append(subnets.choose6(connection, spec, self._data_root.root))
        network = definition.as_network(
            spec,
            network_id=network_id,
            bridge=self._data_root.bridge_of(network_id),
            created=time.time(),
            blocks=blocks,
            config_from=config_from,
        )
        if other := rows.with_bridge(connection, network.bridge):
            raise Conflict(
                f"cannot create network {network.id} ({network.bridge}): conflicts with network "
                f"{other} ({network.bridge}): networks have same bridge name"
            )
        if rtnl.find_link(netlink, network.bridge) is not None:
            raise Conflict(
                f"bridge name {network.bridge} is already in use on this host",
                hint="choose another name, or leave the option out",
            )
        return network

    def _free_id(self, connection: sqlite3.Connection) -> str:
        """An id with a free name for its bridge: the name has only a few digits of the id."""
        while True:
            network_id = os.urandom(32).hex()
            if not rows.with_bridge(connection, self._data_root.bridge_of(network_id)):
                return network_id

    @contextmanager
    def _directory_of(self, network: Network) -> Iterator[None]:
        """Create the network's directory; if the block fails, remove all traces of the network."""
        try:
            self._write_config(network)
            yield
        except BaseException:
            self._remove_rest(network.id)
            raise

    def _write_config(self, network: Network) -> None:
        directory = f"{self.paths.networks}/{network.id}"
        os.makedirs(f"{directory}/endpoints", 0o700, exist_ok=True)
        config = bridge_config(network) if network.bridge else None
        try:
            network_config.write(directory, network, config)
        except IsADirectoryError:
            _remove_directory(f"{directory}/{network_config.NAME}")
            network_config.write(directory, network, config)

    def _build(self, netlink: Netlink, network: Network) -> None:
        with needs_bridges(network.bridge):
            bridge.ensure(Kernel(), netlink, _bridge_of(network))
        known, paths = bridge_config(network), self.paths
        with needs_nftables(), Netlink(NETLINK_NETFILTER) as netfilter:
            ensure_table(netfilter, paths.table, known, paths.networks, paths.run)

    # ------------------------------------------------------------ removing

    def remove(self, network: Network) -> None:
        """Remove the network, from which the caller has disconnected all containers.

        Raises Conflict for a predefined network, and for one with a lease.
        """
        if network.is_predefined:
            raise Conflict(
                f"{network.name} is a pre-defined network and cannot be removed", hint=""
            )
        if network.config_only and any(
            other.config_from == network.name for other in rows.everything(self._database)
        ):
            raise Conflict(
                f'error while removing network: configuration network "{network.name}" is in use'
            )
        try:
            with self._database.transaction() as connection:
                rows.delete(connection, network.id)
        except sqlite3.IntegrityError:  # a lease refers to it, of a start since then
            raise Conflict(
                f"error while removing network: network {network.name} id {network.id} "
                "has active endpoints"
            ) from None
        known = bridge_config(network) if network.bridge and network.subnet else None
        self._remove_rest(network.id, known)
        self._emit("destroy", network)

    def _remove_rest(self, network_id: str, known: BridgeConfig | None = None) -> None:
        """Remove the rest of a network without a row: its bridge, its elements, its directory.

        `known` is its config; by default it is read in its directory.
        """
        directory = f"{self.paths.networks}/{network_id}"
        known = known or network_config.read(directory) or self._guess(network_id)
        if known is not None:
            with Netlink() as netlink:
                if rtnl.find_link(netlink, known.bridge) is not None:
                    bridge.remove(netlink, known.bridge)
            self._forget(known, directory)
        _remove_directory(directory)

    def _guess(self, network_id: str) -> BridgeConfig | None:
        """The config of a network with a damaged file: its bridge has a name made of the id."""
        if not re.fullmatch(_ID, network_id):
            return None
        return BridgeConfig(bridge=self._data_root.bridge_of(network_id), subnet="")

    def _forget(self, known: BridgeConfig, directory: str) -> None:
        """Delete its elements, its directory, and its elements again: a process that installed the
        table meanwhile has read them in the directory."""
        try:
            with needs_nftables(), Netlink(NETLINK_NETFILTER) as netfilter:
                ruleset.disconnect(netfilter, self.paths.table, known)
                _remove_directory(directory)
                ruleset.disconnect(netfilter, self.paths.table, known)
        except Unsupported:
            pass  # where rules are not allowed there are none

    def sweep(self) -> None:
        """Remove what killed calls have left: directories without a row. Write damaged files anew.

        Rows are written and deleted in transactions, and a directory is created inside one.
        """
        self._write_damaged_configs()
        try:
            names = os.listdir(self.paths.networks)
        except FileNotFoundError:
            return
        present = {name for name in names if re.fullmatch(_ID, name)}
        if present <= rows.ids(self._database):
            return
        with self._database.transaction():
            orphans = present - rows.ids(self._database)
        for network_id in orphans:
            try:
                self._remove_rest(network_id)
            except PermissionError:
                return  # it needs rights that this process lacks: left to another
        if orphans:
            self._add_all_again()

    def _write_damaged_configs(self) -> None:
        for network in rows.everything(self._database):
            if network.bridge and not network.damage:
                directory = f"{self.paths.networks}/{network.id}"
                if network_config.read(directory) == bridge_config(network):
                    continue
                try:
                    self._write_config(network)
                except OSError as error:
                    if error.errno not in DISK_UNWRITABLE:
                        raise

    def restore(self) -> list[str]:
        """Insert rows for networks in directories without one, after the database was lost.

        To be called before any `sweep`, which removes such directories. Returns the ids of the
        networks that cannot be restored.
        """
        try:
            present = {name for name in os.listdir(self.paths.networks) if re.fullmatch(_ID, name)}
        except FileNotFoundError:
            return []
        lost: list[str] = []
        for network_id in sorted(present - rows.ids(self._database)):
            network = network_config.definition(f"{self.paths.networks}/{network_id}")
            try:
                if network is None or network.id != network_id:
                    raise Conflict(f"network {network_id[:12]} is damaged")
                with self._database.transaction() as connection:
                    rows.store(connection, network)
            except Conflict:
                lost.append(network_id)
        return lost

    def _add_all_again(self) -> None:
        """A network that was removed late may have had the subnet of one created since."""
        configs = network_config.everything(self.paths.networks)
        try:
            with needs_nftables(), Netlink(NETLINK_NETFILTER) as netfilter:
                for config, family in (
                    (each, family) for each in configs for family in each.families
                ):
                    if ruleset.knows(netfilter, self.paths.table, family, config.bridge):
                        ruleset.connect(netfilter, self.paths.table, family, config)
        except Unsupported:
            pass  # without a table, or the right to it, no element was lost

    def remove_all(self) -> None:
        """Delete the tables and all bridges; the next start creates them again."""
        with Netlink(NETLINK_NETFILTER) as netfilter:
            ruleset.remove(netfilter, self.paths.table)
        with Netlink() as netlink:
            rowed = {network.bridge for network in rows.everything(self._database)}
            # the default's bridge is deleted even if its row was lost
            for name in sorted(rowed | {self._data_root.bridge}):
                if name:
                    bridge.remove(netlink, name)

    def _emit(self, action: str, network: Network) -> None:
        attributes = {"name": network.name, "type": network.driver}
        emit(
            self._data_root.path,
            Event(type="network", action=action, id=network.id, attributes=attributes),
        )


def _remove_directory(directory: str) -> None:
    try:
        remove_tree(directory)
    except FileNotFoundError:
        pass  # another process removed it


def _is_ready(netlink: Netlink, network: Network) -> bool:
    return not network.damage and bridge.is_ready(netlink, network.bridge, network.gateway)


def _bridge_of(network: Network) -> bridge.Bridge:
    return bridge.Bridge(
        name=network.bridge,
        gateway=network.gateway,
        prefix_length=network.prefix_length,
        gateway6=network.gateway6,
        prefix_length6=network.prefix_length6,
        mtu=options.mtu(network.options),
        internal=network.internal,
    )
