"""One run of a container's program: from its start to what is left to undo after its exit."""

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
UNKNOWN: Final = 255  # Docker's code, too, for an exit that it has not seen
_AFTER_ALARM: Final = 0.05


class Ended(Struct, frozen=True):
    exit_code: int
    uptime: float


class ProgramCallbacks(Protocol):
    """Called with each piece of output, with the number of processes that the OOM killer has
    killed since the last call, and once when the program has exited (then call `Program.end`)."""

    def output(self, stream: str, data: bytes) -> None: ...
    def out_of_memory(self, kills: int) -> None: ...
    def program_ended(self) -> None: ...


class Program:
    def __init__(
        self,
        linux: Linux,
        loop: EventLoop,
        facts: Slots,
        started: Handover,
        callbacks: ProgramCallbacks,
    ) -> None:
        self._linux = linux
        self._loop = loop
        self._facts = facts
        self._started = started
        self._callbacks = callbacks
        self._began = time.monotonic()
        self._kept: list[Kept] = []
        self._oom_kills = 0
        self._alarm = -1
        self._has_ended = False
        self.execs: list[ExecSession] = []
        self.pidfd = os.pidfd_open(started.pid)
        loop.watch(self.pidfd, READ, self._on_exit)
        loop.watch(started.channel.fileno(), READ, self._reap_start_process)
        for name in STREAMS:
            if name in started.fds:
                loop.watch(started.fds[name], READ, self._first_output)
        self._dns = self._start_dns() if SOCKETS[0] in started.fds else None

    @property
    def pid(self) -> int:
        """The host's pid of the program."""
        return self._started.pid

    @property
    def has_dns(self) -> bool:
        return self._dns is not None

    def serve_dns(self, wire: list[Any], datagrams: int, listener: int) -> None:
        """From now on. `wire` is the operation that has opened the sockets."""
        self._dns = DnsProcess(self._linux, self._loop, wire, self.pidfd, (datagrams, listener))

    def _start_dns(self) -> DnsProcess:
        wire = next(wire for wire, *_ in self._started.kept if wire[0] == ServeDns.__name__)
        datagrams, listener = (self._started.fds[name] for name in SOCKETS)
        return DnsProcess(self._linux, self._loop, wire, self.pidfd, (datagrams, listener))

    def _on_exit(self, _events: int) -> None:
        self._callbacks.program_ended()

    def _reap_start_process(self, _events: int) -> None:
        """It has ended, or is about to."""
        self._loop.forget(self._started.channel.fileno())
        self._started.channel.close()
        os.waitpid(self._started.start_process, 0)

    def watch_memory(self) -> None:
        """Report processes that the OOM killer kills, in nested control groups too."""
        if self.cgroup is None:
            return
        self._alarm, event = self.cgroup.oom_alarm()
        if self._alarm >= 0:
            self._loop.watch(self._alarm, event, self._alarmed)

    def _alarmed(self, _events: int) -> None:
        os.lseek(self._alarm, 0, os.SEEK_SET)
        os.read(self._alarm, 4096)
        self._count_kills()
        self._loop.after(_AFTER_ALARM, self._count_kills)  # the alarm may come before the kill

    def _count_kills(self) -> None:
        """Report the kills since the last call."""
        if self.cgroup is None or self._has_ended:
            return
        kills = self.cgroup.oom_events() - self._oom_kills
        if kills > 0:
            self._oom_kills += kills
            self._callbacks.out_of_memory(kills)

    def restore(self, started: float) -> None:
        """It has run since `started` (seconds since the epoch) under another supervisor, which has
        reported what the OOM killer did."""
        self._began -= max(time.time() - started, 0.0)  # the clock may have been set back
        if self.cgroup is not None:
            self._oom_kills = self.cgroup.oom_events()

    def serve_ports(self, run: str) -> None:
        """Start the proxy of the ports that the start has published, if there are any. `run` is the
        container's run directory."""
        slots = self.context.slots
        for serve in SERVERS.take(slots) or ():
            PROXY.put(
                slots, PortProxyProcess(self._loop, serve, HELD.require(slots), self.pidfd, run)
            )

    def keep(self, operation: Any) -> None:
        """Undo, at the end, an operation that this process has just carried out."""
        self._kept.append(operation)

    def drop(self, operation: Any) -> None:
        """Undo the kept operation of the same kind, and of the same network if it is of one."""
        for kept in [kept for kept in self._kept if _is_alike(kept, operation)]:
            self._kept.remove(kept)
            kept.undo(self.context)

    def _first_output(self, _events: int) -> None:
        """Many services are silent, so `stdio` is created for the first output."""
        self.stdio.read()

    @cached_property
    def stdio(self) -> Stdio:
        fds = self._started.fds
        outputs = {fds[name]: name for name in STREAMS if name in fds}
        return Stdio(
            self._loop,
            self._callbacks.output,
            outputs,
            fds.get("input", -1),
            terminal=self._started.terminal,
        )

    @cached_property
    def context(self) -> Context:
        """What the operations of the start have left, for an exec and for the end."""
        context = Context(self._linux, init_pid=self._started.pid, slots=self._facts.copy())
        self._kept = take_over(context, self._started.kept)
        return context

    @property
    def cgroup(self) -> Any:
        """The container's, or None where there is none."""
        return CGROUP.get(self.context.slots)

    def kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended: the loop will report that next

    def execute(
        self,
        process: dict[str, Any],
        *,
        exec_id: str,
        sink: Sink,
        on_end: Callable[[int], None],
        open_stdin: bool = False,
    ) -> ExecSession:
        """One more process beside it. It ends with this one at the latest."""

        def ended(code: int) -> None:
            self.execs.remove(session)
            on_end(code)

        session = ExecSession(
            self._linux,
            self._loop,
            self.context,
            self.pidfd,
            process,
            exec_id=exec_id,
            open_stdin=open_stdin,
            sink=sink,
            on_end=ended,
        )
        self.execs.append(session)
        return session

    def exec_of(self, client: ClientConnection) -> ExecSession | None:
        return next((session for session in self.execs if session.client is client), None)

    def end(self) -> Ended:
        """After its exit: collect the exit code, and what it and its execs have written before."""
        self._loop.forget(self.pidfd)
        code = self._exit_code()
        uptime = time.monotonic() - self._began
        self.stdio.drain()
        self.stdio.close()
        for session in list(self.execs):
            session.kill(signal.SIGKILL)  # done by the kernel, unless the pid namespace is shared
            session.finish()
        if self._dns is not None:
            self._dns.close()
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
        except ChildProcessError:  # another supervisor's child: see `takeover`
            status = exit_status(self._started.pid, self.pidfd)
            return UNKNOWN if status is None else exit_code(status)

    def undo(self) -> list[str]:
        """Undo the start, in reverse. The messages of what failed: crash recovery will do it."""
        context, problems = self.context, []
        for operation in reversed(self._kept):
            try:
                operation.undo(context)
            except Exception as error:
                problems.append(str(error))
        os.close(self.pidfd)
        return problems


def _is_alike(left: Any, right: Any) -> bool:
    networks = getattr(left, "network_id", ""), getattr(right, "network_id", "")
    return type(left) is type(right) and networks[0] == networks[1]
