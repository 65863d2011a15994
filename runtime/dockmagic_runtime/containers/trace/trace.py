"""`network trace`: the path of one connection from this host into a container, measured.

The counters of the engine's nftables rules and of the container's veth pair are read before and
after a probe, so the result is what the kernel did, not what it should have done. Where the proxy
serves the address that was asked for, a second probe goes to an address that a rule translates.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from dockmagic_runtime.cgroups import Cgroups
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.containers.trace import hops, probe, routes, sockets
from dockmagic_runtime.containers.trace.routes import RouteCandidate, TraceTarget
from dockmagic_runtime.model.topology import Route, Trace
from dockmagic_runtime.network.host import flows, snapshot
from dockmagic_runtime.network.host.flows import Flow
from dockmagic_runtime.network.networks import Networks


class TraceSession(Struct, frozen=True, kw_only=True):
    """One container and the network that leads to it, for all measurements of a trace."""

    networks: Networks
    target: TraceTarget
    pids: tuple[int, ...]
    bridge: str

    def listener(self, candidate: RouteCandidate) -> sockets.Listener | None:
        pid = self.target.now.pid
        return sockets.listener(
            self.pids, pid, candidate.protocol, candidate.inner, candidate.inner_port
        )

    def flow(self, candidate: RouteCandidate, source: tuple[str, int]) -> Flow | None:
        if candidate.kind != "translated":
            return None
        return flows.find(candidate.protocol, source, (candidate.address, candidate.port))


def trace(networks: Networks, store: ContainerStore, cgroups: Cgroups, destination: str) -> Trace:
    """Measures the routes to `destination`. Raises NotFound, InvalidInput, Conflict."""
    target, first = routes.find(store, destination)
    session = TraceSession(
        networks=networks,
        target=target,
        pids=cgroups.at(store.cgroup_parent(target.record), target.record.id).pids(),
        bridge=networks.store.find(target.end.network).bridge,
    )
    measured = tuple(_measure(session, candidate) for candidate in _candidates(target, first))
    return Trace(
        target=destination,
        port=first.port,
        protocol=first.protocol,
        container=target.name,
        routes=measured,
        remark=_remark(networks, target, first, measured),
    )


def _candidates(target: TraceTarget, first: RouteCandidate) -> Iterator[RouteCandidate]:
    yield first
    if first.kind == "proxy":
        second = routes.translated(snapshot.read(), target, first)
        if second is not None:
            yield second


def _measure(session: TraceSession, candidate: RouteCandidate) -> Route:
    networks, veth = session.networks, session.target.end.veth
    listener = session.listener(candidate)
    counted, traffic = networks.counters(ipv6=candidate.is_ipv6), snapshot.traffic(veth)
    with probe.sent(candidate) as sent:
        after, traffic_after = (
            networks.counters(ipv6=candidate.is_ipv6),
            snapshot.traffic(veth),
        )
        flow = session.flow(candidate, sent.source)
    measurement = hops.Measurement(
        probe=sent,
        counts={rule: (counted.get(rule, 0), packets) for rule, packets in after.items()},
        veth=(traffic, traffic_after),
        listener=listener,
        flow=flow,
        table=networks.paths.table,
        bridge=session.bridge,
    )
    if candidate.kind == "translated" and not hops.is_translated(candidate, measurement):
        return _measure(
            session, candidate.by_proxy()
        )  # no rule counted the probe: the rules were flushed
    return _route(session.target, candidate, measurement)


def _route(target: TraceTarget, candidate: RouteCandidate, measurement: hops.Measurement) -> Route:
    return Route(
        name=candidate.name,
        address=candidate.address,
        way=candidate.kind,
        hops=tuple(hops.hops(target, candidate, measurement)),
        failure=_failure(candidate, measurement),
    )


def _failure(candidate: RouteCandidate, measurement: hops.Measurement) -> str:
    """Why the probe failed. The proxy does not pass a refusal on: whether a program listens
    decides then."""
    failure = measurement.probe.failure
    is_silent = failure == probe.ENDED or (candidate.protocol == "udp" and not failure)
    if is_silent and (measurement.listener is None or measurement.listener.only_at):
        return probe.refused(candidate.protocol)
    return failure


def _remark(
    networks: Networks, target: TraceTarget, first: RouteCandidate, routes: tuple[Route, ...]
) -> str:
    """Why the connection takes this route."""
    if first.kind != routes[0].way or any(route.way == "proxy" for route in routes[1:]):
        return _uncounted(networks)
    if first.kind != "proxy":
        return ""
    if first.is_loopback and len(routes) > 1:
        return (
            "loopback is never translated (the answer could not be routed back), so the proxy "
            "serves it; for other hosts, chain publish looks into the same map"
        )
    return _without_rule(target, first)


def _uncounted(networks: Networks) -> str:
    if networks.repair():
        return (
            "no rule has translated the packet, because the nftables rules had been flushed; "
            "they are installed again now"
        )
    return "no rule of the engine has translated the packet: another program's may have before"


def _without_rule(target: TraceTarget, first: RouteCandidate) -> str:
    """Why only the proxy leads there."""
    places = [bound[0] for bound in target.now.ports if bound[1:] == first.published_as]
    outside = [host_ip for host_ip in places if routes.is_outside(host_ip)]
    if not outside:
        return f"published on {', '.join(places)} for this host alone: no rule leads there"
    if not target.end.address6 and (
        not first.is_loopback or all(":" in host_ip for host_ip in outside)
    ):
        return f"{target.name} has no IPv6 address, so no rule translates IPv6: the proxy serves it"
    return "this host has no address but loopback, so there is nothing that a rule could translate"
