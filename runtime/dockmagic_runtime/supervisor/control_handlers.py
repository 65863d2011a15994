"""The control requests of clients: one handler for each verb of the control socket."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

from dockmagic_runtime.model.transitions import Action
from dockmagic_runtime.supervisor import protocol, rootfs
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.control_target import ControlTarget
from dockmagic_runtime.supervisor.restarts import Restarts

# ------------------------------------------------------------------ streams


def attach(supervisor: ControlTarget, client: ClientConnection) -> None:
    supervisor.check(Action.ATTACH)
    client.attached = True
    client.send("attached", terminal=supervisor.running().stdio.terminal)


def detach(supervisor: ControlTarget, client: ClientConnection) -> None:
    """From now on the container lives without the engine that started it."""
    if client is supervisor.clients.owner:
        supervisor.clients.owner = None
    client.attached = False


def wait(supervisor: ControlTarget, client: ClientConnection) -> None:
    """Nothing to note: every client receives `exited`."""


def resize(supervisor: ControlTarget, client: ClientConnection, rows: int, columns: int) -> None:
    if not client.exit_sent:
        supervisor.stdio_of(client).resize(rows, columns)


# ------------------------------------------------------------------ signals


def send_signal(supervisor: ControlTarget, client: ClientConnection, number: int) -> None:
    """To the client's exec if it has one. Else to the program, which then is not started again
    when it ends, as with Docker."""
    session = supervisor.program.exec_of(client) if supervisor.program else None
    if session is not None:
        session.kill(number)
    elif not client.exit_sent:  # its exec has not just ended
        _kill(supervisor, number)
        if number == signal.SIGKILL:
            _thaw(supervisor)  # a frozen process of cgroup v1 dies when it is thawed
    client.send("done")


def stop(
    supervisor: ControlTarget,
    client: ClientConnection,
    number: int,
    stop_timeout: float | None,
    keep: bool,
) -> None:
    """Ask the program to end, and kill it after `stop_timeout` seconds (None: never), even if the
    client disconnects. `keep`: the directory of a container of --rm is kept for its next start."""
    supervisor.keeps_directory = keep
    _kill(supervisor, number)
    _thaw(supervisor)
    if stop_timeout is not None:
        supervisor.loop.after(stop_timeout, lambda: _kill(supervisor, signal.SIGKILL))


def _kill(supervisor: ControlTarget, number: int) -> None:
    supervisor.stop_by_hand()
    if supervisor.program is not None:
        supervisor.program.kill(number)
        supervisor.emit("kill", signal=str(number))


def _thaw(supervisor: ControlTarget) -> None:
    if supervisor.is_paused:
        _set_frozen(supervisor, frozen=False)


# ------------------------------------------------------------------ pausing


def pause(supervisor: ControlTarget, client: ClientConnection) -> None:
    supervisor.check(Action.PAUSE)
    _set_frozen(supervisor, frozen=True)
    client.send("done")


def unpause(supervisor: ControlTarget, client: ClientConnection) -> None:
    supervisor.check(Action.UNPAUSE)
    _set_frozen(supervisor, frozen=False)
    client.send("done")


def _set_frozen(supervisor: ControlTarget, *, frozen: bool) -> None:
    cgroup, health = supervisor.running().cgroup, supervisor.health
    if frozen:
        cgroup.freeze()
        supervisor.is_paused = True
        if health is not None:
            health.suspend()
    else:
        cgroup.thaw()
        supervisor.is_paused = False
        if health is not None:
            health.resume()
    supervisor.record(status="paused" if frozen else "running")
    supervisor.emit("pause" if frozen else "unpause")


# ------------------------------------------------------------------ further processes


def execute(
    supervisor: ControlTarget,
    client: ClientConnection,
    process: dict[str, Any],
    open_stdin: bool,
    identity: str,
) -> None:
    supervisor.check(Action.EXEC)
    program = supervisor.running()

    def sink(stream: str, data: bytes) -> None:
        if session.client is not None:
            session.client.send_bytes(protocol.frame(protocol.KINDS[stream], data))
            session.stdio.pause_output(client.is_behind)

    def on_end(code: int) -> None:
        supervisor.exec_ended(session, code)
        if session.client is not None:
            session.client.exit_sent = True
            session.client.send("exited", exit_code=code)

    session = program.execute(
        process, exec_id=identity, sink=sink, on_end=on_end, open_stdin=open_stdin
    )
    session.client, client.closes_input = client, True
    supervisor.exec_started(session)
    client.send("started", pid=session.pid)


def list_execs(supervisor: ControlTarget, client: ClientConnection) -> None:
    sessions = supervisor.program.execs if supervisor.program else []
    execs = [(session.id, session.pid, session.command) for session in sessions]
    client.send("done", executions=execs)


def open_tree(supervisor: ControlTarget, client: ClientConnection, mounts: bool) -> None:
    fd = rootfs.open_root_of(supervisor.linux, supervisor.running().pidfd, mounts=mounts)
    try:
        client.send_descriptors("tree", fd)
    finally:
        os.close(fd)


# ------------------------------------------------------------------ changes


def update(
    supervisor: ControlTarget,
    client: ClientConnection,
    limits: list[list[Any]],
    restart: tuple[str, int] | None,
) -> None:
    """Set the limits of the next start, and the restart policy, which holds at once."""
    if limits:
        supervisor.limits = limits
    if restart is not None:
        before = supervisor.restarts
        supervisor.restarts = Restarts(restart[0], restart[1], before.count, before.wait)
    client.send("done")


def networks(supervisor: ControlTarget, client: ClientConnection, **change: Any) -> None:
    """Few containers ever change their networks, so the code is loaded when one does."""
    from dockmagic_runtime.supervisor.network_update import update_networks

    update_networks(supervisor, client, **change)


HANDLERS: Final[dict[str, Callable[..., None]]] = {
    "attach": attach,
    "wait": wait,
    "detach": detach,
    "signal": send_signal,
    "stop": stop,
    "resize": resize,
    "pause": pause,
    "unpause": unpause,
    "exec": execute,
    "executions": list_execs,
    "tree": open_tree,
    "update": update,
    "networks": networks,
}
