"""The hops that a probe has passed, by the counters."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.trace import hops
from dockmagic_runtime.containers.trace.probe import Probe
from dockmagic_runtime.containers.trace.routes import RouteCandidate, TraceTarget
from dockmagic_runtime.containers.trace.sockets import Listener
from dockmagic_runtime.model.topology import Interface, Node
from dockmagic_runtime.network.host.flows import Flow
from dockmagic_runtime.network.nftables.published_ports import ANY_ADDRESS, ONE_ADDRESS
from dockmagic_runtime.network.nftables.ruleset import FROM_HERE
from dockmagic_runtime.supervisor.state import State

END = Interface(network="net", name="eth0", veth="veth0", address="172.17.0.2")
TARGET = TraceTarget(
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


def measurement(**changed: Any) -> hops.Measurement:
    facts = {
        "probe": Probe(source=("192.0.2.1", 50000)),
        "counts": COUNTED,
        "veth": (100, 200),
        "listener": Listener(program="httpd"),
        "flow": Flow(answers_from=("172.17.0.2", 80), is_answered=True),
        "table": "t",
        "bridge": "br0",
    }
    return hops.Measurement(**{**facts, **changed})


def kinds(candidate: RouteCandidate, measured: hops.Measurement) -> list[str]:
    return [hop.kind for hop in hops.hops(TARGET, candidate, measured)]


def test_a_packet_that_is_answered_passes_every_hop() -> None:
    assert kinds(RULE, measurement()) == ["client", "rule", *INSIDE, "answer"]
    assert kinds(RULE.by_proxy(), measurement(flow=None)) == ["client", "proxy", *INSIDE]


@pytest.mark.parametrize("candidate", [RULE, RULE.by_proxy()])
def test_what_the_veth_pair_has_not_carried_has_not_arrived(candidate: RouteCandidate) -> None:
    met = list(hops.hops(TARGET, candidate, measurement(veth=(100, 100), flow=None)))
    assert len(met) == 2
    if candidate.kind == "proxy":
        assert met[1].detail == "which has passed nothing on"


def test_without_an_answer_there_is_no_way_back() -> None:
    silent = Flow(answers_from=("172.17.0.2", 80), is_answered=False)
    assert kinds(RULE, measurement(flow=silent))[-1] == "process"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"flow": None}, True),  # a kernel without connection tracking
        ({"counts": {FROM_HERE[ANY_ADDRESS]: (4, 4)}}, False),
        ({"counts": {FROM_HERE[ONE_ADDRESS]: (3, 4)}}, False),  # another rule
        ({"counts": {}}, False),
        ({"flow": Flow(answers_from=("192.0.2.1", 9999), is_answered=True)}, False),
    ],
)
def test_a_packet_is_translated_when_its_rule_has_counted_it(
    changed: dict[str, Any], expected: bool
) -> None:
    assert hops.is_translated(RULE, measurement(**changed)) is expected
