"""What clients ask of a supervisor: one function for each verb of the control socket."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.supervisor import tree
from dockmagic_runtime.supervisor.client import Client

if TYPE_CHECKING:
    from dockmagic_runtime.supervisor.supervise import Supervisor


def attach(supervisor: Supervisor, client: Client) -> None:
    client.attached = True
    client.say("attached", terminal=supervisor.stdio.terminal)


def wait(supervisor: Supervisor, client: Client) -> None:
    """Nothing to note: everybody is told of the end."""


def detach(supervisor: Supervisor, client: Client) -> None:
    supervisor.release_owner(client)
    client.attached = False


def send_signal(supervisor: Supervisor, client: Client, number: int) -> None:
    execution = supervisor.executions.get(client)
    if execution is not None:
        execution.kill(number)
    else:
        supervisor.kill(number)
    client.say("done")


def resize(supervisor: Supervisor, client: Client, rows: int, columns: int) -> None:
    supervisor.stdio_of(client).resize(rows, columns)


def pause(supervisor: Supervisor, client: Client) -> None:
    if supervisor.is_paused:
        raise Conflict(f"Container {supervisor.order.id} is already paused")
    supervisor.context.resources["cgroup"].freeze()
    supervisor.is_paused = True
    supervisor.record(status="paused")
    client.say("done")


def unpause(supervisor: Supervisor, client: Client) -> None:
    if not supervisor.is_paused:
        raise Conflict(f"Container {supervisor.order.id} is not paused")
    supervisor.context.resources["cgroup"].thaw()
    supervisor.is_paused = False
    supervisor.record(status="running")
    client.say("done")


def execute(
    supervisor: Supervisor, client: Client, process: dict[str, Any], open_stdin: bool
) -> None:
    if supervisor.is_paused:
        raise Conflict(
            f"Container {supervisor.order.id} is paused, unpause the container before exec"
        )
    execution = supervisor.execute(client, process, open_stdin=open_stdin)
    client.say("started", pid=execution.pid)


def show_tree(supervisor: Supervisor, client: Client, mounts: bool) -> None:
    fd = tree.visit(supervisor.linux, supervisor.pidfd, mounts=mounts)
    try:
        client.hand_over("tree", fd)
    finally:
        os.close(fd)


VERBS: Final[dict[str, Callable[..., None]]] = {
    "attach": attach,
    "wait": wait,
    "detach": detach,
    "signal": send_signal,
    "resize": resize,
    "pause": pause,
    "unpause": unpause,
    "exec": execute,
    "tree": show_tree,
}
