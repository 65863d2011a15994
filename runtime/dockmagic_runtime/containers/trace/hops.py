"""The hops of a `Route`: what a probe passed between the client and the program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from dockmagic_runtime.containers.trace.probe import NOUNS, Probe
from dockmagic_runtime.containers.trace.routes import RouteCandidate, TraceTarget
from dockmagic_runtime.containers.trace.sockets import Listener
from dockmagic_runtime.model.topology import Hop
from dockmagic_runtime.network.host.flows import Flow, SocketAddress
from dockmagic_runtime.network.nftables.published_ports import ONE_ADDRESS
from dockmagic_runtime.network.nftables.ruleset import FROM_HERE

_DOES = {"tcp": "connects", "udp": "sends a datagram"}
_ANOTHER = {"tcp": "a second connection", "udp": "the same datagram again"}
Counts = Mapping[tuple[str, str], tuple[int, int]]  # packets before and after, by chain and comment


class Measurement(Struct, frozen=True, kw_only=True):
    """The counters read before and after a probe, and the result of the probe.

    `veth` is the bytes that the container's veth pair had carried, before and after.
    """

    probe: Probe
    counts: Counts
    veth: tuple[int, int]
    listener: Listener | None
    flow: Flow | None
    table: str
    bridge: str

    @property
    def has_come_through(self) -> bool:
        """Whether the veth pair has carried anything. It counts other traffic too, but the probe
        is always counted."""
        before, after = self.veth
        return after > before


def hops(target: TraceTarget, candidate: RouteCandidate, measurement: Measurement) -> Iterator[Hop]:
    yield Hop(
        kind="client",
        what=f"a program on this host {_DOES[candidate.protocol]} to {candidate.name}",
        detail=place((candidate.address, candidate.port)),
    )
    if candidate.kind == "translated":
        yield _rule(candidate, measurement)
    elif candidate.kind == "proxy":
        yield _proxy(target, candidate, measurement)
    if measurement.has_come_through and not measurement.probe.is_held:
        yield from _inside(target, candidate, measurement)


def place(where: SocketAddress) -> str:
    address, port = where
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_translated(candidate: RouteCandidate, measurement: Measurement) -> bool:
    """Whether the rule that looks into the candidate's map counted the probe and translated it."""
    before, after = measurement.counts.get(FROM_HERE[candidate.map_name], (0, 0))
    inner = (candidate.inner, candidate.inner_port)
    return after > before and (measurement.flow is None or measurement.flow.answers_from == inner)


def _rule(candidate: RouteCandidate, measurement: Measurement) -> Hop:
    chain, comment = FROM_HERE[candidate.map_name]
    before, after = measurement.counts[chain, comment]
    outer, inner = (candidate.address, candidate.port), (candidate.inner, candidate.inner_port)
    return Hop(
        kind="rule",
        what=f"nftables: {comment}",
        detail=f"{place(outer)} becomes {place(inner)}",
        rule=f"table {'ip6' if candidate.is_ipv6 else 'ip'} {measurement.table}, chain {chain}\n"
        f"map {candidate.map_name}: {_element(candidate)}",
        before=before,
        after=after,
    )


def _element(candidate: RouteCandidate) -> str:
    """As nft(8) lists it."""
    where = f"{candidate.address} . " if candidate.map_name == ONE_ADDRESS else ""
    inner = f"{candidate.inner} . {candidate.inner_port}"
    return f"{where}{candidate.protocol} . {candidate.port} : {inner}"


def _proxy(target: TraceTarget, candidate: RouteCandidate, measurement: Measurement) -> Hop:
    held = f"{target.name}'s port proxy holds the port"
    if measurement.probe.is_held:
        return Hop(kind="proxy", what=held, detail=f"where the {NOUNS[candidate.protocol]} waits")
    if not measurement.has_come_through:
        return Hop(kind="proxy", what=held, detail="which has passed nothing on")
    inner = place((candidate.inner, candidate.inner_port))
    return Hop(
        kind="proxy",
        what=f"{held}, and passes on",
        detail=f"{_ANOTHER[candidate.protocol]}, to {inner}",
    )


def _inside(
    target: TraceTarget, candidate: RouteCandidate, measurement: Measurement
) -> Iterator[Hop]:
    end = target.end
    yield Hop(
        kind="bridge",
        what=f"the bridge of network {end.network}",
        detail=f"{measurement.bridge}, towards {place((candidate.inner, candidate.inner_port))}",
    )
    before, after = measurement.veth
    yield Hop(
        kind="veth",
        what="the veth pair's end in the bridge",
        detail=end.veth,
        before=before,
        after=after,
    )
    yield Hop(
        kind="interface",
        what=f"{end.name} in {target.name}",
        detail=f"{candidate.inner} ({end.mac})",
    )
    yield Hop(
        kind="process",
        what=_listening(target, candidate, measurement.listener),
        detail=f"in container {target.node.id[:12]}",
    )
    yield from _way_back(candidate, measurement.flow)


def _listening(target: TraceTarget, candidate: RouteCandidate, listener: Listener | None) -> str:
    if listener is None:
        return f"no program listens on port {candidate.inner_port}"
    text = f"{listener.program} listens on port {candidate.inner_port}"
    if listener.only_at:
        text += f", but only at {listener.only_at}"
    return f"{text}, but the container is paused" if target.is_paused else text


def _way_back(candidate: RouteCandidate, flow: Flow | None) -> Iterator[Hop]:
    asked = (candidate.address, candidate.port)
    if flow is not None and flow.is_answered and flow.answers_from != asked:
        yield Hop(
            kind="answer",
            what="the answer goes back under the address that was asked",
            detail=f"connection tracking: {place(flow.answers_from)} becomes {place(asked)}",
        )
