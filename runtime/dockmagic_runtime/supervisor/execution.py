"""One `exec`: its process, its streams, and the client that asked for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox.plan import process_from_wire
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.birth import Started
from dockmagic_runtime.supervisor.client import Client
from dockmagic_runtime.supervisor.entry import enter
from dockmagic_runtime.supervisor.loop import READ, Loop
from dockmagic_runtime.supervisor.stdio import Stdio


class Execution:
    """Ends when its process has ended and its output is read; then calls `on_end` once."""

    def __init__(
        self,
        linux: Linux,
        loop: Loop,
        client: Client,
        program: Started,
        process: dict[str, Any],
        open_stdin: bool,
        on_end: Callable[[Client, int], None],
    ) -> None:
        spec = process_from_wire(process)
        self._loop = loop
        self._client: Client | None = client
        self._on_end = on_end
        self.stdio = Stdio(loop, terminal=spec.terminal, open_stdin=open_stdin)
        try:
            entered = enter(linux, program.pidfd, program.context, spec, self.stdio)
        except BaseException:
            self.stdio.close()
            raise
        self.pid, self._pidfd = entered.pid, entered.pidfd
        loop.watch(self._pidfd, READ, lambda _events: self.finish())
        self.stdio.serve(self._output, lambda: None)

    def _output(self, stream: str, data: bytes) -> None:
        if self._client is None:
            return
        kind = protocol.STDOUT if stream == "stdout" else protocol.STDERR
        self._client.send(protocol.frame(kind, data))
        self._balance()

    def _balance(self) -> None:
        if self._pidfd < 0:
            return
        behind = self._client is not None and self._client.is_behind
        self.stdio.pause_output(behind)
        if behind:
            self._loop.after(0.02, self._balance)

    def kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended

    def abandon(self) -> None:
        """The client has gone: the process goes on, as with Docker, unheard."""
        self._client = None

    def finish(self) -> None:
        if self._pidfd < 0:
            return
        _, status = os.waitpid(self.pid, 0)
        self._loop.forget(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self.stdio.drain(self._output)
        self.stdio.close()
        code = os.waitstatus_to_exitcode(status)
        if self._client is not None:
            self._on_end(self._client, code if code >= 0 else 128 - code)
