"""`LauncherClient`: the requests of an engine to the launcher of its area."""

from __future__ import annotations

import socket
from _thread import allocate_lock  # the lock of `threading`, which takes a millisecond to load
from collections.abc import Callable

from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.supervisor import launcher_start, protocol
from dockmagic_runtime.supervisor.engine_client import ContainerProcess
from dockmagic_runtime.supervisor.request import LaunchRequest


class LauncherClient:
    """Sends each request over a connection of its own. Thread-safe.

    The launcher is started at the first request. From then on it stays until `close`, and longer
    while other engines use it or a container runs (see `launcher_start`).
    """

    def __init__(self, root: str, run: str, cgroup_parent: str) -> None:
        self.on_start: Callable[[ContainerProcess], None] | None = None  # see `Hooks`
        self._launcher = launcher_start.launcher_of(root, run, cgroup_parent)
        self._lock = allocate_lock()

    def prepare(self) -> None:
        """Start it now, so that the first container does not wait for it."""
        with self._lock:
            self._launcher.start()

    def launch(self, request: LaunchRequest) -> ContainerProcess:
        """Request a supervised process. Returns before it runs: see `await_start`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        message = protocol.frame(protocol.CONTROL, request.encode())
        try:
            with theirs:
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
        from dockmagic_runtime.supervisor import rootfs  # and with it the sandbox

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs:
                self._send(protocol.frame(protocol.TREE, rootfs.encode(operations)), theirs)
            root, namespace = rootfs.receive(ours)
            return root, namespace

    def _send(self, message: bytes, owner: socket.socket) -> None:
        """Send one request; a launcher that was killed is replaced, once."""
        for _ in range(2):
            with self._lock:
                connection = self._launcher.connect()
            with connection:
                if _deliver(connection, message, owner.fileno()):
                    with self._lock:  # two threads cannot wait for one process
                        self._launcher.reap()
                    return
        raise launcher_start.failed()

    @property
    def pid(self) -> int:
        """Of the launcher; 0 when there is none."""
        return self._launcher.pid

    def end_all(self) -> None:
        """As `close`, and no launcher of the area outlives its last user."""
        with self._lock:
            self._launcher.end_all()

    def close(self) -> None:
        """This engine needs the launcher no longer. Idempotent; a later request starts it again."""
        with self._lock:
            self._launcher.release()


def _deliver(connection: socket.socket, message: bytes, fd: int) -> bool:
    """Whether the request was taken: it is acknowledged with one byte."""
    try:
        sent = socket.send_fds(connection, [message], [fd])
        while sent < len(message):  # not once more when all is sent: the other end may be closed
            sent += connection.send(message[sent:])
        return connection.recv(1) != b""
    except (BrokenPipeError, ConnectionResetError):
        return False
