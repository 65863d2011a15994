"""The engine's side: the launcher it started, and the processes it is attached to."""

from __future__ import annotations

import errno
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import to_builtins

from dockmagic_runtime.errors import Conflict, InvalidInput, StartFailed
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.supervisor import protocol, rootfs
from dockmagic_runtime.supervisor.request import LaunchRequest
from dockmagic_runtime.supervisor.start_process import rebuild_error

_STREAMS: Final = {protocol.STDOUT: "stdout", protocol.STDERR: "stderr"}
# where this package is, and the only other one that the launcher imports: msgspec
_PACKAGES: Final = os.pathsep.join(
    dict.fromkeys(
        (str(Path(__file__).resolve().parents[2]), str(Path(msgspec.__file__).resolve().parents[1]))
    )
)
# -I and -S: no user site, no environment, no .pth files: 12 ms instead of 60, and nobody's hooks
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
        self.on_start: Callable[[ContainerProcess], None] | None = (
            None  # told of every program that runs
        )
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pid = 0

    def prepare(self) -> None:
        """Start it now, so that the first container does not wait for it."""
        with self._lock:
            self._connection()

    def launch(self, request: LaunchRequest) -> ContainerProcess:
        """Ask for a supervised process; returns before it runs (see `Process.await_start`)."""
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
        process.on_start = self.on_start
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
        """Deliver one request; a launcher that somebody killed is replaced, once."""
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
    # by the environment: arguments may be read by everybody, from inside a container too where a
    # process of ours stays as its first one
    environment = {
        "LC_ALL": "C.UTF-8",
        "DOCKMAGIC_PACKAGES": _PACKAGES,
        "DOCKMAGIC_CGROUP": cgroup_parent,
    }
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, standard) for standard in (0, 1, 2)]
        return os.posix_spawn(
            sys.executable,
            arguments,
            environment,
            file_actions=[*actions, (os.POSIX_SPAWN_DUP2, fd, 3)],
            setsid=True,
            setsigmask=(),
        )
    finally:
        os.close(null)


def _deliver(connection: socket.socket, message: bytes, fd: int) -> bool:
    """Whether the launcher has taken the request: it answers with one byte for each."""
    try:
        sent = socket.send_fds(connection, [message], [fd])
        connection.sendall(message[sent:])
        return connection.recv(1) != b""
    except (BrokenPipeError, ConnectionResetError):
        return False


