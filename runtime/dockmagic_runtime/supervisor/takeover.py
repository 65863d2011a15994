"""Taking over a program that runs on without its supervisor, which was killed.

All that such a program lives by is the kernel's: its namespaces, its control group, its cables and
the rules that lead to its ports. What hung on the supervisor is found again or made anew: pipes
that the program writes to are opened where one of its processes has them, ports are held, the
resolver has new sockets. What cannot be had again: the other end of a terminal, and standard
input; the kernel has told the program that they ended. Processes of `exec` ended with their
supervisor.

Nobody becomes the program's parent. Its exit status is told by /proc before it is reaped, and
afterwards by the pidfd, from Linux 6.15 on (`linux.processes`); else it stays unknown.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from dockmagic_runtime.errors import Conflict, Unsupported
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
    """Does for a program that runs what a midwife does for one that begins."""

    def deliver(self) -> StartedProcess:
        """Raises Conflict when it has ended, or somebody else was faster; then nothing has
        changed, and it runs on."""
        with contextlib.ExitStack() as undo:
            taken = run_directory.take(self.order.run)
            for fd in taken:  # the directory stays: the program's note is there
                undo.callback(os.close, fd)
            newborn = self._take_over(Program(**self.order.adopts), taken, undo)
            undo.pop_all()
            self.tell("started", pid=newborn.pid, ports=(PORTS.get(newborn.context.slots) or ()))
            return newborn

    def _take_over(
        self, program: Program, taken: tuple[int, int], undo: contextlib.ExitStack
    ) -> StartedProcess:
        pidfd = program.open()
        if pidfd is None:
            raise Conflict(f"container {self.order.id} has just ended")
        undo.callback(os.close, pidfd)
        context = Context(self.linux, init_pid=program.pid, netns_fd=pidfd, slots=self.facts.copy())
        keeper = process_record.noted(self.order.run)
        if keeper is not None:
            FETCHED.put(context.slots, keeper.fetch())
        operations: tuple[Any, ...] = from_wire(self.order.resumed)
        for one in operations:
            one.resume(context)
        ends = StdioPipes(terminal=False, child=[], outputs=_pipes(program, context))
        undo.callback(ends.close)
        problems = (self.order.restart_problem, *(TAKEN.get(context.slots) or ()))
        if any(problems):
            state.note(self.order.directory, error="; ".join(filter(None, problems)))
        return StartedProcess(
            pid=program.pid,
            started=0.0,
            trace={},
            context=context,
            operations=operations,
            ends=ends,
            place=taken,
            needs_services=True,
        )


def _pipes(program: Program, context: Context) -> dict[int, str]:
    """Our ends of them, by descriptor. One that no process has open any more has ended.

    Whoever looks waits for this, so it is not a container's to decide how long it takes: one that
    hides its pipes behind more descriptors than `_LOOKS` has no log from now on.
    """
    wanted = {f"pipe:[{inode}]": name for name, inode in program.pipes.items()}
    found: dict[int, str] = {}
    for path in islice(_descriptors(_processes(program, context)), _LOOKS):
        if not wanted:
            break
        target = _target(path)
        if target in wanted and (fd := _open(path, target)) is not None:
            found[fd] = wanted.pop(target)
    return found


def _processes(program: Program, context: Context) -> Iterator[int]:
    yield program.pid  # it has them, in general
    group = CGROUP.get(context.slots)
    try:
        yield from group.pids() if group is not None else ()
    except Unsupported:
        pass  # this host lets us have no groups: then nobody can tell the others


def _descriptors(pids: Iterable[int]) -> Iterator[str]:
    for pid in pids:
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                for entry in entries:
                    yield entry.path
        except _HIDDEN:
            continue


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except _HIDDEN:
        return ""


def _open(path: str, pipe: str) -> int | None:
    """The pipe's reading end. The process may put something else in its place meanwhile: that is
    looked at before it is opened in earnest, and not even asked for its status before."""
    try:
        found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except _HIDDEN:
        return None
    try:
        if os.readlink(f"/proc/self/fd/{found}") != pipe:
            return None
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return None  # it is its user's, who may not be us
    finally:
        os.close(found)
