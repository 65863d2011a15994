"""Starting a child from a plan: the supervisor's half of the dance.

Everything that was done is on an undo stack until the program runs; what then must be undone at
the container's end stays on it (`Started.undo`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dockmagic_runtime import errors
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.operation import Context, Operation
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.sandbox.process import warm
from dockmagic_runtime.supervisor.stdio import Stdio

MESSAGE_LIMIT = 256 * 1024


@dataclass(slots=True)
class Started:
    """A program that runs: its pid and pidfd, and what to undo when it has ended."""

    pid: int
    pidfd: int
    context: Context
    undo: contextlib.ExitStack
    trace: dict[str, list[child.Timing]] = field(default_factory=dict)


def start(linux: Linux, plan: SandboxPlan, stdio: Stdio, facts: dict[str, Any]) -> Started:
    """Carry out `plan`. Raises what the failed operation raised, with everything undone.

    `facts` about the host are what operations find in `Context.resources` from the start.
    """
    warm(plan.process)
    context = Context(linux, resources=dict(facts))
    with contextlib.ExitStack() as undo:
        trace = {"host": execute_undoably(plan.host, context, undo)}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                pid = _fork(linux, plan, context, stdio, theirs)
            pidfd = os.pidfd_open(pid)
            undo.callback(os.close, pidfd)
            reaper = undo.enter_context(contextlib.ExitStack())
            reaper.callback(_kill_and_reap, pid, pidfd)
            context.init_pid = pid
            stdio.close_child_ends()
            trace |= _accompany(ours, plan, context, undo, stdio)
        reaper.pop_all()  # the program runs: its end is waited for, not brought about
        return Started(pid, pidfd, context, undo.pop_all(), trace)


def execute_undoably(
    operations: tuple[Operation, ...], context: Context, undo: contextlib.ExitStack
) -> list[child.Timing]:
    """Carry them out; each that succeeded goes on the undo stack."""
    times = []
    for one in operations:
        times += child.execute_all((one,), context)
        undo.callback(one.undo, context)
    return times


def _fork(
    linux: Linux, plan: SandboxPlan, context: Context, stdio: Stdio, sync: socket.socket
) -> int:
    def inside() -> NoReturn:
        stdio.install_in_child()
        child.run(linux, plan, sync, context)

    with contextlib.ExitStack() as stack:
        target = -1
        if plan.pid_namespace_of:
            target = os.pidfd_open(plan.pid_namespace_of)
            stack.callback(os.close, target)
        stack.enter_context(pid_namespace(linux, new=plan.new_pid_namespace, target=target))
        return fork(inside)


@contextlib.contextmanager
def pid_namespace(linux: Linux, *, new: bool, target: int = -1) -> Any:
    """For the length of the block, children are born in another pid namespace.

    A new one, or the one of the process behind the pidfd `target`. Our own comes back afterwards:
    unshare(2) refuses a second time otherwise, and an exec needs the container's again.
    """
    if not new and target < 0:
        yield
        return
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if new:
            linux.unshare(c.CLONE_NEWPID)
        else:
            linux.setns(target, c.CLONE_NEWPID)
        try:
            yield
        finally:
            linux.setns(own, c.CLONE_NEWPID)
    finally:
        os.close(own)


def fork(inside: Callable[[], NoReturn]) -> int:
    """fork(2) whose child runs `inside` in a session of its own and can import nothing any more.

    A module imported after the child has entered the container would be the container's
    (CVE-2019-14271).
    """
    pid = os.fork()
    if pid == 0:
        try:
            sys.meta_path.clear()
            os.setsid()
            inside()
        finally:
            os._exit(1)
    return pid


def _accompany(
    sync: socket.socket,
    plan: SandboxPlan,
    context: Context,
    undo: contextlib.ExitStack,
    stdio: Stdio,
) -> dict[str, list[child.Timing]]:
    """Answer the child's messages until it has become the program. Raises what it reports."""
    trace: dict[str, list[child.Timing]] = {}
    while True:
        message, fds = _receive(sync)
        if not message:
            break
        kind, body = message[:1], message[1:]
        if kind == b"N":
            context.netns_fd, context.inside_netlink = fds
            undo.callback(os.close, context.netns_fd)
            trace["network"] = execute_undoably(plan.network, context, undo)
            os.close(context.inside_netlink)
            _tell(sync, b"G")
        elif kind == b"P":
            stdio.adopt_terminal(fds[0])
        elif kind == b"T":
            trace["inside"] = json.loads(body)
        else:
            raise rebuild_error(json.loads(body))
    if "inside" not in trace:
        raise StartFailed("the child ended before it became the program", exit_code=125)
    return trace


def _receive(sync: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, fds, _, _ = socket.recv_fds(sync, MESSAGE_LIMIT, 2)
    except ConnectionResetError:
        # it ended before it had read all of ours; what it said before that is still to be read
        message, fds, _, _ = socket.recv_fds(sync, MESSAGE_LIMIT, 2)
    return message, fds


def _tell(sync: socket.socket, message: bytes) -> None:
    try:
        sync.send(message)
    except BrokenPipeError:
        pass  # the child has failed meanwhile: why is still to be read


def rebuild_error(values: dict[str, Any]) -> DockmagicError:
    """The error that `child.describe_error` described."""
    kind = getattr(errors, values["kind"])
    if issubclass(kind, StartFailed | errors.ProcessFailed):
        made: DockmagicError = kind(
            values["message"], hint=values["hint"], exit_code=values["exit_code"]
        )
        return made
    plain: DockmagicError = kind(values["message"], hint=values["hint"])
    return plain


def _kill_and_reap(pid: int, pidfd: int) -> None:
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
