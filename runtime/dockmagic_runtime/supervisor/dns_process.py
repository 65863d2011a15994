"""A container's DNS server process: forked at a query, and again at the first query after its end.

Most containers send few queries. So the sockets are the supervisor's, which only waits until they
are readable. The process that decodes queries loads a library and uses memory for it; it ends when
no query has come for a while. The supervisor stays as small as it was.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import Any, Final, NoReturn

from dockmagic_runtime.linux.constants import PR_SET_PDEATHSIG
from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox.operation import from_wire
from dockmagic_runtime.supervisor.forks import close_all_but, rename_process

SOCKETS: Final = ("names over UDP", "names over TCP")  # among the descriptors of a start
PROCESS_NAME: Final = b"dockmagic-names"
_AFTER_DEATH: Final = 0.1  # seconds: a query that kills it must not keep the machine busy


class DnsProcess:
    """`wire` is the `ServeDns` of the start; `sockets`, which it has opened, are closed by `close`.

    `pidfd` is the container's first process and stays the caller's.
    """

    def __init__(
        self, linux: Linux, loop: EventLoop, wire: list[Any], pidfd: int, sockets: tuple[int, int]
    ) -> None:
        self._linux = linux
        self._loop = loop
        self._wire = wire
        self._pidfd = pidfd
        self._sockets = sockets
        self._server = (0, -1)  # pid and pidfd
        self._is_closed = False
        self._wait()

    def _wait(self) -> None:
        if not self._is_closed:
            for fd in self._sockets:
                self._loop.watch(fd, READ, self._on_query)

    def _stop_waiting(self) -> None:
        for fd in self._sockets:
            self._loop.forget(fd)

    def _on_query(self, _events: int) -> None:
        """The server process reads the query: until it ends, it alone watches the sockets."""
        self._stop_waiting()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no more processes for now
            self._loop.after(_AFTER_DEATH, self._wait)
            return
        if pid == 0:
            self._serve(parent)
        self._server = (pid, os.pidfd_open(pid))
        self._loop.watch(self._server[1], READ, self._on_exit)

    def _serve(self, parent: int) -> NoReturn:
        try:
            self._linux.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:  # it was not killed before the line above
                gc.enable()
                rename_process(PROCESS_NAME)
                close_all_but((*self._sockets, self._pidfd))
                served: Any = from_wire([self._wire])[0]
                served.run(self._linux, self._pidfd, *self._sockets)
                os._exit(0)
        finally:
            os._exit(1)

    def _on_exit(self, _events: int) -> None:
        if self._reap() == 0:
            self._wait()
        else:
            self._loop.after(_AFTER_DEATH, self._wait)

    def _reap(self) -> int:
        pid, pidfd = self._server
        self._server = (0, -1)
        self._loop.forget(pidfd)
        os.close(pidfd)
        return os.waitpid(pid, 0)[1]

    def close(self) -> None:
        """The server process is the last process that holds the container's network namespace."""
        self._is_closed = True
        self._stop_waiting()
        if self._server[0]:
            signal.pidfd_send_signal(self._server[1], signal.SIGKILL)
            self._reap()
        for fd in self._sockets:
            os.close(fd)
