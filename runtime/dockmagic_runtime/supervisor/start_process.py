"""The start process: short-lived, it executes the plan of a start for its supervisor.

Strategy: to decode a plan and to talk to the kernel about control groups, links and rules touches
most of a process's memory. The supervisor never loads any of that: it forks this process for it,
which ends when the program runs (1.5 MiB instead of 4.2 MiB for each container). The program is
nevertheless the supervisor's own child (CLONE_PARENT). What has to outlive the start process is
handed over by descriptor (`supervisor.handover`). Until then every effect is on an undo stack.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.processes import await_end, start_of
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.network.operations import PORTS, SERVERS
from dockmagic_runtime.sandbox import child, entering
from dockmagic_runtime.sandbox.cgroup_operations import CGROUP, CLONED_INTO_CGROUP, JoinCgroup
from dockmagic_runtime.sandbox.operation import Context, Operation, from_wire
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.sandbox.process import warm
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.store import container_process
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.store.container_events import ContainerEvents
from dockmagic_runtime.supervisor import protocol, run_directory, state
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.error_message import rebuild_error
from dockmagic_runtime.supervisor.forks import fork
from dockmagic_runtime.supervisor.request import SupervisorRequest, decode_plan
from dockmagic_runtime.supervisor.shared_namespaces import with_current_pids
from dockmagic_runtime.supervisor.stdio import StdioPipes

MESSAGE_LIMIT = 256 * 1024
Trace = dict[str, list[child.Timing]]


class StartedProcess(Struct, kw_only=True):
    """A program that runs, and what the supervisor has to take over."""

    pid: int
    started: float
    trace: Trace
    context: Context
    operations: tuple[Operation, ...]  # those that were executed outside of the child
    pipes: StdioPipes
    run_directory: tuple[int, int] | None  # lock and listening socket, at the first start
    needs_services: bool = False


class StartTask(Struct, frozen=True):
    """One start. `facts` about the host are what operations find in `Context.slots`.

    `owner` is a socket to the engine that requested it; at a restart there is none, and the
    supervisor has the run directory already. `users` is a descriptor by which the supervisor keeps
    the launcher. `limits` is an operation on the wire that applies
    limits which were updated since the plan was computed. `forked` gets the pid of the child that
    is about to become the program: should this process be killed, no other process would know it.
    """

    linux: Linux
    request: SupervisorRequest
    encoded: bytes
    facts: Slots
    forked: Callable[[int], None]
    owner: int = -1
    users: int = -1
    restarts: int = 0
    limits: list[list[Any]] = field(default_factory=list)

    @property
    def process_name(self) -> bytes:
        return f"dockmagic-{self.request.id[:5]}".encode()

    def run(self) -> StartedProcess:
        """Carry out the plan and announce the program to the engine.

        Raises what the failed operation raised, with everything undone and the state written.
        """
        with contextlib.ExitStack() as undo:
            claimed = self._claim_run_directory(undo)
            try:
                started = self._start(claimed)
            except BaseException as error:
                self._record_failure(error)
                raise
            undo.pop_all()
            return started

    def _claim_run_directory(self, undo: contextlib.ExitStack) -> tuple[int, int] | None:
        run = self.request.run
        if not run or self.owner < 0:
            return None
        claimed = run_directory.claim(run)
        undo.callback(run_directory.release, run, *claimed)
        return claimed

    def _start(self, claimed: tuple[int, int] | None) -> StartedProcess:
        plan = decode_plan(self.encoded)
        if self.owner < 0:
            plan = with_current_pids(plan, self.request.joined)
            plan = replace(plan, host=(*plan.host, *from_wire(self.limits)))
        with contextlib.ExitStack() as undo:
            pipes = StdioPipes.open(
                terminal=plan.process.terminal,
                open_stdin=self.request.open_stdin,
                survives_supervisor=not plan.process.tied,
            )
            undo.callback(pipes.close)
            context = Context(self.linux, slots=self.facts.copy())
            owner = self.owner if self.request.owned else -1
            pid, trace = execute_plan(self.linux, plan, pipes, context, undo, self.forked, owner)
            started = StartedProcess(
                pid=pid,
                started=time.time(),
                trace=trace,
                context=context,
                operations=(*plan.host, *plan.network),
                pipes=pipes,
                run_directory=claimed,
            )
            self._write_state(started)
            if not plan.process.tied:
                self._record_process(started)
            self._announce(started)
            undo.pop_all()
            return started

    def _write_state(self, started: StartedProcess) -> None:
        request, ports = self.request, (PORTS.get(started.context.slots) or ())
        started.needs_services = bool(
            SERVERS.get(started.context.slots) or request.health or request.watches_memory
        )
        if request.directory:
            written = state.State(
                status="running",
                pid=started.pid,
                started=started.started,
                finished=state.load(request.directory).finished,
                restart_count=self.restarts,
                health=state.STARTING if request.health else "",
                **{**request.endpoint, "ports": ports},
            )
            state.write(request.directory, written)

    def _announce(self, started: StartedProcess) -> None:
        request, ports = self.request, (PORTS.get(started.context.slots) or ())
        if request.events:
            events = ContainerEvents.from_wire(request.events)
            if self.owner < 0:
                events.connected()  # at the first start the engine has emitted that
            events.emit("start")
        self.send("started", pid=started.pid, trace=started.trace, ports=ports)

    def _record_process(self, started: StartedProcess) -> None:
        """Record the init process so that it survives its supervisor. Written before `started` is
        announced."""
        pipes = {name: os.fstat(fd).st_ino for fd, name in started.pipes.outputs.items()}
        program = container_process.Program(
            pid=started.pid,
            started=start_of(started.pid),
            pipes={} if started.pipes.terminal else pipes,
        )
        try:
            container_process.write_record(self.request.run, program)
        except OSError as error:
            if error.errno not in DISK_UNWRITABLE:
                raise

    def _record_failure(self, error: BaseException) -> None:
        if not self.request.directory:
            return
        described = child.describe_error(error)
        before = state.load(self.request.directory)
        state.write(
            self.request.directory,
            replace(
                before,
                status="created" if before.status == "created" else "exited",
                exit_code=int(str(described["exit_code"])),
                error=str(described["message"]),
                pid=0,
                **state.NO_ENDPOINT,
            ),
        )

    def report(self, error: BaseException) -> None:
        self.send("failed", error=child.describe_error(error))

    def send(self, verb: str, **values: Any) -> None:
        if self.owner < 0:
            return
        try:
            with socket.socket(fileno=os.dup(self.owner)) as owner:
                owner.sendall(protocol.control(verb, **values))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the engine has disconnected; the supervisor will notice that next


def execute_plan(
    linux: Linux,
    plan: SandboxPlan,
    pipes: StdioPipes,
    context: Context,
    undo: contextlib.ExitStack,
    forked: Callable[[int], None],
    owner: int = -1,
) -> tuple[int, Trace]:
    """Start the program of a plan: its pid, and how long each operation took."""
    warm(plan.process)
    trace: Trace = {"host": execute_undoably(plan.host, context, undo)}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def follow(pid: int) -> None:
        forked(pid)
        undo.callback(_kill, undo.enter_context(_closing(os.pidfd_open(pid))))
        context.init_pid = pid

    with ours:
        with theirs:
            follow(_fork(linux, plan, context, pipes, ours, theirs))
        pipes.close_child()
        trace |= _serve_child(ours, plan, context, undo, pipes, owner, follow)
    return context.init_pid, trace


def execute_undoably(
    operations: tuple[Operation, ...], context: Context, undo: contextlib.ExitStack
) -> list[child.Timing]:
    """Execute them; each that succeeded goes on the undo stack."""
    times = []
    for operation in operations:
        times += child.execute_all((operation,), context)
        undo.callback(operation.undo, context)
    return times


def _fork(
    linux: Linux,
    plan: SandboxPlan,
    context: Context,
    pipes: StdioPipes,
    ours: socket.socket,
    sync: socket.socket,
) -> int:
    def inside(is_member: bool) -> NoReturn:
        ours.close()  # or the child would not notice the end of this process
        CLONED_INTO_CGROUP.put(context.slots, is_member)
        pipes.install_in_child()
        child.run(linux, plan, sync, context, target)

    target = -1
    if plan.pid_namespace_of:
        target = os.pidfd_open(plan.pid_namespace_of)
    elif plan.new_pid_namespace:
        linux.unshare(c.CLONE_NEWPID)
    try:
        return fork(linux, _cgroup_path(plan, context), inside, sibling=True)
    finally:
        if target >= 0:
            os.close(target)


def _cgroup_path(plan: SandboxPlan, context: Context) -> str:
    """The container's control group, unless the child has to do something before it joins."""
    if not plan.inside or not isinstance(plan.inside[0], JoinCgroup):
        return ""
    return CGROUP.require(context.slots).cgroup_path


