"""Taking over a program that runs on without its supervisor, which was killed.

The kernel keeps all that such a program needs: its namespaces, its control group, its veth pairs
and the rules of its ports. What depended on the supervisor is restored: pipes that the program
writes to are opened where one of its processes has them, ports are held, the DNS server gets new
sockets. The other end of a terminal and standard input cannot be restored; the program has seen
their end. Processes of `exec` have ended with their supervisor.

The new supervisor does not become the program's parent. The exit status is read from /proc before
the program is reaped, and from the pidfd afterwards, from Linux 6.15 on (`linux.processes`); else
it stays unknown.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from dockmagic_runtime.errors import Conflict, Unsupported
from dockmagic_runtime.linux.processes import descriptor_target
from dockmagic_runtime.network.operations import FETCHED, PORTS, TAKEN
from dockmagic_runtime.network.port_proxy import process_record
from dockmagic_runtime.sandbox.cgroup_operations import CGROUP
from dockmagic_runtime.sandbox.operation import Context, from_wire
from dockmagic_runtime.store.container_process import Program
from dockmagic_runtime.supervisor import run_directory, state
from dockmagic_runtime.supervisor.start_process import StartedProcess, StartTask
from dockmagic_runtime.supervisor.stdio import StdioPipes

_LOOKS: Final = 1 << 17  # at descriptors: a fifth of a second
# it has just ended; or may not be looked into, as where we are root with few capabilities
_HIDDEN: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


class TakeoverTask(StartTask, frozen=True):
    """Does for a program that runs what a `StartTask` does for a new one."""

    def run(self) -> StartedProcess:
        """Raises Conflict when it has ended, or has a supervisor again; then nothing has changed,
        and it runs on."""
        with contextlib.ExitStack() as undo:
            claimed = run_directory.claim(self.request.run)
            for fd in claimed:  # the directory stays, with the record of the program
                undo.callback(os.close, fd)
            started = self._take_over(Program(**self.request.adopts), claimed, undo)
            undo.pop_all()
            self.send("started", pid=started.pid, ports=PORTS.get(started.context.slots) or ())
            return started

    def _take_over(
        self, program: Program, claimed: tuple[int, int], undo: contextlib.ExitStack
    ) -> StartedProcess:
        pidfd = program.open()
        if pidfd is None:
            raise Conflict(f"container {self.request.id} has just ended")
        undo.callback(os.close, pidfd)
        context = Context(self.linux, init_pid=program.pid, netns_fd=pidfd, slots=self.facts.copy())
        proxy = process_record.read(self.request.run)
        if proxy is not None:
            FETCHED.put(context.slots, proxy.fetch())
        operations: tuple[Any, ...] = from_wire(self.request.resumed)
        for operation in operations:
            operation.resume(context)
        pipes = StdioPipes(terminal=False, child=[], outputs=_outputs(program, context))
        undo.callback(pipes.close)
        problems = (self.request.restart_problem, *(TAKEN.get(context.slots) or ()))
        if any(problems):
            state.note(self.request.directory, {}, error="; ".join(filter(None, problems)))
        return StartedProcess(
            pid=program.pid,
            started=0.0,
            trace={},
            context=context,
            operations=operations,
            pipes=pipes,
            run_directory=claimed,
            needs_services=True,
        )


def _outputs(program: Program, context: Context) -> dict[int, str]:
    """The reading ends of the pipes that the program writes to: descriptor and stream. A pipe that
    no process has open any more has ended.

    The caller waits for this, so the number of looks is limited: a container that hides its pipes
    behind more descriptors than `_LOOKS` has no log from now on.
    """
    wanted = {f"pipe:[{inode}]": name for name, inode in program.pipes.items()}
    outputs: dict[int, str] = {}
    for path in islice(_descriptors(_processes(program, context)), _LOOKS):
        if not wanted:
            break
        target = descriptor_target(path)
        if target in wanted and (fd := _open(path, target)) is not None:
            outputs[fd] = wanted.pop(target)
    return outputs


def _processes(program: Program, context: Context) -> Iterator[int]:
    yield program.pid  # it has them, in general
    group = CGROUP.get(context.slots)
    try:
        yield from group.pids() if group is not None else ()
    except Unsupported:
        pass  # this host allows no control groups: the other processes are unknown


def _descriptors(pids: Iterable[int]) -> Iterator[str]:
    for pid in pids:
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                for entry in entries:
                    yield entry.path
        except _HIDDEN:
            continue


def _open(path: str, pipe: str) -> int | None:
    """The pipe's reading end. The process may put another file in its place meanwhile, and to open
    or stat that one may block: so it is opened with O_PATH and identified first."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except _HIDDEN:
        return None
    try:
        if os.readlink(f"/proc/self/fd/{handle}") != pipe:
            return None
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return None  # it belongs to the container's user
    finally:
        os.close(handle)
