"""A record of the port proxy process of a container, which holds its ports beside the supervisor.

The process outlives a supervisor that was killed. A file in the container's run directory records
its descriptors of the sockets, so that the next supervisor can duplicate them: the ports are held
all the time.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from dockmagic_runtime.linux.processes import await_end, descriptor_of, open_process
from dockmagic_runtime.network.port_proxy.held_ports import Bound, HeldPort
from dockmagic_runtime.store.atomic import write_file

_NAME = "proxy.json"
# it has just ended; or the kernel does not allow it, or cannot do it (before Linux 5.6)
_NOT_FETCHED = (errno.ESRCH, errno.EPERM, errno.ENOSYS)


class ProxyProcess(Struct, frozen=True, kw_only=True):
    """The process: `started` as in `linux.processes.start_of`; `sockets` by its descriptors."""

    pid: int
    started: int
    sockets: tuple[tuple[int, Bound], ...]

    def open(self) -> int | None:
        """A pidfd; None when the process has ended."""
        return open_process(self.pid, self.started)

    def fetch(self) -> list[HeldPort]:
        """Duplicates of its sockets; none when the process has just ended."""
        pidfd = self.open()
        if pidfd is None:
            return []
        held: list[HeldPort] = []
        try:
            for fd, bound in self.sockets:
                held.append(HeldPort(*bound, socket.socket(fileno=descriptor_of(pidfd, fd))))
        except OSError as error:
            if error.errno not in _NOT_FETCHED:
                raise
            # the sockets that could not be duplicated are held and served by that process
        finally:
            os.close(pidfd)
        return held

    def end(self) -> None:
        """Kill the process, if it runs, and wait: then the ports are free."""
        pidfd = self.open()
        if pidfd is None:
            return
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await_end(pidfd)
        except ProcessLookupError:
            pass  # it ended with the container's program
        finally:
            os.close(pidfd)


def describe(pid: int, started: int, held: Iterable[HeldPort]) -> ProxyProcess:
    """The record of a process that was forked from this one: its descriptors are the same."""
    return ProxyProcess(
        pid=pid,
        started=started,
        sockets=tuple(
            (
                port.socket.fileno(),
                (port.host_ip, port.host_port, port.container_port, port.protocol),
            )
            for port in held
        ),
    )


def write(run: str, process: ProxyProcess) -> None:
    """Write the record into the container's run directory, atomically."""
    write_file(f"{run}/{_NAME}", msgspec.json.encode(process))


def read(run: str) -> ProxyProcess | None:
    """The process that was recorded last, whether or not it runs; None without ports, and when the
    record is damaged."""
    try:
        with open(f"{run}/{_NAME}", "rb") as stream:
            return msgspec.json.decode(stream.read(), type=ProxyProcess)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def end(run: str) -> None:
    """Kill the process that was recorded last. The caller must hold the container's lock."""
    process = read(run)
    if process is not None:
        process.end()
