"""From the midwife to the supervisor: what outlives a start, over a SOCK_SEQPACKET pair.

The first message names the child that was forked. Descriptors travel in messages of their own, a
bounded number in each; the last message says what they are. It is `marshal`'s: both sides are
forks of one program, and its decoder touches less memory than JSON's. The request itself comes as
a file in memory, read again when it is needed.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.network.dns import operations
from dockmagic_runtime.sandbox.operation import (
    Context,
    Kept,
    UndoneByKernel,
    from_wire,
    to_wire,
)
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.supervisor import dns_process as name_service
from dockmagic_runtime.supervisor import rootfs
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.protocol import TREE
from dockmagic_runtime.supervisor.request import SupervisorRequest, decode_order
from dockmagic_runtime.supervisor.request_socket import RequestSocket
from dockmagic_runtime.supervisor.start_process import StartedProcess, StartTask
from dockmagic_runtime.supervisor.takeover import TakeoverTask

_MOST: Final = 250  # the kernel takes 253 descriptors in one message (SCM_MAX_FD)
_LIMIT: Final = 64 * 1024

# pid, name for the supervisor, whether there is a terminal, whether care is needed, and of each
# kept operation how it is on the wire, its value, and how many descriptors it has
Header = tuple[int, bytes, bool, bool, list[tuple[list[Any], Any, int]]]
Package = tuple[list[Any], Any, tuple[int, ...]]  # operation as on the wire, value, descriptors


class Handover(Struct):
    """What the supervisor is left with. `channel` ends when the midwife has."""

    midwife: int
    channel: socket.socket
    pid: int
    name: bytes
    terminal: bool
    needs_services: bool  # the supervisor has more to do than to wait: see there
    fds: dict[str, int]  # of "request", "owner", "lock", "listener", "input", "stdout", "stderr",
    # and where names are resolved, "names over UDP" and "names over TCP"
    kept: list[Package]


def first(linux: Linux, post: RequestSocket, tell: int, facts: Slots) -> Handover | None:
    """Wait for a request, with a midwife; None when it was not for us, or has failed."""

    def work(channel: socket.socket) -> None:
        letter = post.receive()
        if letter is None:
            return
        post.acknowledge(tell)
        if letter.kind == TREE:
            rootfs.build(linux, socket.socket(fileno=letter.owner), letter.payload)
        else:
            order = decode_order(letter.payload)
            kind = TakeoverTask if order.adopts else StartTask
            forked = partial(_tell_of, channel)
            midwife = kind(linux, order, letter.payload, facts, forked, owner=letter.owner)
            _deliver(midwife, channel)

    channel, helper = fork_helper(linux, work)
    post.leave()
    os.close(tell)
    return receive(channel, helper)


def again(
    linux: Linux,
    order: SupervisorRequest,
    request: int,
    facts: Slots,
    *,
    restarts: int,
    limits: list[list[Any]],
) -> Handover | None:
    """Start the program of `request`, a file in memory, once more."""

    def work(channel: socket.socket) -> None:
        plan = read_request(request)
        forked = partial(_tell_of, channel)
        midwife = StartTask(linux, order, plan, facts, forked, restarts=restarts, limits=limits)
        _deliver(midwife, channel)

    return receive(*fork_helper(linux, work))


def fork_helper(linux: Linux, work: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """A process that does the work with its end of the channel, and ends with us at the latest."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            linux.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:  # it was not killed before the line above
                work(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return ours, pid


def read_request(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


# ------------------------------------------------------------------ the midwife's side


def _tell_of(channel: socket.socket, pid: int) -> None:
    channel.send(b"P%d" % pid)


def _deliver(midwife: StartTask, channel: socket.socket) -> None:
    try:
        newborn = midwife.deliver()
    except BaseException as error:
        midwife.report(error)
    else:
        _hand_over(midwife, newborn, channel)


def _hand_over(midwife: StartTask, newborn: StartedProcess, channel: socket.socket) -> None:
    fds = dict(_named(midwife, newborn))
    packages = []
    for wire, value, those in _kept(newborn):
        packages.append((wire, value, len(those)))
        fds.update({f"{len(packages)}.{number}": fd for number, fd in enumerate(those)})
    terminal = newborn.ends.terminal
    send(
        channel,
        fds,
        (newborn.pid, midwife.process_name, terminal, newborn.needs_services, packages),
    )


def send(channel: socket.socket, fds: dict[str, int], header: Header) -> None:
    everything = list(fds.values())
    for at in range(0, len(everything), _MOST):
        socket.send_fds(channel, [b"F"], everything[at : at + _MOST])
    kept = sum(count for _, _, count in header[-1])
    names = tuple(fds)[: len(fds) - kept]
    channel.send(b"B" + marshal.dumps((*header, names)))


def _named(midwife: StartTask, newborn: StartedProcess) -> Iterator[tuple[str, int]]:
    if midwife.owner >= 0:
        request = os.memfd_create("request", os.MFD_CLOEXEC)
        os.write(request, midwife.request)
        yield "request", request
        if midwife.order.attached:
            yield "owner", midwife.owner
    if newborn.place is not None:
        yield from zip(("lock", "listener"), newborn.place, strict=True)
    if newborn.ends.input >= 0:
        yield "input", newborn.ends.input
    for fd, stream in newborn.ends.outputs.items():
        yield stream, fd
    sockets = operations.SOCKETS.get(newborn.context.slots) or ()
    for name, one in zip(name_service.SOCKETS, sockets, strict=False):
        yield name, one.fileno()


def _kept(newborn: StartedProcess) -> Iterator[Package]:
    for one in newborn.operations:
        if hasattr(one, "keep"):
            value, fds = one.keep(newborn.context)
            yield to_wire((one,))[0], value, fds
        elif not isinstance(one, UndoneByKernel):
            raise EngineBug(f"{type(one).__name__} has an undo, but nobody would know of it")


# ------------------------------------------------------------------ the supervisor's side


def receive(channel: socket.socket, midwife: int) -> Handover | None:
    """What `send` has sent; None when there is nothing to take over: the midwife has failed and
    has said so, or was killed. What she had forked does not go on without anybody who knows."""
    fds: list[int] = []
    pid = 0
    while True:
        message, more = receive_fds(channel, _LIMIT, _MOST)
        fds += more
        if message[:1] == b"P":
            pid = int(message[1:])
        elif message[:1] == b"B":
            return _delivered(channel, midwife, marshal.loads(message[1:]), fds)
        elif not message:
            channel.close()
            os.waitpid(midwife, 0)
            if pid:
                os.kill(pid, signal.SIGKILL)  # our child: its number is its own until we wait
                os.waitpid(pid, 0)
            return None


def _delivered(channel: socket.socket, midwife: int, header: Any, fds: list[int]) -> Handover:
    pid, name, terminal, needs_services, counted, names = header
    kept: list[Package] = []
    at = len(names)
    for wire, value, count in counted:
        kept.append((wire, value, tuple(fds[at : at + count])))
        at += count
    if at != len(fds):
        raise EngineBug("descriptors of a start were lost on the way")
    named = dict(zip(names, fds, strict=False))
    return Handover(midwife, channel, pid, name, terminal, needs_services, named, kept)


def take_over(context: Context, packages: list[Package]) -> list[Kept]:
    """Put into the context what the operations of the start had put into the midwife's. What is
    left to undo at the end are these operations."""
    kept: list[Any] = []
    for wire, value, fds in packages:
        kept += from_wire([wire])
        kept[-1].take_over(context, value, fds)
    return kept