class ContainerProcess:
    """An attached container or exec. One reader at a time; writers from any thread.

    Ends are idempotent. A Process that is not waited for must be closed (`detach`).
    """

    def __init__(self, connection: socket.socket, container_id: str) -> None:
        self.id = container_id
        self.exec_id = ""
        self.pid = 0
        self.plan: SandboxPlan | None = None  # what was carried out, for who wants it explained
        self.trace: dict[str, list[tuple[float, float]]] = {}
        self.ports: tuple[tuple[str, int, int, str], ...] = ()
        self._socket = connection
        self._reader = protocol.FrameReader()
        self._ready: deque[tuple[int, bytes]] = deque()
        self._early: deque[tuple[str, bytes]] = deque()
        self._exit_code: int | None = None
        self._is_starting = False
        self.oom_killed = False
        self.was_lost = False  # the end came without a word: look at the state file
        self.on_start: Callable[[ContainerProcess], None] | None = None
        self.on_exit: Callable[[], None] | None = None  # called once, when the end is known
        # asked when its supervisor was killed: a connection to the next one, if it goes on
        self.successor: Callable[[], ContainerProcess | None] | None = None
        self._former: list[socket.socket] = []  # another thread may be about to write to them

    @classmethod
    def connect(cls, run: str, container_id: str) -> ContainerProcess:
        """A new connection to the supervisor of a container that runs. Raises Conflict."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"{run}/sock")
        except OSError as error:
            connection.close()
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                raise Conflict(f"Container {container_id} is not running") from error
            raise
        return cls(connection, container_id)

    def await_start(self) -> ContainerProcess:
        """Block until the program runs. Raises what kept it from running."""
        self._is_starting = True
        try:
            message = self._await("started")
        except BaseException:
            self.close()
            raise
        self._is_starting = False
        self.pid = message["pid"]
        self.trace = message.get("trace", {})
        self.ports = tuple(tuple(port) for port in message.get("ports", ()))
        if self.on_start is not None:
            self.on_start(self)
        return self

    def await_attached(self) -> ContainerProcess:
        """Get what it writes from now on. Raises Conflict."""
        self._say("attach")
        try:
            self._await("attached")
        except BaseException:
            self.close()
            raise
        return self

    def start_exec(self, process: ProcessSpec, *, open_stdin: bool) -> ContainerProcess:
        self.exec_id = secrets.token_hex(32)
        self._say(
            "exec", process=to_builtins(process), open_stdin=open_stdin, identity=self.exec_id
        )
        return self.await_start()

    def stop(self, signal: str, stop_timeout: float | None, *, keep: bool = False) -> int:
        """Ask the program to end, kill it after `patience` seconds (None: never); the exit code.

        The supervisor sees to it, whether or not somebody waits. `keep`: not for good, so that
        a container of --rm stays.
        """
        self._say("stop", number=signal_number(signal), stop_timeout=stop_timeout, keep=keep)
        return self.wait()

    def request(self, verb: str, **values: Any) -> dict[str, Any]:
        """One verb, answered with `done` or raised as what it failed with."""
        self._say(verb, **values)
        return self._await("done")

    def output(self) -> Iterator[tuple[str, bytes]]:
        """("stdout" | "stderr", data) until the process has ended."""
        while True:
            while self._early:
                yield self._early.popleft()
            if self._exit_code is not None:
                return
            self._step()

    def write(self, data: bytes) -> None:
        if data:
            self._send(protocol.frame(protocol.STDIN, data))

    def close_stdin(self) -> None:
        self._send(protocol.frame(protocol.STDIN, b""))

    def resize(self, rows: int, columns: int) -> None:
        self._say("resize", rows=rows, columns=columns)

    def signal(self, name: str) -> None:
        """Send a signal to the process: a name with or without SIG, or a number."""
        self._say("signal", number=signal_number(name))

    def detach(self) -> None:
        """Leave it running and close this connection; who reads its output is at the end of it."""
        if self._exit_code is None:
            self.on_exit = None  # it goes on: nothing is to be cleared away after it
            self._say("detach")
            self._wake_reader()
        self.close()

    def _wake_reader(self) -> None:
        """Closing alone leaves another thread that waits in recv where it is."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the supervisor was faster

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; output that nobody read is dropped. Raises TimeoutError."""
        if self._exit_code is None:
            self._say("wait")
        self._socket.settimeout(timeout)
        try:
            while self._exit_code is None:
                self._step()
                self._early.clear()
        except BlockingIOError:  # a timeout of nothing
            raise TimeoutError(f"container {self.id} has not ended") from None
        finally:
            if self._exit_code is None:
                self._socket.settimeout(None)
        self.close()
        return self._exit_code

    def abort(self) -> None:
        """Kill it and wait until it has gone. Harmless after its end."""
        if self._exit_code is None and self._socket.fileno() >= 0:
            self.signal("KILL")
            self.wait()
        self.close()

    def close(self) -> None:
        for one in (*self._former, self._socket):
            one.close()

    def _say(self, verb: str, **values: Any) -> None:
        self._send(protocol.control(verb, **values))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended: its last words are still to be read

    def _await(self, verb: str) -> dict[str, Any]:
        while True:
            message = self._step()
            if message is not None and message["verb"] == verb:
                return message
            if self._exit_code is not None:
                raise Conflict(f"Container {self.id} ended meanwhile")

    def _step(self) -> dict[str, Any] | None:
        """Take in one frame; the message if it was one."""
        while not self._ready:
            try:
                data = self._socket.recv(256 * 1024)
            except ConnectionResetError:
                data = b""  # it closed with words of ours unread; its own were delivered before
            except OSError:
                if self._socket.fileno() >= 0:
                    raise
                data = b""  # another thread has detached
            if not data:
                if self._follow():
                    continue
                self._lost()
                return None
            self._ready.extend(self._reader.feed(data))
        kind, payload = self._ready.popleft()
        if kind != protocol.CONTROL:
            self._early.append((_STREAMS[kind], payload))
            return None
        message: dict[str, Any] = json.loads(payload)
        if message["verb"] == "failed":
            raise rebuild_error(message["error"])
        if message["verb"] == "exited":
            self.oom_killed = message.get("oom_killed", False)
            if message.get("restarting", False):
                self.on_exit = None  # it is not over: nothing is to be cleared away after it
            self._ended(message["exit_code"])
        return message

    def _follow(self) -> bool:
        """Whether somebody else answers for the container now, whom we are connected to."""
        other = self.successor() if self.successor and self._socket.fileno() >= 0 else None
        if other is None:
            return False
        if self._socket.fileno() < 0:  # another thread has detached meanwhile
            other.close()
            return False
        other._socket.settimeout(self._socket.gettimeout())
        self._former.append(self._socket)
        self._socket, self._reader = other._socket, protocol.FrameReader()
        self._ready.extend(other._ready)
        self._early.extend(other._early)
        return True

    def _lost(self) -> None:
        """The supervisor is gone without a word: it was killed, and its container with it, or it
        left while this connection still waited to be accepted."""
        if self._is_starting:
            raise StartFailed("the supervisor ended before the container ran", exit_code=125)
        self.was_lost = True
        self._ended(128 + signal.SIGKILL)

    def _ended(self, code: int) -> None:
        self._exit_code = code
        if self.on_exit is not None:
            self.on_exit()


def signal_number(name: str) -> int:
    """ "TERM", "SIGTERM", "15" → 15. Raises InvalidInput with Docker's words."""
    text = name.upper().removeprefix("SIG")
    if text.isdigit() and 0 < int(text) < signal.NSIG:
        return int(text)
    try:
        return int(signal.Signals[f"SIG{text}"])
    except KeyError:
        raise InvalidInput(f"invalid signal: {name}", hint="TERM, INT, KILL, HUP…") from None
