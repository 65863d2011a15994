"""`Supervisor`: one process for one container, from its start to its last word.

It takes the container's lock first and gives it back last: whoever can see the lock held knows
that somebody answers for the container. It is the parent of everything that runs inside, owns
the streams, the log and the control socket, and carries the undo stack of the start.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.removal import remove_tree
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.store import locks
from dockmagic_runtime.supervisor import birth, protocol, state, tree
from dockmagic_runtime.supervisor.client import Client
from dockmagic_runtime.supervisor.execution import Execution
from dockmagic_runtime.supervisor.log import JsonLog
from dockmagic_runtime.supervisor.loop import READ, Loop
from dockmagic_runtime.supervisor.request import LaunchRequest
from dockmagic_runtime.supervisor.stdio import Stdio
from dockmagic_runtime.volumes.unused import remove_unused

_STREAMS = {"stdout": protocol.STDOUT, "stderr": protocol.STDERR}


class Supervisor:
    def __init__(
        self, linux: Linux, request: LaunchRequest, owner: socket.socket, facts: dict[str, Any]
    ) -> None:
        self._linux = linux
        self._facts = facts
        self._request = request
        self._loop = Loop()
        self._lock: int | None = None
        self._listener: socket.socket | None = None
        self._clients: list[Client] = []
        self._executions: dict[Client, Execution] = {}
        self._log: JsonLog | None = None
        self._state = state.State()
        self._owner = self._adopt(owner)
        self._owner.attached = True

    def run(self) -> None:
        """The whole life. What goes wrong before the program runs is told to the owner."""
        try:
            self._take_lock()
        except BaseException as error:
            self._fail(error)
            return
        try:
            self._listen()
            self._start()
        except BaseException as error:
            self._after_failed_start(error)
            return
        self._loop.run()
        self._conclude()

    # ------------------------------------------------------------------ birth

    def _take_lock(self) -> None:
        run = self._request.run
        if not run:
            return
        os.makedirs(run, 0o700, exist_ok=True)
        self._lock = locks.acquire(f"{run}/lock")
        if self._lock is None:
            raise Conflict(f"container {self._request.id[:12]} is already running")

    def _listen(self) -> None:
        if not self._request.run:
            return
        path = f"{self._request.run}/sock"
        if os.path.lexists(path):
            os.unlink(path)  # of a supervisor that was killed; we hold the lock
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(64)
        self._loop.watch(self._listener, READ, self._accept)

    def _start(self) -> None:
        request = self._request
        self._linux.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
        self._stdio = Stdio(
            self._loop, terminal=request.plan.process.terminal, open_stdin=request.open_stdin
        )
        if request.log:
            self._log = JsonLog(request.log)
        self._program = birth.start(self._linux, request.plan, self._stdio, self._facts)
        self._loop.watch(self._program.pidfd, READ, lambda _events: self._loop.stop())
        self._program.context.resources["serve"] = self._loop.selector
        for serve in self._program.context.resources.get("servers", ()):
            serve(self._loop.selector)
        self._stdio.serve(self._output, lambda: None)
        self._write_state(
            status="running",
            pid=self._program.pid,
            started=time.time(),
            **{**request.endpoint, "ports": self._ports()},
        )
        self._owner.say(
            "started", pid=self._program.pid, trace=self._program.trace, ports=self._ports()
        )

    def _ports(self) -> tuple[tuple[str, int, int, str], ...]:
        """As bound: port 0 in the request has become a number when the socket was made."""
        found: tuple[tuple[str, int, int, str], ...] = self._program.context.resources.get(
            "ports", ()
        )
        return found

    def _after_failed_start(self, error: BaseException) -> None:
        if self._log is not None:
            self._log.close()
        described = child.describe_error(error)
        self._write_state(
            status="created",
            exit_code=int(str(described["exit_code"])),
            error=str(described["message"]),
        )
        self._leave()
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._owner.say("failed", error=child.describe_error(error))
        self._owner.finish()

    # ------------------------------------------------------------------ life

    def _adopt(self, connection: socket.socket) -> Client:
        client = Client(self._loop, connection, self._frame, self._gone)
        self._clients.append(client)
        return client

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        connection, _ = self._listener.accept()
        if _peer_uid(connection) not in (0, os.geteuid()):
            connection.close()  # the directory is 0700 already; this is the second door
            return
        self._adopt(connection)

    def _frame(self, client: Client, kind: int, payload: bytes) -> None:
        if kind == protocol.CONTROL:
            message = json.loads(payload)
            verb = _VERBS.get(message.pop("verb"))
            try:
                if verb is None:
                    raise InvalidInput("the supervisor does not know this verb")
                verb(self, client, **message)
            except Exception as error:
                client.say("failed", error=child.describe_error(error))
        elif kind == protocol.STDIN:
            stdio = self._stdio_of(client)
            if payload:
                stdio.write(payload)
            else:
                stdio.close_input()

    def _stdio_of(self, client: Client) -> Stdio:
        execution = self._executions.get(client)
        return execution.stdio if execution else self._stdio

    def _gone(self, client: Client) -> None:
        self._clients.remove(client)
        execution = self._executions.pop(client, None)
        if execution is not None:
            execution.abandon()
        if client is self._owner and self._request.owned:
            self._kill(signal.SIGKILL)  # nobody is left who wanted it
        self._balance()

    def _output(self, stream: str, data: bytes) -> None:
        if self._log is not None:
            self._log.write(stream, data)
        framed = protocol.frame(_STREAMS[stream], data)
        for client in [one for one in self._clients if one.attached]:
            client.send(framed)
        self._balance()

    def _balance(self) -> None:
        """Let the program wait while an attached client is far behind."""
        behind = any(client.is_behind for client in self._clients if client.attached)
        self._stdio.pause_output(behind)
        if behind:
            self._loop.after(0.02, self._balance)

    # ------------------------------------------------------------------ verbs of clients

    def _verb_attach(self, client: Client) -> None:
        client.attached = True
        client.waiting = True
        client.say("attached", terminal=self._stdio.terminal)

    def _verb_wait(self, client: Client) -> None:
        client.waiting = True

    def _verb_detach(self, client: Client) -> None:
        if client is self._owner:
            self._request = replace(self._request, owned=False)
        client.attached = False

    def _verb_signal(self, client: Client, number: int) -> None:
        execution = self._executions.get(client)
        if execution is not None:
            execution.kill(number)
        else:
            self._kill(number)
        client.say("done")

    def _kill(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._program.pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended: the loop will see that next

    def _verb_resize(self, client: Client, rows: int, columns: int) -> None:
        self._stdio_of(client).resize(rows, columns)

    def _verb_pause(self, client: Client) -> None:
        if self._state.status == "paused":
            raise Conflict(f"Container {self._request.id} is already paused")
        self._program.context.resources["cgroup"].freeze()
        self._write_state(status="paused")
        client.say("done")

    def _verb_unpause(self, client: Client) -> None:
        if self._state.status != "paused":
            raise Conflict(f"Container {self._request.id} is not paused")
        self._program.context.resources["cgroup"].thaw()
        self._write_state(status="running")
        client.say("done")

    def _verb_exec(self, client: Client, process: dict[str, Any], open_stdin: bool) -> None:
        if self._state.status == "paused":
            raise Conflict(
                f"Container {self._request.id} is paused, unpause the container before exec"
            )
        execution = Execution(
            self._linux,
            self._loop,
            client,
            self._program,
            process,
            open_stdin,
            on_end=self._execution_ended,
        )
        self._executions[client] = execution
        client.say("started", pid=execution.pid)

    def _verb_tree(self, client: Client, mounts: bool) -> None:
        fd = tree.visit(self._linux, self._program.pidfd, mounts=mounts)
        try:
            client.hand_over("tree", fd)
        finally:
            os.close(fd)

    def _execution_ended(self, client: Client, code: int) -> None:
        self._executions.pop(client, None)
        client.say("exited", exit_code=code)

    # ------------------------------------------------------------------ end

    def _conclude(self) -> None:
        _, status = os.waitpid(self._program.pid, 0)
        code = exit_code(status)
        self._stdio.drain(self._output)
        for execution in list(self._executions.values()):
            execution.finish()  # they die with pid 1, by the kernel's hand
        if self._log is not None:
            self._log.close()
        cgroup = self._program.context.resources.get("cgroup")
        oom = bool(cgroup is not None and cgroup.oom_events())
        self._write_state(
            status="exited",
            exit_code=code,
            finished=time.time(),
            pid=0,
            oom_killed=oom,
            **state.NO_ENDPOINT,
        )
        self._run_undo()
        if self._request.auto_remove:
            self._remove_directory()
        self._leave()
        for client in list(self._clients):
            if client.attached or client.waiting:
                client.say("exited", exit_code=code, oom_killed=oom)
            client.finish()

    def _remove_directory(self) -> None:
        """`--rm`: the directory vanishes in one step; who finds it gone forgets the container.

        Its volumes go before: then none is left that nobody knows of.
        """
        containers, name = os.path.split(self._request.directory)
        remove_unused(
            os.path.dirname(containers), self._request.anonymous_volumes, container_id=name
        )
        trash = f"{os.path.dirname(containers)}/tmp/{name}"
        os.rename(self._request.directory, trash)
        remove_tree(trash, self._linux)

    def _run_undo(self) -> None:
        try:
            self._program.undo.close()
        except Exception as error:
            # ExitStack has run the other undos; a next call's reconciliation gets this one
            self._write_state(error=f"after the end: {error}")

    def _leave(self) -> None:
        """Take socket, lock file and directory away, then drop the lock."""
        if self._listener is not None:
            self._loop.forget(self._listener)
            self._listener.close()
            os.unlink(f"{self._request.run}/sock")
        if self._lock is not None:
            os.unlink(f"{self._request.run}/lock")
            os.rmdir(self._request.run)
            os.close(self._lock)
            self._lock = None

    def _write_state(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        if self._request.directory:
            state.write(self._request.directory, self._state)


_VERBS: dict[str, Callable[..., None]] = {
    "attach": Supervisor._verb_attach,
    "wait": Supervisor._verb_wait,
    "detach": Supervisor._verb_detach,
    "signal": Supervisor._verb_signal,
    "resize": Supervisor._verb_resize,
    "pause": Supervisor._verb_pause,
    "unpause": Supervisor._verb_unpause,
    "exec": Supervisor._verb_exec,
    "tree": Supervisor._verb_tree,
}


def exit_code(status: int) -> int:
    """Docker's: the program's own, or 128 plus the signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")
