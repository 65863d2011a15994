"""Who has a container's held ports besides its supervisor: the process of its port proxy.

That one outlives a supervisor that was killed. A file in the container's run directory tells where
it has the sockets, so that the next supervisor can have them too, without a moment in which they
were nobody's.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
from collections.abc import Iterable

from msgspec import Struct, to_builtins

from dockmagic_runtime.linux.processes import await_end, descriptor_of, open_process
from dockmagic_runtime.network.port_proxy.held_ports import Bound, HeldPort
from dockmagic_runtime.store.atomic import write_file

_NAME = "proxy.json"
# it has just ended; or the kernel does not let us, or cannot (before Linux 5.6)
_NOT_OURS = (errno.ESRCH, errno.EPERM, errno.ENOSYS)


class ProxyProcess(Struct, frozen=True, kw_only=True):
    """`started` as in `linux.processes.start_of`; `sockets` by the descriptor that it has."""

    pid: int
    started: int
    sockets: tuple[tuple[int, Bound], ...]

    def open(self) -> int | None:
        """A pidfd; None when it has ended."""
        return open_process(self.pid, self.started)

    def fetch(self) -> list[HeldPort]:
        """The same sockets, for us; none when it has just ended."""
        pidfd = self.open()
        if pidfd is None:
            return []
        held: list[HeldPort] = []
        try:
            for fd, bound in self.sockets:
                held.append(HeldPort(*bound, socket.socket(fileno=descriptor_of(pidfd, fd))))
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
            # what we have is held; what we may not have is held by that process, and served
        finally:
            os.close(pidfd)
        return held

    def end(self) -> None:
        """Kill it, if it runs, and wait: then the ports are free."""
        pidfd = self.open()
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await_end(pidfd)
        except ProcessLookupError:
            pass  # its program's end was its own
        finally:
            os.close(pidfd)


def keeper(pid: int, started: int, held: Iterable[HeldPort]) -> ProxyProcess:
    """A process that was forked from this one, and so has the sockets where we have them."""
    return ProxyProcess(
        pid=pid,
        started=started,
        sockets=tuple(
            (one.socket.fileno(), (one.host_ip, one.host_port, one.container_port, one.protocol))
            for one in held
        ),
    )


def note(run: str, keeper: ProxyProcess) -> None:
    """Into the container's run directory, whole or not at all."""
    write_file(f"{run}/{_NAME}", json.dumps(to_builtins(keeper)).encode())


def noted(run: str) -> ProxyProcess | None:
    """What was noted last, whether or not it runs."""
    try:
        with open(f"{run}/{_NAME}", "rb") as stream:
            values = json.load(stream)
    except FileNotFoundError:
        return None  # nothing is published
    sockets = tuple((fd, tuple(bound)) for fd, bound in values.pop("sockets"))
    return ProxyProcess(**values, sockets=sockets)


def end(run: str) -> None:
    """Whatever process was noted last. Only who has the container's lock may."""
    keeper = noted(run)
    if keeper is not None:
        keeper.end()
