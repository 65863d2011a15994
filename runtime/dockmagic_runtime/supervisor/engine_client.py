"""The engine's side of a supervisor: `ContainerProcess`, a container or exec it is attached to."""

from __future__ import annotations

import errno
import os
import signal
import socket
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct, to_builtins

from dockmagic_runtime.errors import Conflict, InvalidInput, StartFailed
from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.error_message import rebuild_error

_STREAMS: Final = {kind: stream for stream, kind in protocol.KINDS.items()}


class Hooks(Struct):
    """Called by a `ContainerProcess` for the engine that returned it; not for the engine's callers.

    `reconnect` is called when the supervisor was killed: it returns a connection to the next one
    if the container goes on. `on_exit` is called once, when the exit is known.
    """

    on_start: Callable[[ContainerProcess], None] | None = None
    on_exit: Callable[[], None] | None = None
    reconnect: Callable[[], ContainerProcess | None] | None = None


class ContainerProcess:
    """An attached container or exec. One reader at a time; writers from any thread.

    `wait`, `abort`, `detach` and `close` are idempotent. A process that is not waited for must be
    detached or closed.
    """

    def __init__(self, connection: socket.socket, container_id: str) -> None:
        self.id = container_id
        self.exec_id = ""
        self.pid = 0
        self.plan: SandboxPlan | None = None  # of what this engine has started, for `explain`
        self.trace: dict[str, list[tuple[float, float]]] = {}
        self.ports: tuple[tuple[str, int, int, str], ...] = ()
        self._socket = connection
        self._reader = protocol.FrameReader()
        self._ready: deque[tuple[int, bytes]] = deque()
        self._early: deque[tuple[str, bytes]] = deque()
        self._exit_code: int | None = None
        self._is_starting = False
        self.oom_killed = False
        self.was_lost = False  # the supervisor was killed: the state file has the exit, if any
        self.hooks = Hooks()
        self._former: list[socket.socket] = []  # another thread may be about to write to them
        self._changing = allocate_lock()  # of `_socket`, `_former` and `_is_closed`
        self._is_closed = False

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
        """Block until the program runs. Raises the error that kept it from running."""
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
        if self.hooks.on_start is not None:
            self.hooks.on_start(self)
        return self

    def await_attached(self) -> ContainerProcess:
        """Receive its output from now on. Raises Conflict."""
        self._request("attach")
        try:
            self._await("attached")
        except BaseException:
            self.close()
            raise
        return self

    def start_exec(self, process: ProcessSpec, *, open_stdin: bool) -> ContainerProcess:
        self.exec_id = os.urandom(32).hex()
        self._request(
            "exec", process=to_builtins(process), open_stdin=open_stdin, identity=self.exec_id
        )
        return self.await_start()

    def stop(self, signal: str, stop_timeout: float | None, *, keep: bool = False) -> int:
        """Ask the program to end, kill it after `stop_timeout` seconds (None: never); the exit
        code. The supervisor does it, even if this connection is closed.

        `keep`: it will be started again, so the directory of a container of --rm is kept.
        """
        self._request("stop", number=signal_number(signal), stop_timeout=stop_timeout, keep=keep)
        return self.wait()

    def request(self, verb: str, **values: Any) -> dict[str, Any]:
        """Send a verb; the values of the answer `done`. Raises the error of the answer `failed`."""
        self._request(verb, **values)
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
        self._request("resize", rows=rows, columns=columns)

    def signal(self, name: str) -> None:
        """Send a signal to the process: a name with or without SIG, or a number."""
        self._request("signal", number=signal_number(name))

    def detach(self) -> None:
        """Leave it running and close this connection; a reader of its output reaches the end."""
        if self._exit_code is None:
            self.hooks.on_exit = None  # it has not ended
            self._request("detach")
        self.close()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; unread output is dropped. `timeout` in seconds. Raises TimeoutError."""
        if self._exit_code is None:
            self._request("wait")
            self._set_timeout(timeout)
        try:
            while self._exit_code is None:
                self._step()
                self._early.clear()
        except BlockingIOError:  # a timeout of nothing
            raise TimeoutError(f"container {self.id} has not ended") from None
        finally:
            if self._exit_code is None:
                self._set_timeout(None)
        self.close()
        return self._exit_code

    def _set_timeout(self, timeout: float | None) -> None:
        try:
            self._socket.settimeout(timeout)
        except OSError:
            if self._socket.fileno() >= 0:
                raise
            # closed by a `detach` or `close`: the next step reaches the end without waiting

    def abort(self) -> None:
        """Kill it and wait until it has gone. Harmless after its end."""
        if self._exit_code is None and self._socket.fileno() >= 0:
            self.signal("KILL")
            self.wait()
        self.close()

    def close(self) -> None:
        """Another thread that reads or writes reaches the end."""
        with self._changing:
            self._is_closed = True
            connections = (*self._former, self._socket)
        for connection in connections:
            try:
                # to close alone would leave a thread that waits in recv or send where it is
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed, here or by the supervisor
            connection.close()

    def _request(self, verb: str, **values: Any) -> None:
        self._send(protocol.control(verb, **values))

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended: its last messages are still to be read
        except OSError:
            if self._socket.fileno() >= 0:
                raise
            # closed by another thread: the process has ended, or was left running

    def _await(self, verb: str) -> dict[str, Any]:
        while True:
            message = self._step()
            if message is not None and message["verb"] == verb:
                return message
            if self._exit_code is not None:
                raise Conflict(f"Container {self.id} ended meanwhile")

    def _step(self) -> dict[str, Any] | None:
        """Receive one frame; the message if it is a control message."""
        while not self._ready:
            try:
                data = self._socket.recv(256 * 1024)
            except ConnectionResetError:
                data = b""  # it closed without reading our last messages; its own have arrived
            except OSError:
                if self._socket.fileno() >= 0:
                    raise
                data = b""  # another thread has detached
            if not data:
                if self._reconnect():
                    continue
                self._lost()
                return None
            self._ready.extend(self._reader.feed(data))
        kind, payload = self._ready.popleft()
        if kind != protocol.CONTROL:
            self._early.append((_STREAMS[kind], payload))
            return None
        message: dict[str, Any] = lenient_json.decode(payload)
        if message["verb"] == "failed":
            raise rebuild_error(message["error"])
        if message["verb"] == "exited":
            self.oom_killed = message.get("oom_killed", False)
            if message.get("restarting", False):
                self.hooks.on_exit = None  # the container has not ended
            self._ended(message["exit_code"])
        return message

    def _reconnect(self) -> bool:
        """Connect to the next supervisor of the container; False when there is none."""
        reconnect = None if self._is_closed else self.hooks.reconnect
        other = reconnect() if reconnect is not None else None
        if other is None:
            return False
        with self._changing:
            if self._is_closed:  # another thread has detached meanwhile
                other.close()
                return False
            other._socket.settimeout(self._socket.gettimeout())
            self._former.append(self._socket)
            self._socket, self._reader = other._socket, protocol.FrameReader()
        self._ready.extend(other._ready)
        self._early.extend(other._early)
        return True

    def _lost(self) -> None:
        """The supervisor ended without `exited`: it was killed, and its container with it, or it
        ended while this connection still waited to be accepted."""
        if self._is_starting:
            raise StartFailed("the supervisor ended before the container ran", exit_code=125)
        self.was_lost = True
        self._ended(128 + signal.SIGKILL)

    def _ended(self, code: int) -> None:
        self._exit_code = code
        if self.hooks.on_exit is not None:
            self.hooks.on_exit()


def signal_number(name: str) -> int:
    """ "TERM", "SIGTERM", "15" → 15. Raises InvalidInput with Docker's words."""
    text = name.upper().removeprefix("SIG")
    if text.isdigit() and 0 < int(text) < signal.NSIG:
        return int(text)
    try:
        return int(signal.Signals[f"SIG{text}"])
    except KeyError:
        raise InvalidInput(f"invalid signal: {name}", hint="TERM, INT, KILL, HUP…") from None
