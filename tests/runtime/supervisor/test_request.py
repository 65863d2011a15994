from __future__ import annotations

import json
import struct

from dockmagic_runtime.sandbox.cgroup_operations import CreateCgroup
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.supervisor.request import LaunchRequest, decode_plan, decode_request


def test_order_and_plan_cross_the_socket_apart() -> None:
    plan = SandboxPlan(
        host=(CreateCgroup("dockmagic", "abc"),),
        process=ProcessSpec(argv=("echo", "ü"), env=("A=b",)),
    )
    request = LaunchRequest(id="abc", run="/run/x", restart=("on-failure", 3), plan=plan)
    data = request.encode()
    order = decode_request(data)
    assert (order.id, order.run, tuple(order.restart)) == ("abc", "/run/x", ("on-failure", 3))
    assert decode_plan(data) == plan


def test_an_order_of_a_later_version_is_understood() -> None:
    order = json.dumps({"id": "abc", "invented": {"next": "year"}}).encode()
    assert decode_request(struct.pack(">I", len(order)) + order + b"{}").id == "abc"
