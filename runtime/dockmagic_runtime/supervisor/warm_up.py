"""The launcher runs the code of an idle supervisor before the first fork.

CPython fills caches when code runs for the first times: of attribute lookups, and in the bytecode
itself. Filled here they are shared by all supervisors; each supervisor would otherwise unshare the
pages they lie on, a quarter of a megabyte.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Any, Final

from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.network.dns.operations import ServeDns
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.supervisor import handover
from dockmagic_runtime.supervisor.dns_process import SOCKETS
from dockmagic_runtime.supervisor.request_socket import RequestSocket
from dockmagic_runtime.supervisor.supervisor import Supervisor

_TIMES: Final = 10  # code is specialised after eight calls
_NAME: Final = b"dockmagic"
_FDS: Final = ("request", "users", "lock", "listener", "stdout", *SOCKETS)


def warm_up(linux: Linux, facts: Slots) -> None:
    """Leaves nothing behind but the caches, and this process with a name."""
    for _ in range(_TIMES):
        with ExitStack() as stack:
            _once(linux, facts, stack)


def _once(linux: Linux, facts: Slots, stack: ExitStack) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stack.enter_context(theirs)
    handover.send(theirs, _descriptors(stack), _header())
    started = handover.receive(ours, os.getpid())
    assert started is not None
    stack.enter_context(started.channel)
    for fd in started.fds.values():
        stack.callback(os.close, fd)
    supervisor = Supervisor(linux, RequestSocket(-1, -1, -1), -1, facts)
    stack.callback(supervisor.loop.close)
    supervisor.take_over(started)
    stack.callback(os.close, supervisor.running().pidfd)
    supervisor.loop.after(0, supervisor.loop.stop)
    supervisor.loop.run()


def _descriptors(stack: ExitStack) -> dict[str, int]:
    """Pipes in place of the descriptors of a silent container in the background."""
    ends = [fd for _ in _FDS for fd in os.pipe()]
    for fd in ends:
        stack.callback(os.close, fd)
    return dict(zip(_FDS, ends[::2], strict=True))


def _header() -> handover.Header:
    names: dict[str, Any] = {"container_id": "", "networks": "", "servers": (), "library": ""}
    kept: list[tuple[list[Any], Any, int]] = [
        (["CreateCgroup", {"parent": "", "name": ""}], None, 0),
        ([ServeDns.__name__, names], None, 0),
    ]
    return os.getpid(), _NAME, False, False, kept
