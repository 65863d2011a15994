"""`Supervisor`: one process for one container, from its start to its last word.

It holds the container's lock from first to last: whoever sees the lock held knows that somebody
answers for the container. It is the parent of everything that runs inside, owns the streams, the
log and the control socket.

Strategy: there is one of these for every container, mostly idle, so it must be small. It is
forked from a launcher whose pages it shares until it writes to them, and every object that is
looked at is written to (its reference count). So a start is carried out elsewhere
(`supervisor.birth`), and plan, context and log are made when they are first needed.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import time
from functools import cached_property
from typing import Any

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.removal import remove_tree
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.operation import Context, Kept
from dockmagic_runtime.supervisor import delivery, place, protocol, state
from dockmagic_runtime.supervisor.client import Client
from dockmagic_runtime.supervisor.delivery import Delivered, read_request, take_over
from dockmagic_runtime.supervisor.execution import Execution, exit_code
from dockmagic_runtime.supervisor.log import JsonLog
from dockmagic_runtime.supervisor.loop import READ, Loop
from dockmagic_runtime.supervisor.post import Post
from dockmagic_runtime.supervisor.request import Order, decode_order
from dockmagic_runtime.supervisor.stdio import Stdio
from dockmagic_runtime.supervisor.verbs import VERBS
from dockmagic_runtime.volumes.unused import remove_unused

_STREAMS = {"stdout": protocol.STDOUT, "stderr": protocol.STDERR}


class Supervisor:
    """Attributes without underscore are what the verbs of clients work with."""

    pidfd: int
    _born: Delivered
    _kept: list[Kept]
    _request: int
    _lock: int

    def __init__(self, linux: Linux, post: Post, tell: int, facts: dict[str, Any]) -> None:
        self.linux = linux
        self.loop = Loop()
        self.is_paused = False
        self.clients: list[Client] = []
        self.executions: dict[Client, Execution] = {}
        self._post = post
        self._tell = tell
        self._facts = facts
        self._owner: Client | None = None
        self._listener: socket.socket | None = None

    def run(self) -> None:
        """Wait for work, then the whole life of a container."""
        born = delivery.first(self.linux, self._post, self._tell, self._facts)
        if born is None:
            return
        _rename_process(born.name)
        self._take_place(born)
        self._take_charge(born)
        self.loop.run()
        self._conclude()

    # ------------------------------------------------------------------ birth

    def _take_place(self, born: Delivered) -> None:
        """What is ours from the first start to the last end."""
        self._request = born.fds["request"]
        self._lock = born.fds.get("lock", -1)
        if "listener" in born.fds:
            self._listener = socket.socket(fileno=born.fds["listener"])
            self.loop.watch(born.fds["listener"], READ, self._accept)
        if "owner" in born.fds:
            self._owner = self._adopt(socket.socket(fileno=born.fds["owner"]))
            self._owner.attached = True

    def _take_charge(self, born: Delivered) -> None:
        self._born = born
        self.loop.watch(born.channel.fileno(), READ, lambda _events: self._dismiss(born))
        self.pidfd = os.pidfd_open(born.pid)
        self.loop.watch(self.pidfd, READ, lambda _events: self.loop.stop())
        for name in _STREAMS:
            if name in born.fds:
                self.loop.watch(born.fds[name], READ, self._first_output)
        if born.serves:
            for serve in self.context.resources["servers"]:
                serve(self.loop.selector)

    def _first_output(self, _events: int) -> None:
        """Many a service is silent: what serves its streams is made when there is something."""
        self.stdio.read()

    @cached_property
    def stdio(self) -> Stdio:
        """The program's streams. Made anew for each start."""
        fds = self._born.fds
        outputs = {fds[name]: name for name in _STREAMS if name in fds}
        return Stdio(
            self.loop, self._output, outputs, fds.get("input", -1), terminal=self._born.terminal
        )

    def _dismiss(self, born: Delivered) -> None:
        """The midwife has ended, or is about to."""
        self.loop.forget(born.channel.fileno())
        born.channel.close()
        os.waitpid(born.midwife, 0)

    @cached_property
    def order(self) -> Order:
        return decode_order(read_request(self._request))

    @cached_property
    def context(self) -> Context:
        """What the operations of the start have left: for an exec, for the end."""
        context = Context(self.linux, init_pid=self._born.pid, resources=dict(self._facts))
        self._kept = take_over(context, self._born.kept)
        return context

    # ------------------------------------------------------------------ clients

    def _adopt(self, connection: socket.socket) -> Client:
        gc.enable()  # off since the launcher: an idle supervisor makes no garbage
        client = Client(self.loop, connection, self)
        self.clients.append(client)
        return client

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        connection, _ = self._listener.accept()
        if _peer_uid(connection) not in (0, os.geteuid()):
            connection.close()  # the directory is 0700 already; this is the second door
            return
        self._adopt(connection)

    def frame(self, client: Client, kind: int, payload: bytes) -> None:
        """`client.Host`."""
        if kind == protocol.CONTROL:
            self._obey(client, json.loads(payload))
        elif kind == protocol.STDIN:
            stdio = self.stdio_of(client)
            if not payload:
                stdio.close_input()
            elif not stdio.write(payload):
                client.hear(False)
                stdio.when_room(lambda: client.hear(True))

    def _obey(self, client: Client, message: dict[str, Any]) -> None:
        verb = VERBS.get(message.pop("verb"))
        try:
            if verb is None:
                raise InvalidInput("the supervisor does not know this verb")
            verb(self, client, **message)
        except Exception as error:
            client.say("failed", error=child.describe_error(error))

    def stdio_of(self, client: Client) -> Stdio:
        """The streams that a client is joined with: its exec's, or the program's."""
        execution = self.executions.get(client)
        return execution.stdio if execution else self.stdio

    def gone(self, client: Client) -> None:
        """`client.Host`. An exec goes on without its client, as with Docker, unheard."""
        self.clients.remove(client)
        execution = self.executions.pop(client, None)
        if execution is not None:
            execution.stdio.pause_output(False)
            execution.stdio.close_input()
        if client is self._owner:
            self.kill(signal.SIGKILL)  # nobody is left who wanted it
        self._balance()

    def release_owner(self, client: Client) -> None:
        """From now on the container lives without the engine that started it."""
        if client is self._owner:
            self._owner = None

    # ------------------------------------------------------------------ output

    @cached_property
    def _log(self) -> JsonLog | None:
        return JsonLog(self.order.log) if self.order.log else None

    def _close_log(self) -> None:
        if "_log" in self.__dict__ and self._log is not None:  # it is made for the first output
            self._log.close()

    def _output(self, stream: str, data: bytes) -> None:
        if self._log is not None:
            self._log.write(stream, data)
        attached = [one for one in self.clients if one.attached]
        if attached:
            framed = protocol.frame(_STREAMS[stream], data)
            for client in attached:
                client.send(framed)
            self._balance()

    def caught_up(self, client: Client) -> None:
        """`client.Host`."""
        execution = self.executions.get(client)
        if execution is not None:
            execution.stdio.pause_output(False)
        self._balance()

    def _balance(self) -> None:
        """Let the program wait while an attached client is far behind."""
        behind = any(client.is_behind for client in self.clients if client.attached)
        self.stdio.pause_output(behind)

    # ------------------------------------------------------------------ what verbs need

    def kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended: the loop will see that next

    def execute(self, client: Client, process: dict[str, Any], *, open_stdin: bool) -> Execution:
        """One more process in the container, joined with `client`."""

        def sink(stream: str, data: bytes) -> None:
            if client in self.executions:
                client.send(protocol.frame(_STREAMS[stream], data))
                execution.stdio.pause_output(client.is_behind)

        def on_end(code: int) -> None:
            if self.executions.pop(client, None) is not None:
                client.is_told = True
                client.say("exited", exit_code=code)

        execution = Execution(
            self.linux,
            self.loop,
            self.context,
            self.pidfd,
            process,
            open_stdin=open_stdin,
            sink=sink,
            on_end=on_end,
        )
        self.executions[client] = execution
        return execution

    def record(self, **changes: Any) -> None:
        """Into the state file."""
        if self.order.directory:
            state.change(self.order.directory, **changes)

    # ------------------------------------------------------------------ end

    def _conclude(self) -> None:
        _, status = os.waitpid(self._born.pid, 0)
        code = exit_code(status)
        self.stdio.drain()
        for execution in list(self.executions.values()):
            execution.finish()  # they die with pid 1, by the kernel's hand
        self._close_log()
        cgroup = self.context.resources.get("cgroup")
        oom = bool(cgroup is not None and cgroup.oom_events())
        if not self.order.auto_remove:
            self.record(
                status="exited",
                exit_code=code,
                finished=time.time(),
                pid=0,
                oom_killed=oom,
                **state.NO_ENDPOINT,
            )
        self._undo()
        trash = self._take_directory_away() if self.order.auto_remove else ""
        self._leave()
        for client in list(self.clients):
            if not client.is_told:
                client.say("exited", exit_code=code, oom_killed=oom)
            client.finish()
        if trash:
            remove_tree(trash, self.linux)

    def _leave(self) -> None:
        """Give up the container's place. Who has connected meanwhile is told of the end too."""
        if self._listener is None:
            return
        self.loop.forget(self._listener.fileno())
        self._listener.setblocking(False)
        try:
            while True:
                self._accept(READ)
        except BlockingIOError:
            pass  # that was the last
        place.leave(self.order.run, self._lock, self._listener.detach())

    def _undo(self) -> None:
        """In reverse. What fails is left to the next call's reconciliation, and said."""
        problems = []
        context = self.context
        for one in reversed(self._kept):
            try:
                one.undo(context)
            except Exception as error:
                problems.append(str(error))
        if problems:
            self.record(error=f"after the end: {'; '.join(problems)}")

    def _take_directory_away(self) -> str:
        """`--rm`: the directory vanishes in one step; who finds it gone forgets the container.

        Its volumes go before: then none is left that nobody knows of.
        """
        containers, name = os.path.split(self.order.directory)
        remove_unused(os.path.dirname(containers), self.order.anonymous_volumes, container_id=name)
        trash = f"{os.path.dirname(containers)}/tmp/{name}"
        os.rename(self.order.directory, trash)
        return trash


def _rename_process(name: bytes) -> None:
    """By the file: a call by ctypes would touch more of the memory that we share."""
    fd = os.open(b"/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name)
    os.close(fd)


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")
