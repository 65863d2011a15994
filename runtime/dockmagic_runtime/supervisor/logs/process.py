"""A log that is written by a process of its own: to journald and syslog, or without waiting.

A destination may be slow or hang, and its code need not be in the supervisor's memory. The
supervisor sends frames over a socket. What the process does not take yet is kept here: with a
`buffer_size` the oldest output beyond that is dropped, as with Docker's mode=non-blocking; else the
program waits.
"""

from __future__ import annotations

import gc
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

from dockmagic_runtime.linux.event_loop import WRITE, EventLoop
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.forks import close_all_but, rename_process
from dockmagic_runtime.supervisor.logs.json_file import JsonLog
from dockmagic_runtime.supervisor.logs.settings import LogSettings

PROCESS_NAME: Final = b"dockmagic-log"
_STREAMS: Final = {kind: stream for stream, kind in protocol.KINDS.items()}
_FLUSH: Final = protocol.frame(protocol.CONTROL, b"")
_BEHIND: Final = 256 * 1024  # bytes
_PATIENCE: Final = 10.0  # seconds for the last output: then it is lost


class Log(Protocol):
    """`is_behind`: the program should wait."""

    @property
    def is_behind(self) -> bool: ...
    def write(self, stream: str, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class LogProcess:
    """A `Log`. `caught_up` is called when the program need no longer wait."""

    def __init__(
        self, loop: EventLoop, path: str, settings: LogSettings, caught_up: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._path = path
        self._settings = settings
        self._caught_up = caught_up
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._sent = 0  # bytes of the first frame
        self._pid = 0
        self._start()

    @property
    def is_behind(self) -> bool:
        """Whether the program should wait."""
        return not self._settings.buffer_size and self._size > _BEHIND

    def write(self, stream: str, data: bytes) -> None:
        self._add(protocol.frame(protocol.KINDS[stream], data))
        if self._settings.buffer_size:
            self._drop_oldest()
        self._send()

    def _add(self, framed: bytes) -> None:
        self._frames.append(framed)
        self._size += len(framed)

    def _drop_oldest(self) -> None:
        """A frame that is half sent stays, and so does the newest."""
        while self._size > self._settings.buffer_size and len(self._frames) > 1 + bool(self._sent):
            index = 1 if self._sent else 0
            self._size -= len(self._frames[index])
            del self._frames[index]

    def _send(self) -> None:
        was_behind = self.is_behind
        try:
            while self._frames:
                framed = self._frames[0]
                self._sent += self._socket.send(framed[self._sent :])
                if self._sent == len(framed):
                    self._frames.popleft()
                    self._size -= len(framed)
                    self._sent = 0
        except BlockingIOError:
            self._loop.watch(self._socket.fileno(), WRITE, lambda _events: self._send())
        except ConnectionError:
            self._restart()
        else:
            self._loop.forget(self._socket.fileno())
        if was_behind and not self.is_behind:
            self._caught_up()

    def flush(self) -> None:
        """Write the unfinished lines. Waits for the process, a limited time."""
        self._loop.forget(self._socket.fileno())
        self._add(_FLUSH)
        deadline = time.monotonic() + _PATIENCE
        self._socket.settimeout(_PATIENCE)
        try:
            while self._frames:
                framed = self._frames.popleft()
                self._socket.sendall(framed[self._sent :])
                self._size -= len(framed)
                self._sent = 0
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._socket.recv(1)
        except (TimeoutError, ConnectionError):
            self._frames.clear()
            self._size = self._sent = 0
            self._restart()
        else:
            self._socket.setblocking(False)

    def close(self) -> None:
        """Idempotent."""
        if self._pid:
            self.flush()
            self._end()

    # ------------------------------------------------------------------ the process

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(theirs, self._path, self._settings)
        theirs.close()
        self._socket.setblocking(False)

    def _end(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        pid, self._pid = self._pid, 0
        if pid and not os.waitpid(pid, os.WNOHANG)[0]:
            os.kill(pid, 9)  # it has written all, or will not
            os.waitpid(pid, 0)

    def _restart(self) -> None:
        """It was killed, or hangs. What it was about to write is lost."""
        self._end()
        self._sent = 0
        self._start()


def _serve(connection: socket.socket, path: str, settings: LogSettings) -> NoReturn:
    try:
        gc.enable()
        rename_process(PROCESS_NAME)
        close_all_but((connection.fileno(),))
        logs = _destinations(path, settings)
        reader = protocol.FrameReader()
        while data := connection.recv(256 * 1024):
            for kind, payload in reader.feed(data):
                for log in logs:
                    if kind == protocol.CONTROL:
                        log.flush()
                    else:
                        log.write(_STREAMS[kind], payload)
                if kind == protocol.CONTROL:
                    connection.send(b"+")
        for log in logs:
            log.close()
    finally:
        os._exit(0)


def _destinations(path: str, settings: LogSettings) -> list[Log]:
    logs: list[Log] = [] if settings.file is None else [JsonLog(path, settings.file)]
    if settings.driver == "syslog":
        from dockmagic_runtime.supervisor.logs.lines import LineLog
        from dockmagic_runtime.supervisor.logs.syslog import Syslog

        logs.append(LineLog(Syslog(settings.options, settings.tag)))
    elif settings.driver == "journald":
        from dockmagic_runtime.supervisor.logs.journald import Journald
        from dockmagic_runtime.supervisor.logs.lines import LineLog

        logs.append(LineLog(Journald(settings.fields)))
    return logs
