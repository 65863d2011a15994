"""`RUN --mount=type=ssh`: a socket for the step, behind it the user's own agent.

The agent's socket may belong to another user than the step's, and agents check the user that
connects. So the step gets a socket of the engine, with the owner and mode it asked for, and the
engine forwards each connection. Keys never leave the agent.
"""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from dockmagic_runtime.errors import NotFound

_CHUNK = 64 * 1024


class AgentSocket:
    """The socket `path`, passed on to the agent's socket `agent` until it is closed."""

    def __init__(self, directory: str, agent: str, *, mode: int, uid: int, gid: int) -> None:
        _check(agent)
        self.path = f"{directory}/agent"
        self._agent = agent
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = _listen(directory)
        os.chown(self.path, uid, gid)
        Path(self.path).chmod(mode)
        self._thread = threading.Thread(target=self._serve, name="dockmagic-agent", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._lock:
            # shutdown wakes the threads that wait; closing would not
            for connection in (self._listener, *self._open):
                _shut(connection)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        workers = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break  # shut down
            workers.append(threading.Thread(target=self._pass_on, args=(client,), daemon=True))
            workers[-1].start()
        for worker in workers:
            worker.join()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            with self._lock:
                self._open |= {client, agent}
            try:
                agent.connect(self._agent)
                back = threading.Thread(target=_pump, args=(agent, client), daemon=True)
                back.start()
                _pump(client, agent)
                back.join()
            except OSError:
                pass  # the agent has gone: the step sees its connection end
            finally:
                with self._lock:
                    self._open -= {client, agent}


def _check(agent: str) -> None:
    if not Path(agent).is_socket():
        raise NotFound(
            f"no ssh agent listens on {agent}",
            hint="start one (ssh-agent, ssh-add), then build with --ssh default",
        )


def _listen(directory: str) -> socket.socket:
    """By way of a descriptor: the name of a unix socket has room for 107 bytes only."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"/proc/self/fd/{fd}/agent")
        listener.listen()
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(fd)
    return listener


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
    except OSError:
        pass  # one side has gone: the other reads the end of its input
    _shut(target)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was not connected any more
