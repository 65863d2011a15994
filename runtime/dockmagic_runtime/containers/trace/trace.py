"""The path of one connection from this host into a container, told while it is made.

A probe is sent; the counters of our nftables rules and of the container's cable are read before
and after. So what is told is what the kernel did, and not what it should have done. Where the
proxy serves what was asked for, a second probe goes by the address that a rule translates.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from dockmagic_runtime.cgroups import Cgroups
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.containers.trace import hops, probe, routes, sockets
from dockmagic_runtime.containers.trace.routes import RouteCandidate, TraceTarget
from dockmagic_runtime.model.topology import Route, Trace
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.network.nftables.flows import Flow


class TraceSession(Struct, frozen=True, kw_only=True):
    """Who looks at what: one container, and the network that leads to it."""

    networks: Networks
    goal: TraceTarget
    pids: tuple[int, ...]
    bridge: str

    def listener(self, way: RouteCandidate) -> sockets.Listener | None:
        pid = self.goal.now.pid
        return sockets.listener(self.pids, pid, way.protocol, way.inner, way.inner_port)

    def flow(self, way: RouteCandidate, source: tuple[str, int]) -> Flow | None:
        if way.kind != "translated":
            return None
        return self.networks.flow(way.protocol, source, (way.address, way.port))


def trace(networks: Networks, store: ContainerStore, cgroups: Cgroups, target: str) -> Trace:
    """Raises NotFound when nobody has published it; InvalidInput, Conflict."""
    goal, first = routes.find(store, target)
    sight = TraceSession(
        networks=networks,
        goal=goal,
        pids=cgroups.at(store.cgroup_parent(goal.record), goal.record.id).pids(),
        bridge=networks.store.find(goal.end.network).bridge,
    )
    measured = tuple(_measure(sight, way) for way in _ways(networks, goal, first))
    return Trace(
        target=target,
        port=first.port,
        protocol=first.protocol,
        container=goal.name,
        routes=measured,
        remark=_remark(networks, goal, first, measured),
    )


def _ways(networks: Networks, goal: TraceTarget, first: RouteCandidate) -> Iterator[RouteCandidate]:
    yield first
    if first.kind == "proxy" and (second := routes.translated(networks, goal, first)) is not None:
        yield second


def _measure(sight: TraceSession, way: RouteCandidate) -> Route:
    networks, veth = sight.networks, sight.goal.end.veth
    listener = sight.listener(way)
    counted, cable = networks.counters(ipv6=way.is_ipv6), sum(networks.traffic(veth))
    with probe.sent(way) as sent:
        after, cable_after = networks.counters(ipv6=way.is_ipv6), sum(networks.traffic(veth))
        flow = sight.flow(way, sent.source)
    seen = hops.Measurement(
        probe=sent,
        counts={rule: (counted.get(rule, 0), packets) for rule, packets in after.items()},
        cable=(cable, cable_after),
        listener=listener,
        flow=flow,
        table=networks.paths.table,
        bridge=sight.bridge,
    )
    if way.kind == "translated" and not hops.is_translated(way, seen):
        return _measure(sight, way.by_proxy())  # no rule has counted it: somebody flushed them
    return _route(sight.goal, way, seen)


def _route(goal: TraceTarget, way: RouteCandidate, seen: hops.Measurement) -> Route:
    return Route(
        name=way.name,
        address=way.address,
        way=way.kind,
        hops=tuple(hops.hops(goal, way, seen)),
        failure=_failure(way, seen),
    )


def _failure(way: RouteCandidate, seen: hops.Measurement) -> str:
    """The proxy does not pass a refusal on as such: then it is known by who does not listen."""
    failure = seen.probe.failure
    is_silent = failure == probe.ENDED or (way.protocol == "udp" and not failure)
    if is_silent and (seen.listener is None or seen.listener.only_at):
        return probe.nobody(way.protocol)
    return failure


def _remark(
    networks: Networks, goal: TraceTarget, first: RouteCandidate, routes: tuple[Route, ...]
) -> str:
    """Why it goes the way it does."""
    if first.kind != routes[0].way or any(route.way == "proxy" for route in routes[1:]):
        return _uncounted(networks)
    if first.kind != "proxy":
        return ""
    if first.is_loopback and len(routes) > 1:
        return (
            "loopback is never translated (the answer could not be routed back), so the proxy "
            "serves it; for those who come from outside, chain publish looks into the same map"
        )
    return _without_rule(goal, first)


def _uncounted(networks: Networks) -> str:
    if networks.repair():
        return (
            "no rule has translated the packet, because somebody had flushed the nftables rules; "
            "they have been set right now"
        )
    return "no rule of ours has translated the packet: somebody else's may have done so before"


def _without_rule(goal: TraceTarget, first: RouteCandidate) -> str:
    """Why no rule leads there, but the proxy alone."""
    places = [one[0] for one in goal.now.ports if one[1:] == first.published_as]
    outside = [host_ip for host_ip in places if routes.is_outside(host_ip)]
    if not outside:
        return f"published on {', '.join(places)} for this host alone: no rule leads there"
    if not goal.end.address6 and (not first.is_loopback or all(":" in one for one in outside)):
        return f"{goal.name} has no IPv6 address, so no rule translates IPv6: the proxy serves it"
    return "this host has no address but loopback, so there is nothing that a rule could translate"
