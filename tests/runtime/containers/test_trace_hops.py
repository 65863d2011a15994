"""How far a probe came, told by what was counted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.trace import hops
from dockmagic_runtime.containers.trace.probe import Probe
from dockmagic_runtime.containers.trace.routes import RouteCandidate, TraceTarget
from dockmagic_runtime.containers.trace.sockets import Listener
from dockmagic_runtime.model.topology import Interface, Node
from dockmagic_runtime.network.nftables.flows import Flow
from dockmagic_runtime.network.nftables.ruleset import ANY_ADDRESS, FROM_HERE, ONE_ADDRESS
from dockmagic_runtime.supervisor.state import State

END = Interface(network="net", name="eth0", veth="veth0", address="172.17.0.2")
GOAL = TraceTarget(
    record=cast(Record, None),
    now=State(status="running"),
    node=Node(id="1" * 64, name="web", mode="", interfaces=(END,)),
    end=END,
)
RULE = RouteCandidate(
    name="there", kind="translated", address="192.0.2.1", port=9999, protocol="tcp",
    inner="172.17.0.2", inner_port=80, map_name=ANY_ADDRESS,
)  # fmt: skip
COUNTED = {FROM_HERE[ANY_ADDRESS]: (3, 4)}
INSIDE = ["bridge", "veth", "interface", "process"]


def seen(**changed: Any) -> hops.Measurement:
    facts = {
        "probe": Probe(source=("192.0.2.1", 50000)),
        "counts": COUNTED,
        "cable": (100, 200),
        "listener": Listener(program="httpd"),
        "flow": Flow(answers_from=("172.17.0.2", 80), is_answered=True),
        "table": "t",
        "bridge": "br0",
    }
    return hops.Measurement(**{**facts, **changed})


def kinds(way: RouteCandidate, what: hops.Measurement) -> list[str]:
    return [hop.kind for hop in hops.hops(GOAL, way, what)]


def test_a_packet_that_is_answered_passes_every_station() -> None:
    assert kinds(RULE, seen()) == ["client", "rule", *INSIDE, "answer"]
    assert kinds(RULE.by_proxy(), seen(flow=None)) == ["client", "proxy", *INSIDE]


@pytest.mark.parametrize("way", [RULE, RULE.by_proxy()])
def test_what_the_cable_has_not_carried_has_not_come_through(way: RouteCandidate) -> None:
    met = list(hops.hops(GOAL, way, seen(cable=(100, 100), flow=None)))
    assert len(met) == 2
    if way.kind == "proxy":
        assert met[1].detail == "which has passed nothing on"


def test_without_an_answer_there_is_no_way_back() -> None:
    silent = Flow(answers_from=("172.17.0.2", 80), is_answered=False)
    assert kinds(RULE, seen(flow=silent))[-1] == "process"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"flow": None}, True),  # the kernel cannot tell
        ({"counts": {FROM_HERE[ANY_ADDRESS]: (4, 4)}}, False),
        ({"counts": {FROM_HERE[ONE_ADDRESS]: (3, 4)}}, False),  # of somebody else
        ({"counts": {}}, False),
        ({"flow": Flow(answers_from=("192.0.2.1", 9999), is_answered=True)}, False),
    ],
)
def test_a_packet_is_translated_when_its_rule_has_counted_it(
    changed: dict[str, Any], expected: bool
) -> None:
    assert hops.is_translated(RULE, seen(**changed)) is expected
