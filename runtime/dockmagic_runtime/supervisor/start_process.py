"""Starting a container from its plan, in a process of its own: the midwife.

Strategy: whoever carries a start out decodes the plan, talks to the kernel about control groups,
links and rules, and has touched most of its memory by then. The supervisor stays small, since it
forks this process for it, which ends when the program runs. The program is nevertheless the
supervisor's own child (CLONE_PARENT). What has to outlive the midwife is handed over by
descriptor (`supervisor.delivery`). Everything that was done is on an undo stack until then.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from msgspec import Struct, field
from msgspec.structs import replace

from dockmagic_runtime import errors
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.processes import start_of
from dockmagic_runtime.network.operations import PORTS, SERVERS
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.cgroup_operations import CGROUP, CLONED_INTO_CGROUP, JoinCgroup
from dockmagic_runtime.sandbox.operation import Context, Operation, from_wire
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.sandbox.process import warm
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.store import container_process
from dockmagic_runtime.store.container_events import ContainerEvents
from dockmagic_runtime.supervisor import protocol, run_directory, state
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.forks import fork
from dockmagic_runtime.supervisor.request import SupervisorRequest, decode_plan
from dockmagic_runtime.supervisor.shared_namespaces import renewed
from dockmagic_runtime.supervisor.stdio import StdioPipes

MESSAGE_LIMIT = 256 * 1024
Trace = dict[str, list[child.Timing]]


class StartedProcess(Struct, kw_only=True):
    """A program that runs, and what the supervisor has to take over."""

    pid: int
    started: float
    trace: Trace
    context: Context
    operations: tuple[Operation, ...]  # those of the start that we have carried out
    ends: StdioPipes
    place: tuple[int, int] | None  # lock and listening socket, unless the supervisor has them
    needs_services: bool = False


class StartTask(Struct, frozen=True):
    """One start. `facts` about the host are what operations find in `Context.slots`.

    `owner` is a socket of the engine that asked for it; at a restart there is none, and the
    supervisor has the container's place already. `limits` are an operation that was asked for
    since the plan was made, as on the wire. `forked` is told of the child that is about to become
    the program: should this process be killed, nobody else would know of it.
    """

    linux: Linux
    order: SupervisorRequest
    request: bytes
    facts: Slots
    forked: Callable[[int], None]
    owner: int = -1
    restarts: int = 0
    limits: list[list[Any]] = field(default_factory=list)

    @property
    def process_name(self) -> bytes:
        return f"dockmagic-{self.order.id[:5]}".encode()

    def deliver(self) -> StartedProcess:
        """Carry out the plan and announce the program.

        Raises what the failed operation raised, with everything undone and the state written.
        """
        with contextlib.ExitStack() as undo:
            taken = self._take_place(undo)
            try:
                newborn = self._start(taken)
            except BaseException as error:
                self._record_failure(error)
                raise
            undo.pop_all()
            return newborn

    def _take_place(self, undo: contextlib.ExitStack) -> tuple[int, int] | None:
        run = self.order.run
        if not run or self.owner < 0:
            return None
        taken = run_directory.take(run)
        undo.callback(run_directory.leave, run, *taken)
        return taken

    def _start(self, taken: tuple[int, int] | None) -> StartedProcess:
        plan = decode_plan(self.request)
        if self.owner < 0:
            plan = renewed(plan, self.order.joined)
            plan = replace(plan, host=(*plan.host, *from_wire(self.limits)))
        with contextlib.ExitStack() as undo:
            ends = StdioPipes.open(
                terminal=plan.process.terminal,
                open_stdin=self.order.open_stdin,
                survives_supervisor=not plan.process.tied,
            )
            undo.callback(ends.close)
            context = Context(self.linux, slots=self.facts.copy())
            pid, trace = carry_out(self.linux, plan, ends, context, undo, self.forked)
            newborn = StartedProcess(
                pid=pid,
                started=time.time(),
                trace=trace,
                context=context,
                operations=(*plan.host, *plan.network),
                ends=ends,
                place=taken,
            )
            self._write_down(newborn)
            if not plan.process.tied:
                self._note(newborn)
            self._announce(newborn)
            undo.pop_all()
            return newborn

    def _write_down(self, newborn: StartedProcess) -> None:
        order, ports = self.order, (PORTS.get(newborn.context.slots) or ())
        newborn.needs_services = bool(
            SERVERS.get(newborn.context.slots) or order.health or order.watches_memory
        )
        if order.directory:
            written = state.State(
                status="running",
                pid=newborn.pid,
                started=newborn.started,
                finished=state.load(order.directory).finished,
                restart_count=self.restarts,
                health=state.STARTING if order.health else "",
                **{**order.endpoint, "ports": ports},
            )
            state.write(order.directory, written)

    def _announce(self, newborn: StartedProcess) -> None:
        order, ports = self.order, (PORTS.get(newborn.context.slots) or ())
        if order.events:
            events = ContainerEvents.from_wire(order.events)
            if self.owner < 0:
                events.connected()  # at the first start the engine has told that
            events.tell("start")
        self.tell("started", pid=newborn.pid, trace=newborn.trace, ports=ports)

    def _note(self, newborn: StartedProcess) -> None:
        """For who finds the program without a supervisor: from when it is told of, it lives on."""
        pipes = {name: os.fstat(fd).st_ino for fd, name in newborn.ends.outputs.items()}
        program = container_process.Program(
            pid=newborn.pid,
            started=start_of(newborn.pid),
            pipes={} if newborn.ends.terminal else pipes,
        )
        try:
            container_process.note(self.order.run, program)
        except OSError as error:
            if error.errno not in state.DISK_UNWRITABLE:
                raise

    def _record_failure(self, error: BaseException) -> None:
        if not self.order.directory:
            return
        described = child.describe_error(error)
        before = state.load(self.order.directory)
        state.write(
            self.order.directory,
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
        self.tell("failed", error=child.describe_error(error))

    def tell(self, verb: str, **values: Any) -> None:
        if self.owner < 0:
            return
        try:
            with socket.socket(fileno=os.dup(self.owner)) as owner:
                owner.sendall(protocol.control(verb, **values))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the engine has gone; the supervisor will see that next


def carry_out(
    linux: Linux,
    plan: SandboxPlan,
    ends: StdioPipes,
    context: Context,
    undo: contextlib.ExitStack,
    forked: Callable[[int], None],
) -> tuple[int, Trace]:
    """From the plan to a program that runs: its pid and how long each operation took."""
    warm(plan.process)
    trace: Trace = {"host": execute_undoably(plan.host, context, undo)}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            pid = _fork(linux, plan, context, ends, ours, theirs)
            forked(pid)
        undo.callback(_kill, pid, undo.enter_context(_closing(os.pidfd_open(pid))))
        context.init_pid = pid
        ends.close_child()
        trace |= _accompany(ours, plan, context, undo, ends)
    return pid, trace


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
    linux: Linux,
    plan: SandboxPlan,
    context: Context,
    ends: StdioPipes,
    ours: socket.socket,
    sync: socket.socket,
) -> int:
    def inside(is_member: bool) -> NoReturn:
        ours.close()  # or the child would never see that we were killed
        CLONED_INTO_CGROUP.put(context.slots, is_member)
        ends.install_in_child()
        child.run(linux, plan, sync, context)

    if plan.pid_namespace_of:
        with _closing(os.pidfd_open(plan.pid_namespace_of)) as target:
            linux.setns(target, c.CLONE_NEWPID)
    elif plan.new_pid_namespace:
        linux.unshare(c.CLONE_NEWPID)
    return fork(linux, _birthplace(plan, context), inside, sibling=True)


def _birthplace(plan: SandboxPlan, context: Context) -> str:
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


def _accompany(
    sync: socket.socket,
    plan: SandboxPlan,
    context: Context,
    undo: contextlib.ExitStack,
    ends: StdioPipes,
) -> Trace:
    """Answer the child's messages until it has become the program. Raises what it reports."""
    trace: Trace = {}
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
            ends.adopt_terminal(fds[0])
        elif kind == b"T":
            trace["inside"] = json.loads(body)
        else:
            raise rebuild_error(json.loads(body))
    if "inside" not in trace:
        raise StartFailed("the child ended before it became the program", exit_code=125)
    return trace


def _receive(sync: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    try:
        message, fds = receive_fds(sync, MESSAGE_LIMIT, 2)
    except ConnectionResetError:
        # it ended before it had read all of ours; what it said before that is still to be read
        message, fds = receive_fds(sync, MESSAGE_LIMIT, 2)
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


def _kill(pid: int, pidfd: int) -> None:
    """End it; its zombie is the supervisor's, which ends too."""
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    ended.poll()
