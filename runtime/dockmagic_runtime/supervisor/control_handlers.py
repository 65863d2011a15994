"""What clients ask of a supervisor: one function for each verb of the control socket."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.supervisor import protocol, rootfs
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.restarts import Restarts

if TYPE_CHECKING:
    from dockmagic_runtime.supervisor.supervisor import Supervisor

_FRAMES: Final = {"stdout": protocol.STDOUT, "stderr": protocol.STDERR}


# ------------------------------------------------------------------ streams


def attach(supervisor: Supervisor, client: ClientConnection) -> None:
    if supervisor.program is None:
        raise Conflict("You cannot attach to a restarting container, wait until it is running")
    if supervisor.is_paused:
        raise Conflict("You cannot attach to a paused container, unpause it first")
    client.attached = True
    client.say("attached", terminal=supervisor.program.stdio.terminal)


def detach(supervisor: Supervisor, client: ClientConnection) -> None:
    """From now on the container lives without the engine that started it."""
    if client is supervisor.audience.owner:
        supervisor.audience.owner = None
    client.attached = False


def wait(supervisor: Supervisor, client: ClientConnection) -> None:
    """Nothing to note: everybody is told of the end."""


def resize(supervisor: Supervisor, client: ClientConnection, rows: int, columns: int) -> None:
    supervisor.stdio_of(client).resize(rows, columns)


# ------------------------------------------------------------------ signals


def send_signal(supervisor: Supervisor, client: ClientConnection, number: int) -> None:
    """To the exec that the client is joined with, or to the program: then it is not started
    again when it ends, as with Docker."""
    execution = supervisor.program.execution_of(client) if supervisor.program else None
    if execution is not None:
        execution.kill(number)
    else:
        _kill(supervisor, number)
        if number == signal.SIGKILL:
            _thaw(supervisor)  # a frozen process of cgroup v1 dies when it is thawed
    client.say("done")


def stop(
    supervisor: Supervisor,
    client: ClientConnection,
    number: int,
    stop_timeout: float | None,
    keep: bool,
) -> None:
    """Ask the program to end, and kill it after `patience` seconds (None: never). It goes on
    when the client has gone. `keep`: a container of --rm stays, for it is started again."""
    supervisor.keeps_directory = keep
    _kill(supervisor, number)
    _thaw(supervisor)
    if stop_timeout is not None:
        supervisor.loop.after(stop_timeout, lambda: _kill(supervisor, signal.SIGKILL))


def _kill(supervisor: Supervisor, number: int) -> None:
    supervisor.stop_by_hand()
    if supervisor.program is not None:
        supervisor.program.kill(number)
        supervisor.tell("kill", signal=str(number))


def _thaw(supervisor: Supervisor) -> None:
    if supervisor.is_paused:
        _set_frozen(supervisor, frozen=False)


# ------------------------------------------------------------------ pausing


def pause(supervisor: Supervisor, client: ClientConnection) -> None:
    if supervisor.is_paused:
        raise Conflict(f"Container {supervisor.order.id} is already paused")
    _set_frozen(supervisor, frozen=True)
    client.say("done")


def unpause(supervisor: Supervisor, client: ClientConnection) -> None:
    if not supervisor.is_paused:
        raise Conflict(f"Container {supervisor.order.id} is not paused")
    _set_frozen(supervisor, frozen=False)
    client.say("done")


def _set_frozen(supervisor: Supervisor, *, frozen: bool) -> None:
    cgroup, health = supervisor.running().cgroup, supervisor.health
    if frozen:
        cgroup.freeze()
        supervisor.is_paused = True
        if health is not None:
            health.hold()
    else:
        cgroup.thaw()
        supervisor.is_paused = False
        if health is not None:
            health.resume()
    supervisor.record(status="paused" if frozen else "running")
    supervisor.tell("pause" if frozen else "unpause")


# ------------------------------------------------------------------ further processes


def execute(
    supervisor: Supervisor,
    client: ClientConnection,
    process: dict[str, Any],
    open_stdin: bool,
    identity: str,
) -> None:
    program = supervisor.running()
    if supervisor.is_paused:
        raise Conflict(
            f"Container {supervisor.order.id} is paused, unpause the container before exec"
        )

    def sink(stream: str, data: bytes) -> None:
        if made.client is not None:
            made.client.send(protocol.frame(_FRAMES[stream], data))
            made.stdio.pause_output(client.is_behind)

    def on_end(code: int) -> None:
        supervisor.tell_of_end(made, code)
        if made.client is not None:
            made.client.is_told = True
            made.client.say("exited", exit_code=code)

    made = program.execute(
        process, identity=identity, sink=sink, on_end=on_end, open_stdin=open_stdin
    )
    made.client, client.closes_input = client, True
    supervisor.tell_of_execution(made)
    client.say("started", pid=made.pid)


def list_executions(supervisor: Supervisor, client: ClientConnection) -> None:
    program = supervisor.program
    found = [(one.id, one.pid, one.command) for one in program.executions] if program else []
    client.say("done", executions=found)


def show_tree(supervisor: Supervisor, client: ClientConnection, mounts: bool) -> None:
    fd = rootfs.visit(supervisor.linux, supervisor.running().pidfd, mounts=mounts)
    try:
        client.hand_over("tree", fd)
    finally:
        os.close(fd)


# ------------------------------------------------------------------ changes


def update(
    supervisor: Supervisor,
    client: ClientConnection,
    limits: list[list[Any]],
    restart: tuple[str, int] | None,
) -> None:
    """What holds from the next start on, and the restart policy, which holds at once."""
    if limits:
        supervisor.limits = limits
    if restart is not None:
        before = supervisor.restarts
        supervisor.restarts = Restarts(restart[0], restart[1], before.count, before.wait)
    client.say("done")


def networks(supervisor: Supervisor, client: ClientConnection, **change: Any) -> None:
    """Few containers ever change theirs: what does it is loaded when one does."""
    from dockmagic_runtime.supervisor.network_update import update_networks

    update_networks(supervisor, client, **change)


VERBS: Final[dict[str, Callable[..., None]]] = {
    "attach": attach,
    "wait": wait,
    "detach": detach,
    "signal": send_signal,
    "stop": stop,
    "resize": resize,
    "pause": pause,
    "unpause": unpause,
    "exec": execute,
    "executions": list_executions,
    "tree": show_tree,
    "update": update,
    "networks": networks,
}
