"""What a probe met on its way, as the stations of a `Route`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from dockmagic_runtime.containers.trace.probe import NOUNS, Probe
from dockmagic_runtime.containers.trace.routes import RouteCandidate, TraceTarget
from dockmagic_runtime.containers.trace.sockets import Listener
from dockmagic_runtime.model.topology import Hop
from dockmagic_runtime.network.nftables.flows import Flow, Place
from dockmagic_runtime.network.nftables.ruleset import FROM_HERE, ONE_ADDRESS

_DOES = {"tcp": "connects", "udp": "sends a datagram"}
_ANOTHER = {"tcp": "a second connection", "udp": "the same datagram again"}
Counts = Mapping[tuple[str, str], tuple[int, int]]  # packets before and after, by chain and comment


class Measurement(Struct, frozen=True, kw_only=True):
    """What was read before and after the probe, and of it."""

    probe: Probe
    counts: Counts
    cable: tuple[int, int]
    listener: Listener | None
    flow: Flow | None
    table: str
    bridge: str

    @property
    def has_come_through(self) -> bool:
        """Whether the cable has carried anything: it counts what is not ours too, but never less
        than ours."""
        before, after = self.cable
        return after > before


def hops(goal: TraceTarget, way: RouteCandidate, seen: Measurement) -> Iterator[Hop]:
    yield Hop(
        kind="client",
        what=f"a program on this host {_DOES[way.protocol]} to {way.name}",
        detail=place((way.address, way.port)),
    )
    if way.kind == "translated":
        yield _rule(way, seen)
    elif way.kind == "proxy":
        yield _proxy(goal, way, seen)
    if seen.has_come_through and not seen.probe.is_held:
        yield from _inside(goal, way, seen)


def place(where: Place) -> str:
    address, port = where
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_translated(way: RouteCandidate, seen: Measurement) -> bool:
    """Whether the rule that looks into the way's map has counted the probe, and led it there."""
    before, after = seen.counts.get(FROM_HERE[way.map_name], (0, 0))
    inner = (way.inner, way.inner_port)
    return after > before and (seen.flow is None or seen.flow.answers_from == inner)


def _rule(way: RouteCandidate, seen: Measurement) -> Hop:
    chain, comment = FROM_HERE[way.map_name]
    before, after = seen.counts[chain, comment]
    outer, inner = (way.address, way.port), (way.inner, way.inner_port)
    return Hop(
        kind="rule",
        what=f"nftables: {comment}",
        detail=f"{place(outer)} becomes {place(inner)}",
        rule=f"table {'ip6' if way.is_ipv6 else 'ip'} {seen.table}, chain {chain}\n"
        f"map {way.map_name}: {_element(way)}",
        before=before,
        after=after,
    )


def _element(way: RouteCandidate) -> str:
    """As nft(8) lists it."""
    where = f"{way.address} . " if way.map_name == ONE_ADDRESS else ""
    return f"{where}{way.protocol} . {way.port} : {way.inner} . {way.inner_port}"


def _proxy(goal: TraceTarget, way: RouteCandidate, seen: Measurement) -> Hop:
    held = f"{goal.name}'s port proxy holds the port"
    if seen.probe.is_held:
        return Hop(kind="proxy", what=held, detail=f"where the {NOUNS[way.protocol]} waits")
    if not seen.has_come_through:
        return Hop(kind="proxy", what=held, detail="which has passed nothing on")
    return Hop(
        kind="proxy",
        what=f"{held}, and passes on",
        detail=f"{_ANOTHER[way.protocol]}, to {place((way.inner, way.inner_port))}",
    )


def _inside(goal: TraceTarget, way: RouteCandidate, seen: Measurement) -> Iterator[Hop]:
    end = goal.end
    yield Hop(
        kind="bridge",
        what=f"the bridge of network {end.network}",
        detail=f"{seen.bridge}, towards {place((way.inner, way.inner_port))}",
    )
    before, after = seen.cable
    yield Hop(
        kind="veth",
        what="the cable's end in the bridge",
        detail=end.veth,
        before=before,
        after=after,
    )
    yield Hop(
        kind="interface",
        what=f"{end.name} in {goal.name}",
        detail=f"{way.inner} ({end.mac})",
    )
    yield Hop(
        kind="process",
        what=_listening(goal, way, seen.listener),
        detail=f"in container {goal.node.id[:12]}",
    )
    yield from _way_back(way, seen.flow)


def _listening(goal: TraceTarget, way: RouteCandidate, listener: Listener | None) -> str:
    if listener is None:
        return f"nobody listens on port {way.inner_port}"
    text = f"{listener.program} listens on port {way.inner_port}"
    if listener.only_at:
        text += f", but only at {listener.only_at}"
    return f"{text}, but the container is paused" if goal.is_paused else text


def _way_back(way: RouteCandidate, flow: Flow | None) -> Iterator[Hop]:
    asked = (way.address, way.port)
    if flow is not None and flow.is_answered and flow.answers_from != asked:
        yield Hop(
            kind="answer",
            what="the answer goes back under the address that was asked",
            detail=f"connection tracking: {place(flow.answers_from)} becomes {place(asked)}",
        )
