"""`engine.networks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic_runtime.engine.facet import Facet, freeing

if TYPE_CHECKING:
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.host_network import HostNetwork, NetworkWatch
    from dockmagic_runtime.model.network import Attachment, Network, NetworkSpec, PrunedNetworks
    from dockmagic_runtime.model.topology import Topology, Trace


class LocalNetworks(Facet):
    """The networks of one data root."""

    def create(self, spec: NetworkSpec) -> Network:
        """A new network. Raises Conflict for a name or addresses in use, InvalidInput."""
        return self._components.networks.store.create(spec)

    def warning(self, name: str) -> str:
        """Why packets will not leave it, with the remedy; empty when nothing is in the way.

        Raises NotFound, and Unsupported on a host without nftables.
        """
        network = self.get(name)
        if not network.bridge or network.internal:
            return ""
        networks = self._components.networks
        return networks.forward_warning(network.bridge, ipv6=bool(network.subnet6))

    def get(self, name: str) -> Network:
        """By name, id or unique prefix of an id. Raises NotFound."""
        return self._components.networks.store.find(name)

    def list(self, filters: Filters | None = None) -> tuple[Network, ...]:
        """By name. Filters: dangling, driver, id, label, name, scope and type, lists of values."""
        from dockmagic_runtime.containers.network import networks

        own = self._components
        return networks.find(own.networks, own.containers, filters or {})

    def inspect(self, name: str) -> dict[str, Any]:
        """Docker's JSON of a network, with the containers that are on it now."""
        from dockmagic_runtime.containers.network import networks

        own = self._components
        return networks.inspect(own.networks, own.containers, self.get(name))

    def topology(self, name: str = "") -> Topology:
        """Host, bridges and running containers, and how they hang together; of one network, if it
        is named. Raises NotFound."""
        from dockmagic_runtime.containers.network import topology

        return topology.look(self._components.networks, self._components.containers, name)

    def host(self) -> HostNetwork:
        """The links, addresses, routes and neighbours of the host.

        The first call in a process takes up to half a second, by which pyroute2 is imported.
        """
        from dockmagic_runtime.network.host import snapshot

        return snapshot.read()

    def watch(self, name: str = "", *, interval: float = 1.0) -> NetworkWatch:
        """An iterator over changes of the host's links, addresses, routes and neighbours, and over
        the counters of all networks' bridges and their ports, every `interval` seconds (0: never).

        With `name`, only what concerns the bridge of that network. It ends when its `close` is
        called, by any thread; `now` is the state to which the next change applies.

        Raises NotFound for the name, InvalidInput for a network without a bridge.
        """
        from dockmagic_runtime.errors import InvalidInput
        from dockmagic_runtime.network.host.watch import HostWatch

        bridge = self.get(name).bridge if name else ""
        if name and not bridge:
            raise InvalidInput(f"network {name} has no bridge that could be watched")
        bridges = self._components.networks.store.bridges
        return HostWatch(bridges, only=bridge, interval=interval)

    def trace(self, target: str) -> Trace:
        """The ways to `ADDRESS:PORT[/udp]` or `CONTAINER:PORT`, each measured by a probe.

        Raises NotFound for a port that is not published, InvalidInput.
        """
        from dockmagic_runtime.containers.trace import trace

        own = self._components
        return trace.trace(own.networks, own.containers, own.cgroups, target)

    @freeing
    def remove(self, name: str, *, force: bool = False) -> bool:
        """Remove it; whether there was one. Raises Conflict while a container on it runs; NotFound,
        unless `force`."""
        from dockmagic_runtime.containers.network import networks

        own = self._components
        return networks.remove(own.networks, own.containers, name, force=force)

    @freeing
    def prune(self, filters: Filters | None = None) -> PrunedNetworks:
        """Remove those that no running container is on. Filters: until, label, label!."""
        from dockmagic_runtime.containers.network import networks

        own = self._components
        return networks.prune(own.networks, own.containers, filters or {})

    def connect(self, name: str, container: str, attachment: Attachment | None = None) -> None:
        """Put a container on one more network, at once if it runs. `attachment` says how.

        Raises Conflict when it is on it already, InvalidInput.
        """
        from dockmagic_runtime.containers.network import connect
        from dockmagic_runtime.model.network import Attachment

        own, network = self._components, self.get(name)
        record = own.containers.find(container)
        attachment = attachment or Attachment(network=network.name)
        connect.connect(own.starter, record, network, attachment)

    @freeing
    def disconnect(self, name: str, container: str, *, force: bool = False) -> None:
        """Take a container off a network, at once if it runs. Raises Conflict if it is not on it.

        `force`: also when the network has gone, or the container.
        """
        from dockmagic_runtime.containers.network import connect

        connect.disconnect(self._components.starter, name, container, force=force)
