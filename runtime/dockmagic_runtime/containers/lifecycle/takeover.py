"""A supervisor for a program that runs on without one, since its own was killed."""

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
    """Returns when it has one. Raises Conflict when the program has ended meanwhile, or somebody
    else has seen to it; and what keeps a process from being started."""
    now = state.load(starter.store.directory(record.id))
    request = _request(starter, record, _connection(starter, record, now))
    resumed = tuple(_resumed(request.plan, now))
    request = replace(request, adopts=to_builtins(program), resumed=to_wire(resumed))
    starter.launcher.launch(request).await_start().detach()


def _request(starter: Starter, record: Record, connection: Connection | None) -> LaunchRequest:
    """Also of a program that could not be started now: a device of it may have been unplugged.
    Then it is not started again when it ends."""
    try:
        return starter.request_again(record, connection)
    except NotFound as error:
        without = replace(record, spec=replace(record.spec, devices=()))
        request = starter.request_again(without, connection)
        restart_problem = f"it will not be started again: {error.message}"
        return replace(request, restart=("no", 0), restart_problem=restart_problem)


def _connection(starter: Starter, record: Record, now: State) -> Connection | None:
    """What the container is on, as it is."""
    if record.spec.network == "host" or record.spec.network.startswith("container:"):
        return None
    networks = starter.networks
    endpoints = networks.present(record.id, record.attachments, now.networks)
    if not endpoints:
        return networks.isolate()
    return plan(networks.paths, starter.container_info(record), endpoints, published_ports(record))


def _resumed(made: SandboxPlan, now: State) -> Iterator[Operation]:
    """The operations whose effect hung on the supervisor, the ports being those it held."""
    for one in (*made.host, *made.network):
        if isinstance(one, HoldPorts):
            yield HoldPorts(ports=now.ports)
        elif hasattr(one, "resume"):
            yield one
