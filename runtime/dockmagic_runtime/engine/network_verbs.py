"""`NetworkVerbs`: the part of the engine's façade that is about networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic_runtime.cgroups import Cgroups
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.network import Attachment, Network, NetworkSpec, PrunedNetworks
from dockmagic_runtime.model.topology import Topology, Trace
from dockmagic_runtime.network.networks import Networks

if TYPE_CHECKING:
    from dockmagic_runtime.model.filters import Filters


class NetworkVerbs:
    """A mixin. The class that uses it provides the attributes below."""

    _networks: Networks
    _containers: ContainerStore
    _starter: Starter
    _cgroups: Cgroups

    def create_network(self, spec: NetworkSpec) -> Network:
        """Creates a network. Raises Conflict for a name or addresses in use, InvalidInput."""
        return self._networks.store.create(spec)

    def network_warning(self, name: str) -> str:
        """Why packets will not leave the network, with the remedy; empty when they do.

        Raises NotFound, and Unsupported on a host without nftables.
        """
        network = self.network(name)
        if not network.bridge or network.internal:
            return ""
        return self._networks.forward_warning(network.bridge, ipv6=bool(network.subnet6))

    def network(self, name: str) -> Network:
        """By name, id or unique prefix of an id. Raises NotFound."""
        return self._networks.store.find(name)

    def networks(self, filters: Filters | None = None) -> tuple[Network, ...]:
        """By name. Filters: dangling, driver, id, label, name, scope and type, lists of values."""
        from dockmagic_runtime.containers.network import networks

        return networks.find(self._networks, self._containers, filters or {})

    def inspect_network(self, name: str) -> dict[str, Any]:
        """Docker's JSON of a network, with the containers that are on it now."""
        from dockmagic_runtime.containers.network import networks

        return networks.inspect(self._networks, self._containers, self.network(name))

    def topology(self, name: str = "") -> Topology:
        """The host, its bridges and the running containers, with the links between them; of the
        network `name` only, if it is given. Raises NotFound."""
        from dockmagic_runtime.containers.network import topology

        return topology.look(self._networks, self._containers, name)

    def trace(self, target: str) -> Trace:
        """The routes to `ADDRESS:PORT[/udp]` or `CONTAINER:PORT`, each measured by a probe.

        Raises NotFound when no container publishes the port, InvalidInput.
        """
        from dockmagic_runtime.containers.trace import trace

        return trace.trace(self._networks, self._containers, self._cgroups, target)

    def remove_network(self, name: str, *, force: bool = False) -> bool:
        """Removes a network. Returns whether there was one.

        Raises Conflict while a container on it runs; NotFound, unless `force`.
        """
        from dockmagic_runtime.containers.network import networks

        return networks.remove(self._networks, self._containers, name, force=force)

    def prune_networks(self, filters: Filters | None = None) -> PrunedNetworks:
        """Removes the networks that no running container is on. Filters: until, label, label!."""
        from dockmagic_runtime.containers.network import networks

        return networks.prune(self._networks, self._containers, filters or {})

    def connect_network(self, name: str, container: str, attachment: Attachment) -> None:
        """Connects a container to one more network, at once if it runs.

        Raises Conflict when it is connected already, InvalidInput.
        """
        from dockmagic_runtime.containers.network import connect

        network = self.network(name)
        connect.connect(self._starter, self._containers.find(container), network, attachment)

    def disconnect_network(self, name: str, container: str, *, force: bool = False) -> None:
        """Disconnects a container from a network, at once if it runs.

        `force`: also when the network or the container no longer exists. Raises Conflict for a
        container that is not connected.
        """
        from dockmagic_runtime.containers.network import connect

        connect.disconnect(self._starter, name, container, force=force)
