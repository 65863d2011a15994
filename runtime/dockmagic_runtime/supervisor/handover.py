"""From the start process to the supervisor: what outlives a start, over a SOCK_SEQPACKET pair.

The first message names the child that was forked. Descriptors travel in messages of their own, a
bounded number in each; the last message says what they are. It is encoded by `marshal`: both sides
are forks of one program, and its decoder touches less memory than JSON's. The request itself comes
as a file in memory, which is read again when it is needed.
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
from dockmagic_runtime.supervisor import dns_process, rootfs
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.protocol import TREE
from dockmagic_runtime.supervisor.request import SupervisorRequest, decode_request
from dockmagic_runtime.supervisor.request_socket import ReceivedRequest, RequestSocket
from dockmagic_runtime.supervisor.start_process import StartedProcess, StartTask
from dockmagic_runtime.supervisor.takeover import TakeoverTask

_MOST: Final = 250  # the kernel takes 253 descriptors in one message (SCM_MAX_FD)
_LIMIT: Final = 64 * 1024

# pid, process name of the supervisor, whether there is a terminal, whether services are needed,
# and each kept operation: as on the wire, its value, and its number of descriptors
Header = tuple[int, bytes, bool, bool, list[tuple[list[Any], Any, int]]]
# an operation as on the wire, the value that it keeps, its descriptors
KeptOperation = tuple[list[Any], Any, tuple[int, ...]]


class Handover(Struct):
    """What the supervisor takes over. `channel` ends with the start process."""

    start_process: int
    channel: socket.socket
    pid: int
    name: bytes
    terminal: bool
    needs_services: bool  # the supervisor has more to do than to wait for the exit
    # "request", "users", "owner", "lock", "listener", "input", "stdout", "stderr", and of a
    # container with a DNS server "names over UDP" and "names over TCP"
    fds: dict[str, int]
    kept: list[KeptOperation]


def first(linux: Linux, requests: RequestSocket, taken: int, facts: Slots) -> Handover | None:
    """Fork a start process, which waits for a request. None when there was none, when it was not
    for a container, or when the start has failed."""

    def work(channel: socket.socket) -> None:
        received = requests.receive()
        if received is not None:
            users = requests.become_user()
            requests.acknowledge(received, taken)
            carry_out(linux, received, facts, channel, users)

    channel, helper = fork_helper(linux, work)
    requests.close()
    os.close(taken)
    return receive(channel, helper)


def carry_out(
    linux: Linux, received: ReceivedRequest, facts: Slots, channel: socket.socket, users: int
) -> None:
    """In the start process: do what was requested, and hand over to the supervisor, which keeps the
    descriptor `users`."""
    if received.kind == TREE:
        rootfs.build(linux, socket.socket(fileno=received.owner), received.payload)
        return
    request = decode_request(received.payload)
    kind = TakeoverTask if request.adopts else StartTask
    forked = partial(_send_pid, channel)
    task = kind(linux, request, received.payload, facts, forked, owner=received.owner, users=users)
    _run(task, channel)


def again(
    linux: Linux,
    request: SupervisorRequest,
    request_fd: int,
    facts: Slots,
    *,
    restarts: int,
    limits: list[list[Any]],
) -> Handover | None:
    """Start the program once more. `request_fd` is the whole request, a file in memory."""

    def work(channel: socket.socket) -> None:
        encoded = read_request(request_fd)
        forked = partial(_send_pid, channel)
        task = StartTask(linux, request, encoded, facts, forked, restarts=restarts, limits=limits)
        _run(task, channel)

    return receive(*fork_helper(linux, work))


def fork_helper(linux: Linux, work: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """Fork a process that does `work` with its end of the channel, and ends with this process at
    the latest. This process's end of the channel, and the pid."""
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


# ------------------------------------------------------------------ in the start process


def _send_pid(channel: socket.socket, pid: int) -> None:
    channel.send(b"P%d" % pid)


