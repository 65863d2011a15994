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

    def create(self, name: str | NetworkSpec, **fields: Any) -> Network:
        """Creates a network.

        Args:
            name: A `NetworkSpec`, or the name: then `fields` are the rest.
            **fields: Fields of `NetworkSpec`, also under docker-py's names (`ipam`, `enable_ipv6`).

        Raises:
            Conflict: Name or addresses are in use.
            InvalidInput: A field is unknown, has a wrong type or an impossible value.
            Unsupported: An unknown driver, or a feature that this host lacks.
        """
        if isinstance(name, str):
            from dockmagic_runtime.engine.keywords import network_spec

            name = network_spec(name, fields)
        self._components.recover()
        return self._components.networks.store.create(name)

    def warning(self, name: str) -> str:
        """Returns why packets cannot leave a network, with the remedy; "" if they can.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such network.
            Unsupported: The host has no nftables.
        """
        network = self.get(name)
        if not network.bridge or network.internal:
            return ""
        networks = self._components.networks
        return networks.forward_warning(network.bridge, ipv6=bool(network.subnet6))

    def get(self, name: str) -> Network:
        """Returns a network.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such network.
        """
        return self._components.networks.store.find(name)

    def list(self, filters: Filters | None = None) -> tuple[Network, ...]:
        """Lists networks by name.

        Args:
            filters: `dangling`, `driver`, `id`, `label`, `name`, `scope` and `type`, each with a
                list of values.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        from dockmagic_runtime.containers.network import networks

        own = self._components
        return networks.find(own.networks, own.containers, filters or {})

    def inspect(self, name: str) -> dict[str, Any]:
        """Returns Docker's JSON of a network, with the containers that are on it now.

        Args:
            name: Name, id, or unique prefix of an id.

        Raises:
            NotFound: No such network.
        """
        from dockmagic_runtime.containers.network import networks

        own = self._components
        return networks.inspect(own.networks, own.containers, self.get(name))

    def topology(self, name: str = "") -> Topology:
        """Returns the host, its bridges and the running containers, with the links between them.

        Args:
            name: A network, to leave the others out. Default: all.

        Raises:
            NotFound: No such network.
        """
        from dockmagic_runtime.containers.network import topology

        return topology.look(self._components.networks, self._components.containers, name)

    def host(self) -> HostNetwork:
        """Returns the links, addresses, routes and neighbours of the host.

        The first call in a process takes up to half a second, by which pyroute2 is imported.
        """
        from dockmagic_runtime.network.host import snapshot

        return snapshot.read()

    def watch(self, name: str = "", *, interval: float = 1.0) -> NetworkWatch:
        """Iterates over changes of the host's links, addresses, routes and neighbours.

        And over the counters of all networks' bridges and their ports.

        Args:
            name: A network, to see its bridge only. Default: all.
            interval: Seconds between two readings of the counters. 0: never.

        Returns:
            An iterator that ends when its `close` is called, by any thread. Its `now` is the
            state to which the next change applies.

        Raises:
            NotFound: No such network.
            InvalidInput: The network has no bridge.
        """
        from dockmagic_runtime.errors import InvalidInput
        from dockmagic_runtime.network.host.watch import HostWatch

        bridge = self.get(name).bridge if name else ""
        if name and not bridge:
            raise InvalidInput(f"network {name} has no bridge that could be watched")
        bridges = self._components.networks.store.bridges
        return HostWatch(bridges, only=bridge, interval=interval)

    def trace(self, target: str) -> Trace:
        """Returns the routes to a port, each measured by a packet that is sent.

        Args:
            target: `ADDRESS:PORT[/udp]` or `CONTAINER:PORT`.

        Raises:
            NotFound: No such container, or no container publishes the port.
            InvalidInput: Not a target.
        """
        from dockmagic_runtime.containers.trace import trace

        own = self._components
        return trace.trace(own.networks, own.containers, own.cgroups, target)

    @freeing
    def remove(self, name: str, *, force: bool = False) -> bool:
        """Removes a network.

        Args:
            name: Name, id, or unique prefix of an id.
            force: Whether a missing network is no error.

        Returns:
            Whether there was one.

        Raises:
            NotFound: No such network, and `force` is false.
            Conflict: A container on it runs.
        """
        from dockmagic_runtime.containers.network import networks

        own = self._components
        own.recover()
        return networks.remove(own.networks, own.containers, name, force=force)

    @freeing
    def prune(self, filters: Filters | None = None) -> PrunedNetworks:
        """Removes the networks that no running container is on.

        Args:
            filters: `until`, `label` and `label!`, each with a list of values.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        from dockmagic_runtime.containers.network import networks

        own = self._components
        own.recover()
        return networks.prune(own.networks, own.containers, filters or {})

    def connect(self, name: str, container: str, attachment: Attachment | None = None) -> None:
        """Connects a container to one more network, at once if it runs.

        Args:
            name: Name, id, or unique prefix of an id.
            container: The container.
            attachment: Aliases, addresses and options there. Default: none.

        Raises:
            NotFound: No such network or container.
            Conflict: It is connected already, or an address is in use.
            InvalidInput: An impossible address or option.
        """
        from dockmagic_runtime.containers.network import connect
        from dockmagic_runtime.model.names import require_name
        from dockmagic_runtime.model.network import Attachment

        require_name("network", name)
        own = self._components
        record, network = own.containers.find(container), self.get(name)
        attachment = attachment or Attachment(network=network.name)
        connect.connect(own.starter, record, network, attachment)

    @freeing
    def disconnect(self, name: str, container: str, *, force: bool = False) -> None:
        """Disconnects a container from a network, at once if it runs.

        Args:
            name: Name, id, or unique prefix of an id.
            container: The container.
            force: Whether it is no error if the network or the container no longer exists.

        Raises:
            NotFound: No such network or container, and `force` is false.
            Conflict: It is not connected.
        """
        from dockmagic_runtime.containers.network import connect

        connect.disconnect(self._components.starter, name, container, force=force)
