"""Connect a running container to other networks: veth pairs in and out, ports published anew.

Strategy: the messages to the kernel about links are sent by a helper process, which ends, so that
the supervisor stays small. What belongs to the supervisor itself (held ports, the proxy, the files
that are deleted at the end) is changed here. The request that the program was started with is
replaced by one with the new networks, so that a restart sets up what is there now.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.event_loop import READ
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import open_for_others
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.network.dns.operations import SOCKETS, ServeDns
from dockmagic_runtime.network.operations import PORTS
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.operation import Context, from_wire
from dockmagic_runtime.supervisor import handover
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.control_target import ControlTarget

if TYPE_CHECKING:
    from dockmagic_runtime.supervisor.program import Program

Wire = list[list[Any]]
_ANSWER = 64 * 1024


def update_networks(
    supervisor: ControlTarget,
    client: ClientConnection,
    operations: Wire,
    reverse: Wire,
    dropped: Wire,
    kept: Wire,
    endpoint: dict[str, Any],
    request: str,
) -> None:
    """The verb `networks`. A helper executes `operations`, and `reverse` if what follows fails:
    `dropped` operations of the start are undone, `kept` new ones are executed.

    `endpoint` are the state file's fields, `request` is the whole request of the next start.
    """

    program = supervisor.program

    def linked(error: dict[str, Any] | None) -> None:
        if error is None and supervisor.program is not None:
            error = _replace(supervisor, program, reverse, dropped, kept, endpoint)
        if error is not None:
            client.send("failed", error=error)
            return
        supervisor.replace_request(request.encode("latin-1"))
        client.send("done")

    if program is None:  # it waits for its next start
        supervisor.replace_request(request.encode("latin-1"))
        client.send("done")
    else:
        _with_helper(supervisor, program.pidfd, operations, linked)


def _replace(
    supervisor: ControlTarget,
    program: Program | None,
    reverse: Wire,
    dropped: Wire,
    kept: Wire,
    endpoint: dict[str, Any],
) -> dict[str, Any] | None:
    """The error, if there was one."""
    if program is None or program is not supervisor.program:
        return child.describe_error(Conflict("the container was restarted meanwhile: try again"))
    try:
        _replace_operations(program, dropped, kept)
    except Exception as error:
        _with_helper(supervisor, program.pidfd, reverse, lambda _error: None)
        return child.describe_error(error)
    program.serve_ports(supervisor.request.run)
    ports = PORTS.get(program.context.slots) or ()
    supervisor.record(**{**endpoint, "ports": ports})
    return None


def _replace_operations(program: Program, dropped: Wire, kept: Wire) -> None:
    context = program.context
    for operation in from_wire(dropped):
        program.drop(operation)
    context.netns_fd = program.pidfd  # which setns(2) takes for all its namespaces
    for wire in kept:
        (operation,) = from_wire([wire])
        if program.has_dns and isinstance(operation, ServeDns):
            continue
        operation.execute(context)
        program.keep(operation)
        if sockets := SOCKETS.take(context.slots):
            program.serve_dns(wire, *(opened.detach() for opened in sockets))


def _with_helper(
    supervisor: ControlTarget,
    pidfd: int,
    operations: Wire,
    done: Callable[[dict[str, Any] | None], None],
) -> None:
    """Call `done`, from the loop, with the error or with None."""
    linux, loop = supervisor.linux, supervisor.loop

    def work(channel: socket.socket) -> None:
        channel.send(lenient_json.encode(_carry_out(linux, pidfd, operations)))

    channel, helper = handover.fork_helper(linux, work)

    def answered(_events: int) -> None:
        loop.forget(channel.fileno())
        answer = channel.recv(_ANSWER)
        channel.close()
        os.waitpid(helper, 0)
        done(lenient_json.decode(answer) if answer else _DIED)

    loop.watch(channel.fileno(), READ, answered)


_DIED = {
    "kind": "EngineBug",
    "message": "the process that changes a container's networks has died",
    "hint": "",
    "exit_code": 125,
}


def _carry_out(linux: Linux, pidfd: int, operations: Wire) -> dict[str, Any] | None:
    try:
        with contextlib.ExitStack() as undo:
            context = _inside(linux, pidfd)
            for operation in from_wire(operations):
                operation.execute(context)
                undo.callback(operation.undo, context)
            undo.pop_all()
    except Exception as error:
        return child.describe_error(error)
    return None


def _inside(linux: Linux, pidfd: int) -> Context:
    """The container's network namespace, and a socket that was opened in it."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(pidfd, c.CLONE_NEWNET)
        netns = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        netlink = open_for_others()
    finally:
        linux.setns(own, c.CLONE_NEWNET)
        os.close(own)
    return Context(linux, netns_fd=netns, inside_netlink=netlink)