def _run(task: StartTask, channel: socket.socket) -> None:
    try:
        started = task.run()
    except BaseException as error:
        task.report(error)
    else:
        _hand_over(task, started, channel)


def _hand_over(task: StartTask, started: StartedProcess, channel: socket.socket) -> None:
    fds = dict(_named(task, started))
    kept = []
    for wire, value, those in _kept(started):
        kept.append((wire, value, len(those)))
        fds.update({f"{len(kept)}.{number}": fd for number, fd in enumerate(those)})
    terminal = started.pipes.terminal
    send(channel, fds, (started.pid, task.process_name, terminal, started.needs_services, kept))


def send(channel: socket.socket, fds: dict[str, int], header: Header) -> None:
    everything = list(fds.values())
    for at in range(0, len(everything), _MOST):
        socket.send_fds(channel, [b"F"], everything[at : at + _MOST])
    kept = sum(count for _, _, count in header[-1])
    names = tuple(fds)[: len(fds) - kept]
    channel.send(b"B" + marshal.dumps((*header, names)))


def _named(task: StartTask, started: StartedProcess) -> Iterator[tuple[str, int]]:
    if task.owner >= 0:
        request = os.memfd_create("request", os.MFD_CLOEXEC)
        os.write(request, task.encoded)
        yield "request", request
        yield "users", task.users
        if task.request.attached:
            yield "owner", task.owner
    if started.run_directory is not None:
        yield from zip(("lock", "listener"), started.run_directory, strict=True)
    if started.pipes.input >= 0:
        yield "input", started.pipes.input
    for fd, stream in started.pipes.outputs.items():
        yield stream, fd
    sockets = operations.SOCKETS.get(started.context.slots) or ()
    for name, opened in zip(dns_process.SOCKETS, sockets, strict=False):
        yield name, opened.fileno()


def _kept(started: StartedProcess) -> Iterator[KeptOperation]:
    for operation in started.operations:
        if hasattr(operation, "keep"):
            value, fds = operation.keep(started.context)
            yield to_wire((operation,))[0], value, fds
        elif not isinstance(operation, UndoneByKernel):
            raise EngineBug(f"{type(operation).__name__} has an undo, but cannot be handed over")


# ------------------------------------------------------------------ in the supervisor


def receive(channel: socket.socket, start_process: int) -> Handover | None:
    """What `send` has sent; None when there is nothing to take over: the start process has reported
    an error, or was killed. Then the child that it had forked is killed: no process owns it."""
    fds: list[int] = []
    pid = 0
    while True:
        message, more = receive_fds(channel, _LIMIT, _MOST)
        fds += more
        if message[:1] == b"P":
            if pid:
                os.waitpid(pid, 0)  # it ends, since the next one is to become the program
            pid = int(message[1:])
        elif message[:1] == b"B":
            return _decoded(channel, start_process, marshal.loads(message[1:]), fds)
        elif not message:
            channel.close()
            os.waitpid(start_process, 0)
            if pid:
                os.kill(
                    pid, signal.SIGKILL
                )  # our child, so its pid is not reused before it is reaped
                os.waitpid(pid, 0)
            return None


def _decoded(channel: socket.socket, start_process: int, header: Any, fds: list[int]) -> Handover:
    pid, name, terminal, needs_services, counted, names = header
    kept: list[KeptOperation] = []
    at = len(names)
    for wire, value, count in counted:
        kept.append((wire, value, tuple(fds[at : at + count])))
        at += count
    if at != len(fds):
        raise EngineBug("descriptors of a start were lost on the way")
    named = dict(zip(names, fds, strict=False))
    return Handover(start_process, channel, pid, name, terminal, needs_services, named, kept)


def take_over(context: Context, kept: list[KeptOperation]) -> list[Kept]:
    """Put into the context what the operations of the start had put into that of the start process.
    Returns these operations: they are to be undone at the end."""
    operations: list[Any] = []
    for wire, value, fds in kept:
        operations += from_wire([wire])
        operations[-1].take_over(context, value, fds)
    return operations