@contextlib.contextmanager
def _closing(fd: int) -> Any:
    try:
        yield fd
    finally:
        os.close(fd)


def _serve_child(
    sync: socket.socket,
    plan: SandboxPlan,
    context: Context,
    undo: contextlib.ExitStack,
    pipes: StdioPipes,
    owner: int,
    follow: Callable[[int], None],
) -> Trace:
    """Answer the child's messages until it has become the program. Raises what it reports, and
    StartFailed when the engine that `owner` leads to closes its end before. `follow` is called with
    the pid of another process that is to become the program in its place."""
    trace: Trace = {}
    while True:
        _await_message(sync, owner)
        message, fds = _receive(sync)
        if not message:
            break
        kind, body = message[:1], message[1:]
        if kind == b"N":
            context.netns_fd, context.inside_netlink = fds
            undo.callback(os.close, context.netns_fd)
            trace["network"] = execute_undoably(plan.network, context, undo)
            os.close(context.inside_netlink)
            _send(sync, b"G")
        elif kind == b"P":
            pipes.set_terminal(fds[0])
        elif kind == b"T":
            trace["inside"] = lenient_json.decode(body)
        elif kind == entering.STARTED:
            follow(int(body))
            _send(sync, entering.GO)
        else:
            raise rebuild_error(lenient_json.decode(body))
    if "inside" not in trace:
        raise StartFailed("the child ended before it became the program", exit_code=125)
    return trace


def _await_message(sync: socket.socket, owner: int) -> None:
    ready = select.poll()
    ready.register(sync, select.POLLIN)
    if owner >= 0:
        ready.register(owner, 0)  # for POLLHUP alone: the engine may write before the start
    if all(fd == owner for fd, _ in ready.poll()):
        raise StartFailed("the engine ended before the container ran", exit_code=125)


def _receive(sync: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    try:
        message, fds = receive_fds(sync, MESSAGE_LIMIT, 2)
    except ConnectionResetError:
        # it ended before it had read our messages; its own are still to be read
        message, fds = receive_fds(sync, MESSAGE_LIMIT, 2)
    return message, fds


def _send(sync: socket.socket, message: bytes) -> None:
    try:
        sync.send(message)
    except BrokenPipeError:
        pass  # the child has failed: its error is still to be read


def _kill(pidfd: int) -> None:
    """End it and wait; its parent is the supervisor, which ends too."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await_end(pidfd)
    except ProcessLookupError:
        pass  # another process has become the program in its place
