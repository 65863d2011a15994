"""One `exec`: its process, its streams, and the client that requested it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox.operation import Context
from dockmagic_runtime.sandbox.plan import process_from_wire
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.exec_process import enter
from dockmagic_runtime.supervisor.stdio import Sink, Stdio, StdioPipes


class ExecSession:
    """Output goes to `sink(stream, data)`. When the process has ended and its output is read,
    `on_end(exit code)` is called, once."""

    def __init__(
        self,
        linux: Linux,
        loop: EventLoop,
        context: Context,
        init_pidfd: int,
        process: dict[str, Any],
        *,
        exec_id: str,
        open_stdin: bool,
        sink: Sink,
        on_end: Callable[[int], None],
    ) -> None:
        spec = process_from_wire(process)
        self._loop = loop
        self._on_end = on_end
        pipes = StdioPipes.open(terminal=spec.terminal, open_stdin=open_stdin)
        try:
            started = enter(linux, init_pidfd, context, spec, pipes)
        except BaseException:
            pipes.close()
            raise
        self.id = exec_id
        self.client: ClientConnection | None = None  # None once it has disconnected
        self.command = spec.argv
        self.pid, self._pidfd = started.pid, started.pidfd
        self.stdio = Stdio(loop, sink, pipes.outputs, pipes.input, terminal=spec.terminal)
        loop.watch(self._pidfd, READ, lambda _events: self.finish())

    def forget_client(self) -> None:
        """The process goes on: its output is dropped, its standard input ends."""
        self.client = None
        self.stdio.pause_output(False)
        self.stdio.close_input()

    def kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended

    def finish(self) -> None:
        """Reap the process, which has ended or is about to, and read the rest of its output.
        Idempotent."""
        if self._pidfd < 0:
            return
        _, status = os.waitpid(self.pid, 0)
        self._loop.forget(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self.stdio.drain()
        self.stdio.close()
        self._on_end(exit_code(status))


def exit_code(status: int) -> int:
    """Docker's: the program's own, or 128 plus the signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
