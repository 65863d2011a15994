"""The port proxy, in a process of its own: it serves connections to published ports on loopback.

It is forked when the program runs, and again if it dies. It does not depend on the supervisor: the
supervisor's loop stays free of its traffic, and if the supervisor is killed, connections through
loopback go on, and the next supervisor finds the process and the sockets
(`network.port_proxy.process_record`). It ends with the program, which it watches itself.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.linux.processes import await_end, start_of
from dockmagic_runtime.network.port_proxy import process_record
from dockmagic_runtime.network.port_proxy.held_ports import HeldPort
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE
from dockmagic_runtime.supervisor.forks import close_all_but, rename_process

PROCESS_NAME: Final = b"dockmagic-ports"
_AFTER_DEATH: Final = 0.1  # seconds
Serve = Callable[[EventLoop], object]


class PortProxyProcess:
    """`serve` opens the proxies of the `held` ports on the loop that it gets. `pidfd` is the
    container's first process and stays the caller's; `run` is its run directory."""

    def __init__(
        self, loop: EventLoop, serve: Serve, held: Sequence[HeldPort], pidfd: int, run: str
    ) -> None:
        self._loop = loop
        self._serve = serve
        self._held = held
        self._pidfd = pidfd
        self._run = run
        self._process = -1  # a pidfd
        self._is_closed = False
        if not self._find():
            self._fork()

    def _find(self) -> bool:
        """Whether the process of a supervisor that was killed is there; then watch it."""
        record = process_record.read(self._run)
        fd = record.open() if record else None
        if fd is not None:
            self._watch(fd)
        return fd is not None

    def _watch(self, fd: int) -> None:
        self._process = fd
        self._loop.watch(fd, READ, self._on_exit)

    def _fork(self) -> None:
        if self._is_closed:
            return
        try:
            pid = os.fork()
        except OSError:  # no more processes for now
            self._loop.after(_AFTER_DEATH, self._fork)
            return
        if pid == 0:
            self._work()
        self._watch(os.pidfd_open(pid))

    def _note(self) -> None:
        """Of this process, by itself: the supervisor may have been killed since the fork."""
        pid = os.getpid()
        try:
            process_record.write(self._run, process_record.describe(pid, start_of(pid), self._held))
        except OSError as error:
            if error.errno not in DISK_UNWRITABLE:
                raise

    def _work(self) -> NoReturn:
        try:
            gc.enable()
            rename_process(PROCESS_NAME)
            self._note()
            close_all_but((*(port.socket.fileno() for port in self._held), self._pidfd))
            loop = EventLoop()
            loop.watch(self._pidfd, READ, lambda _events: os._exit(0))
            self._serve(loop)
            loop.run()
        finally:
            os._exit(1)

    def _on_exit(self, _events: int) -> None:
        """Killed; or the program has ended, and `close` is near."""
        self._reap()
        self._loop.after(_AFTER_DEATH, self._fork)

    def _reap(self) -> None:
        self._loop.forget(self._process)
        try:
            os.waitid(os.P_PIDFD, self._process, os.WEXITED)
        except ChildProcessError:
            pass  # another supervisor's child
        os.close(self._process)
        self._process = -1

    def close(self) -> None:
        """Connections end; the held sockets stay the caller's."""
        self._is_closed = True
        if self._process < 0:
            return
        try:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself
        await_end(self._process)
        self._reap()
