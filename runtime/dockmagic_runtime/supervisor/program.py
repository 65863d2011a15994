"""One run of a container's program: from when it was born to what is left to undo after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Protocol

from msgspec import Struct

from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.processes import exit_status
from dockmagic_runtime.network.dns.operations import ServeDns
from dockmagic_runtime.network.operations import HELD, PROXY, SERVERS
from dockmagic_runtime.sandbox.cgroup_operations import CGROUP
from dockmagic_runtime.sandbox.operation import Context, Kept
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.dns_process import SOCKETS, DnsProcess
from dockmagic_runtime.supervisor.exec_session import ExecSession, exit_code
from dockmagic_runtime.supervisor.handover import Handover, take_over
from dockmagic_runtime.supervisor.port_proxy_process import PortProxyProcess
from dockmagic_runtime.supervisor.stdio import Sink, Stdio

STREAMS: Final[tuple[str, ...]] = ("stdout", "stderr")
UNKNOWN: Final = 255  # what Docker, too, says of an end that it has not seen
_AFTER_ALARM: Final = 0.05


class Ended(Struct, frozen=True):
    exit_code: int
    uptime: float


class ProgramCallbacks(Protocol):
    """Who has a program: told of what it writes, when processes of it were killed for want of
    memory (so many since the last time), and once of its end (`Program.end` then tells how)."""

    def output(self, stream: str, data: bytes) -> None: ...
    def out_of_memory(self, kills: int) -> None: ...
    def program_ended(self) -> None: ...


class Program:
    def __init__(
        self,
        linux: Linux,
        loop: EventLoop,
        facts: Slots,
        born: Handover,
        host: ProgramCallbacks,
    ) -> None:
        self._linux = linux
        self._loop = loop
        self._facts = facts
        self._born = born
        self._host = host
        self._began = time.monotonic()
        self._kept: list[Kept] = []
        self._oom_kills = 0
        self._alarm = -1
        self._has_ended = False
        self.executions: list[ExecSession] = []
        self.pidfd = os.pidfd_open(born.pid)
        loop.watch(self.pidfd, READ, self._ended)
        loop.watch(born.channel.fileno(), READ, self._dismiss)
        for name in STREAMS:
            if name in born.fds:
                loop.watch(born.fds[name], READ, self._first_output)
        self._names = self._answer_names() if SOCKETS[0] in born.fds else None

    @property
    def resolves_names(self) -> bool:
        return self._names is not None

    def resolve_names(self, wire: list[Any], datagrams: int, listener: int) -> None:
        """From now on, by the operation on the wire, which has made the sockets."""
        self._names = DnsProcess(self._linux, self._loop, wire, self.pidfd, (datagrams, listener))

    def _answer_names(self) -> DnsProcess:
        wire = next(wire for wire, *_ in self._born.kept if wire[0] == ServeDns.__name__)
        datagrams, listener = (self._born.fds[name] for name in SOCKETS)
        return DnsProcess(self._linux, self._loop, wire, self.pidfd, (datagrams, listener))

    def _ended(self, _events: int) -> None:
        self._host.program_ended()

    def _dismiss(self, _events: int) -> None:
        """The midwife has ended, or is about to."""
        self._loop.forget(self._born.channel.fileno())
        self._born.channel.close()
        os.waitpid(self._born.midwife, 0)

    def watch_memory(self) -> None:
        """Tell the host of processes that are killed for want of memory, inner ones too."""
        if self.cgroup is None:
            return
        self._alarm, event = self.cgroup.oom_alarm()
        if self._alarm >= 0:
            self._loop.watch(self._alarm, event, self._alarmed)

    def _alarmed(self, _events: int) -> None:
        os.lseek(self._alarm, 0, os.SEEK_SET)
        os.read(self._alarm, 4096)
        self._count_kills()
        self._loop.after(_AFTER_ALARM, self._count_kills)  # it may come just before the kill

    def _count_kills(self) -> None:
        """What has happened since the last look."""
        if self.cgroup is None or self._has_ended:
            return
        kills = self.cgroup.oom_events() - self._oom_kills
        if kills > 0:
            self._oom_kills += kills
            self._host.out_of_memory(kills)

    def go_on(self, started: float) -> None:
        """It has run since then (seconds since the epoch), and what it has met is told already."""
        self._began -= time.time() - started
        if self.cgroup is not None:
            self._oom_kills = self.cgroup.oom_events()

    def serve(self, run: str) -> None:
        """Let the ports that the start has published be served, if there are any. `run` is the
        container's run directory."""
        slots = self.context.slots
        for serve in SERVERS.take(slots) or ():
            PROXY.put(
                slots, PortProxyProcess(self._loop, serve, HELD.require(slots), self.pidfd, run)
            )

    def keep(self, one: Any) -> None:
        """An operation that was carried out here and now: it is undone at the end."""
        self._kept.append(one)

    def drop(self, one: Any) -> None:
        """Undo the operation of that kind, and of that network if it is of one."""
        for kept in [kept for kept in self._kept if _is_alike(kept, one)]:
            self._kept.remove(kept)
            kept.undo(self.context)

    def _first_output(self, _events: int) -> None:
        """Many a service is silent: what serves its streams is made when there is something."""
        self.stdio.read()

    @cached_property
    def stdio(self) -> Stdio:
        fds = self._born.fds
        outputs = {fds[name]: name for name in STREAMS if name in fds}
        return Stdio(
            self._loop,
            self._host.output,
            outputs,
            fds.get("input", -1),
            terminal=self._born.terminal,
        )

    @cached_property
    def context(self) -> Context:
        """What the operations of the start have left: for an exec, for the end."""
        context = Context(self._linux, init_pid=self._born.pid, slots=self._facts.copy())
        self._kept = take_over(context, self._born.kept)
        return context

    @property
    def cgroup(self) -> Any:
        """The container's, or None where there is none."""
        return CGROUP.get(self.context.slots)

    def kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended: the loop will see that next

    def execute(
        self,
        process: dict[str, Any],
        *,
        identity: str,
        sink: Sink,
        on_end: Callable[[int], None],
        open_stdin: bool = False,
    ) -> ExecSession:
        """One more process beside it. It ends with this one at the latest."""

        def ended(code: int) -> None:
            self.executions.remove(made)
            on_end(code)

        made = ExecSession(
            self._linux,
            self._loop,
            self.context,
            self.pidfd,
            process,
            identity=identity,
            open_stdin=open_stdin,
            sink=sink,
            on_end=ended,
        )
        self.executions.append(made)
        return made

    def execution_of(self, client: ClientConnection) -> ExecSession | None:
        return next((one for one in self.executions if one.client is client), None)

    def end(self) -> Ended:
        """Take in its end, and what it and the others have written before."""
        self._loop.forget(self.pidfd)
        code = self._exit_code()
        uptime = time.monotonic() - self._began
        self.stdio.drain()
        self.stdio.close()
        for execution in list(self.executions):
            execution.kill(signal.SIGKILL)  # the kernel has, but in a pid namespace of others
            execution.finish()
        if self._names is not None:
            self._names.close()
        self._count_kills()
        self._has_ended = True
        if self._alarm >= 0:
            self._loop.forget(self._alarm)
            os.close(self._alarm)
        return Ended(code, uptime)

    def _exit_code(self) -> int:
        try:
            ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            assert ended is not None  # it has ended: its pidfd is readable
            return ended.si_status + (0 if ended.si_code == os.CLD_EXITED else 128)
        except ChildProcessError:  # another supervisor's, which was killed: see `adoption`
            status = exit_status(self._born.pid, self.pidfd)
            return UNKNOWN if status is None else exit_code(status)

    def undo(self) -> list[str]:
        """In reverse. The words of what failed: that is left to the next reconciliation."""
        context, problems = self.context, []
        for one in reversed(self._kept):
            try:
                one.undo(context)
            except Exception as error:
                problems.append(str(error))
        os.close(self.pidfd)
        return problems


def _is_alike(one: Any, other: Any) -> bool:
    network = getattr(one, "network_id", ""), getattr(other, "network_id", "")
    return type(one) is type(other) and network[0] == network[1]
