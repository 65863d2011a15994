"""Takeover: another supervisor for a program after its own was killed."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import to_builtins
from msgspec.structs import replace

from dockmagic_runtime.containers.lifecycle.start import Starter, published_ports
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.network.operations import HoldPorts
from dockmagic_runtime.network.plan import Connection, plan
from dockmagic_runtime.sandbox.operation import Operation, to_wire
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.store.container_process import Program
from dockmagic_runtime.supervisor import state
from dockmagic_runtime.supervisor.request import LaunchRequest
from dockmagic_runtime.supervisor.state import State


def adopt(starter: Starter, record: Record, program: Program) -> None:
    """Starts another supervisor for `program`; returns when it is ready.

    Raises Conflict when the program has ended or another process has taken over; other errors as
    when a process cannot be started.
    """
    now = state.load(starter.store.directory(record.id))
    request = _request(starter, record, _connection(starter, record, now))
    resumed = tuple(_resumed(request.plan, now))
    request = replace(request, adopts=to_builtins(program), resumed=to_wire(resumed))
    starter.launcher.launch(request).await_start().detach()


def _request(starter: Starter, record: Record, connection: Connection | None) -> LaunchRequest:
    """The request with which the new supervisor restarts the program.

    When the program could not be started now, as when a device was unplugged, the takeover goes
    on, but the restart policy does not apply.
    """
    try:
        return starter.request_again(record, connection)
    except NotFound as error:
        without = replace(record, spec=replace(record.spec, devices=()))
        request = starter.request_again(without, connection)
        restart_problem = f"it will not be started again: {error.message}"
        return replace(request, restart=("no", 0), restart_problem=restart_problem)


def _connection(starter: Starter, record: Record, now: State) -> Connection | None:
    """The container's present networks."""
    if record.spec.network == "host" or record.spec.network.startswith("container:"):
        return None
    networks = starter.networks
    endpoints = networks.present(record.id, record.attachments, now.networks)
    if not endpoints:
        return networks.isolate()
    return plan(networks.paths, starter.container_info(record), endpoints, published_ports(record))


def _resumed(plan: SandboxPlan, now: State) -> Iterator[Operation]:
    """The operations that the old supervisor kept in effect, with the ports that it held."""
    for operation in (*plan.host, *plan.network):
        if isinstance(operation, HoldPorts):
            yield HoldPorts(ports=now.ports)
        elif hasattr(operation, "resume"):
            yield operation
