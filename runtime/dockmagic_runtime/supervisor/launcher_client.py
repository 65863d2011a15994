"""The engine's side of the launcher: start it, send it requests."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.sandbox.executable import protect
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.supervisor import protocol, rootfs
from dockmagic_runtime.supervisor.engine_client import ContainerProcess
from dockmagic_runtime.supervisor.request import LaunchRequest

# where this package is, and the only other one that the launcher imports: msgspec
_PACKAGES: Final = os.pathsep.join(
    dict.fromkeys(
        (str(Path(__file__).resolve().parents[2]), str(Path(msgspec.__file__).resolve().parents[1]))
    )
)
# -I and -S: no user site, no environment, no .pth files and their hooks: 12 ms instead of 60
_PROGRAM: Final = (
    "import os, sys; sys.path += os.environ['DOCKMAGIC_PACKAGES'].split(os.pathsep);"
    "from dockmagic_runtime.supervisor.launcher import main; main(3)"
)


class LauncherClient:
    """The launcher process of one engine: started at the first request, ended with `close`.

    Supervisors live in a control group of their own below `cgroup_parent`.
    """

    def __init__(self, cgroup_parent: str = "") -> None:
        self._cgroup_parent = cgroup_parent
        self.on_start: Callable[[ContainerProcess], None] | None = None  # see `Hooks`
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pid = 0

    def prepare(self) -> None:
        """Start it now, so that the first container does not wait for it."""
        with self._lock:
            self._connection()

    def launch(self, request: LaunchRequest) -> ContainerProcess:
        """Request a supervised process. Returns before it runs: see `await_start`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        message = protocol.frame(protocol.CONTROL, request.encode())
        try:
            with theirs, self._lock:
                self._send(message, theirs)
        except BaseException:
            ours.close()
            raise
        process = ContainerProcess(ours, request.id)
        process.plan = request.plan
        process.hooks.on_start = self.on_start
        return process

    def open_tree(self, operations: tuple[Operation, ...]) -> tuple[int, int]:
        """Descriptors of a root with these mounts, and of the namespace that they live in."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs, self._lock:
                self._send(protocol.frame(protocol.TREE, rootfs.encode(operations)), theirs)
            root, namespace = rootfs.receive(ours)
            return root, namespace

    def _send(self, message: bytes, owner: socket.socket) -> None:
        """Send one request; a launcher that was killed is replaced, once."""
        if not _deliver(self._connection(), message, owner.fileno()):
            self._forget()  # supervisors do not need it, and a new one will do
            if not _deliver(self._connection(), message, owner.fileno()):
                raise StartFailed(
                    "the launcher process ends as soon as it starts",
                    hint=f"is {sys.executable} able to run?",
                )

    def _connection(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                self._pid = _spawn(theirs.fileno(), self._cgroup_parent)
            self._socket = ours
        return self._socket

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            os.waitpid(self._pid, 0)

    def close(self) -> None:
        with self._lock:
            self._forget()


def _spawn(fd: int, cgroup_parent: str) -> int:
    arguments = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    # in the environment, because all users can read the arguments of a process, and a container
    # with --init has a fork of this one inside
    environment = {
        "LC_ALL": "C.UTF-8",
        "DOCKMAGIC_PACKAGES": _PACKAGES,
        "DOCKMAGIC_CGROUP": cgroup_parent,
    }
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    executable = protect(Kernel(), sys.executable)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, standard) for standard in (0, 1, 2)]
        return os.posix_spawn(
            f"/proc/self/fd/{executable}",
            arguments,
            environment,
            file_actions=[*actions, (os.POSIX_SPAWN_DUP2, fd, 3)],
            setsid=True,
            setsigmask=(),
        )
    finally:
        os.close(executable)
        os.close(null)


def _deliver(connection: socket.socket, message: bytes, fd: int) -> bool:
    """Whether the launcher has taken the request: it answers with one byte for each."""
    try:
        sent = socket.send_fds(connection, [message], [fd])
        connection.sendall(message[sent:])
        return connection.recv(1) != b""
    except (BrokenPipeError, ConnectionResetError):
        return False
