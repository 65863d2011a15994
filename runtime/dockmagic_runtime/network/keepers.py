"""Who has a container's held ports besides its supervisor: the process of its port proxy.

That one outlives a supervisor that was killed. A file in the container's run directory tells where
it has the sockets, so that the next supervisor can have them too, without a moment in which they
were nobody's.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from dockmagic_runtime.linux.processes import descriptor_of, open_process
from dockmagic_runtime.network.ports import Bound, HeldPort

_NAME = "proxy.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
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
        except ProcessLookupError:
            pass  # what we have is held
        finally:
            os.close(pidfd)
        return held


def keeper(pid: int, started: int, held: Iterable[HeldPort]) -> Keeper:
    """A process that was forked from this one, and so has the sockets where we have them."""
    return Keeper(
        pid=pid,
        started=started,
        sockets=tuple(
            (one.socket.fileno(), (one.host_ip, one.host_port, one.container_port, one.protocol))
            for one in held
        ),
    )


def note(run: str, keeper: Keeper) -> None:
    """Into the container's run directory, whole or not at all."""
    temporary = f"{run}/{_NAME}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(asdict(keeper)).encode())
    finally:
        os.close(fd)
    os.rename(temporary, f"{run}/{_NAME}")


def noted(run: str) -> Keeper | None:
    """What was noted last, whether or not it runs."""
    try:
        with open(f"{run}/{_NAME}", "rb") as stream:
            values = json.load(stream)
    except FileNotFoundError:
        return None  # nothing is published
    sockets = tuple((fd, tuple(bound)) for fd, bound in values.pop("sockets"))
    return Keeper(**values, sockets=sockets)
