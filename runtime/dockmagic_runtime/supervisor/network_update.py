"""Other networks for a container that runs: cables in and out, ports that lead elsewhere.

Strategy: what speaks to the kernel about links is done by a helper, which ends, so that the
supervisor stays small. What hangs on the supervisor itself (held ports, the proxy, the files that
are deleted at the end) is done here. The request that the program was started by is exchanged for
one with the new networks: the next start, after a crash, makes what is there now.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.event_loop import READ
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import open_for_others
from dockmagic_runtime.network.dns.operations import SOCKETS, ServeDns
from dockmagic_runtime.network.operations import PORTS
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.operation import Context, from_wire
from dockmagic_runtime.supervisor import handover
from dockmagic_runtime.supervisor.connection import ClientConnection

if TYPE_CHECKING:
    from dockmagic_runtime.supervisor.program import Program
    from dockmagic_runtime.supervisor.supervisor import Supervisor

Wire = list[list[Any]]
_ANSWER = 64 * 1024


def update_networks(
    supervisor: Supervisor,
    client: ClientConnection,
    operations: Wire,
    reverse: Wire,
    dropped: Wire,
    kept: Wire,
    endpoint: dict[str, Any],
    request: str,
) -> None:
    """The verb `networks`. `operations` are carried out by a helper, `reverse` undo them if what
    comes then fails: `dropped` are operations of the start that end now, `kept` new ones.

    `endpoint` are the state file's fields, `request` is the whole request for the next start.
    """

    program = supervisor.program

    def linked(error: dict[str, Any] | None) -> None:
        if error is None and supervisor.program is not None:
            error = _settle(supervisor, program, reverse, dropped, kept, endpoint)
        if error is not None:
            client.say("failed", error=error)
            return
        supervisor.exchange_request(request.encode("latin-1"))
        client.say("done")

    if program is None:  # it waits for its next start
        supervisor.exchange_request(request.encode("latin-1"))
        client.say("done")
    else:
        _with_helper(supervisor, program.pidfd, operations, linked)


def _settle(
    supervisor: Supervisor,
    program: Program | None,
    reverse: Wire,
    dropped: Wire,
    kept: Wire,
    endpoint: dict[str, Any],
) -> dict[str, Any] | None:
    """What failed, described."""
    if program is None or program is not supervisor.program:
        return child.describe_error(Conflict("the container was restarted meanwhile: try again"))
    try:
        _exchange(program, dropped, kept)
    except Exception as error:
        _with_helper(supervisor, program.pidfd, reverse, lambda _error: None)
        return child.describe_error(error)
    program.serve(supervisor.order.run)
    ports = PORTS.get(program.context.slots) or ()
    supervisor.record(**{**endpoint, "ports": ports})
    return None


def _exchange(program: Program, dropped: Wire, kept: Wire) -> None:
    context = program.context
    for gone in from_wire(dropped):
        program.drop(gone)
    context.netns_fd = program.pidfd  # which setns(2) takes for all its namespaces
    for wire in kept:
        (one,) = from_wire([wire])
        if program.resolves_names and isinstance(one, ServeDns):
            continue
        one.execute(context)
        program.keep(one)
        if sockets := SOCKETS.take(context.slots):
            program.resolve_names(wire, *(each.detach() for each in sockets))


def _with_helper(
    supervisor: Supervisor,
    pidfd: int,
    operations: Wire,
    done: Callable[[dict[str, Any] | None], None],
) -> None:
    """Tell `done`, in the loop's own time, what failed, or that nothing has."""
    linux, loop = supervisor.linux, supervisor.loop

    def work(channel: socket.socket) -> None:
        channel.send(json.dumps(_carry_out(linux, pidfd, operations)).encode())

    channel, helper = handover.fork_helper(linux, work)

    def answered(_events: int) -> None:
        loop.forget(channel.fileno())
        answer = channel.recv(_ANSWER)
        channel.close()
        os.waitpid(helper, 0)
        done(json.loads(answer) if answer else _DIED)

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
            for one in from_wire(operations):
                one.execute(context)
                undo.callback(one.undo, context)
            undo.pop_all()
    except Exception as error:
        return child.describe_error(error)
    return None


def _inside(linux: Linux, pidfd: int) -> Context:
    """The container's network namespace, and a socket that was made in it."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(pidfd, c.CLONE_NEWNET)
        netns = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        netlink = open_for_others()
    finally:
        linux.setns(own, c.CLONE_NEWNET)
        os.close(own)
    return Context(linux, netns_fd=netns, inside_netlink=netlink)
