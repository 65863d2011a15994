"""`Supervisor`: one process for one container, from its first start to its last exit.

It holds the lock of the run directory for its lifetime: a held lock means that the container is
alive and that a process answers for it. It is the parent of everything that runs inside, owns the
streams, the log and the control socket, applies the restart policy and runs the health checks. If
it is killed, the program of a container in the background runs on, and another supervisor takes
it over.

Strategy: there is one supervisor for every container, mostly idle, so it must be small. It is
forked from a launcher and shares the launcher's pages until it writes to them, and reading a Python
object writes to it (its reference count). So a start is carried out by another process
(`supervisor.start_process`), and request, context and log are decoded when they are first needed.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.linux.event_loop import EventLoop, Timer
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model import lenient_json, transitions
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.transitions import Action
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.store.container_events import ContainerEvents
from dockmagic_runtime.supervisor import handover, protocol, run_directory, state
from dockmagic_runtime.supervisor.clients import Clients
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.control_handlers import HANDLERS
from dockmagic_runtime.supervisor.exec_session import ExecSession
from dockmagic_runtime.supervisor.forks import rename_process
from dockmagic_runtime.supervisor.handover import Handover, read_request
from dockmagic_runtime.supervisor.health import Check, Health
from dockmagic_runtime.supervisor.logs.json_file import JsonLog
from dockmagic_runtime.supervisor.logs.settings import LogSettings
from dockmagic_runtime.supervisor.program import Ended, Program
from dockmagic_runtime.supervisor.request import SupervisorRequest, decode_request
from dockmagic_runtime.supervisor.request_socket import RequestSocket
from dockmagic_runtime.supervisor.restarts import Restarts
from dockmagic_runtime.supervisor.stdio import Stdio

if TYPE_CHECKING:
    from dockmagic_runtime.supervisor.logs.process import Log


class Supervisor:
    """Fulfils `control_target.ControlTarget`, and the callbacks of `Clients`, `Program` and
    `Health`."""

    _request_fd: int
    _lock: int

    def __init__(self, linux: Linux, requests: RequestSocket, taken: int, facts: Slots) -> None:
        """`taken` is a pipe of the launcher: see `RequestSocket.acknowledge`."""
        self.linux = linux
        self.loop = EventLoop()
        self.program: Program | None = None
        self.is_paused = False
        self.health: Health | None = None
        self.clients = Clients(self.loop, self)
        self.keeps_directory = False
        self.limits: list[list[Any]] = []
        self._requests = requests
        self._taken = taken
        self._facts = facts
        self._is_stopped_by_hand = False
        self._oom_killed = False
        self._exit_code = 0
        self._next_start: Timer | None = None
        self._last_program: Program | None = None

    def run(self) -> None:
        """Wait for a request, then supervise its container until the last exit."""
        started = handover.first(self.linux, self._requests, self._taken, self._facts)
        if started is None:
            return
        self.take_over(started)
        try:
            self.loop.run()
        except Exception as error:
            self.record(error=f"the supervisor failed: {error!r}")  # shown with the lost container
            raise
        self._leave()

    # ------------------------------------------------------------------ starts

    def take_over(self, started: Handover) -> None:
        """Become the supervisor of a container that was just started."""
        rename_process(started.name)
        self._take_over_container(started)
        self._take_over_program(started)

    def _take_over_container(self, started: Handover) -> None:
        """What is kept from the first start to the last exit."""
        self._request_fd = started.fds["request"]
        self._lock = started.fds.get("lock", -1)
        if "listener" in started.fds:
            self.clients.listen(started.fds["listener"])
        if "owner" in started.fds:
            first = self.clients.add(socket.socket(fileno=started.fds["owner"]))
            first.attached = first.closes_input = True
            self.clients.owner = first if self.request.owned else None

    def _take_over_program(self, started: Handover) -> None:
        self._oom_killed = False
        self.program = Program(self.linux, self.loop, self._facts, started, self)
        if started.needs_services:
            self._start_services(self.program)

    def _start_services(self, program: Program) -> None:
        """What only some containers need: published ports, a memory limit, health checks."""
        program.serve_ports(self.request.run)
        if self.request.watches_memory:
            program.watch_memory()
        is_resumed = bool(self.request.adopts) and self._last_program is None
        now = state.load(self.request.directory) if is_resumed else None
        if self.request.health:
            check = Check(**self.request.health)
            age = max(time.time() - now.started, 0.0) if now else None
            self.health = Health(self.loop, program, check, self, self.request.directory, age=age)
        if now is not None:
            self._restore(program, now)

    def _restore(self, program: Program, now: state.State) -> None:
        """Continue from the state that a killed supervisor has left."""
        program.restore(now.started)
        self.restarts.count = now.restart_count
        self._oom_killed = now.oom_killed
        self.is_paused = now.status == "paused"
        if self.health is None:
            return
        if self.health.status != now.health:  # it was killed before it recorded the new status
            self.health_changed(self.health.status)
        if self.is_paused:
            self.health.suspend()

    @cached_property
    def request(self) -> SupervisorRequest:
        return decode_request(read_request(self._request_fd))

    def replace_request(self, request: bytes) -> None:
        """Let the next start carry out another request: it has other networks than the last."""
        os.ftruncate(self._request_fd, 0)
        os.pwrite(self._request_fd, request, 0)
        self.__dict__.pop("request", None)
        self.__dict__.pop("_events", None)

    @cached_property
    def restarts(self) -> Restarts:
        return Restarts(*self.request.restart)

    # ------------------------------------------------------------------ clients

    def received(self, client: ClientConnection, kind: int, payload: bytes) -> None:
        """`ConnectionCallbacks`."""
        if kind == protocol.CONTROL:
            self._handle(client, lenient_json.decode(payload))
        elif kind == protocol.STDIN and self.program is not None and not client.exit_sent:
            # what is sent to an exec that has ended is not for the program
            self._feed(client, self.stdio_of(client), payload)

    def _handle(self, client: ClientConnection, message: dict[str, Any]) -> None:
        handler = HANDLERS.get(message.pop("verb"))
        try:
            if handler is None:
                raise InvalidInput("the supervisor does not know this verb")
            handler(self, client, **message)
        except Exception as error:
            client.send("failed", error=child.describe_error(error))

    def _feed(self, client: ClientConnection, stdio: Stdio, payload: bytes) -> None:
        if payload:
            if not stdio.write(payload):
                client.set_reading(False)
                stdio.when_room(lambda: client.set_reading(True))
        elif client.closes_input:
            stdio.close_input()

    def stdio_of(self, client: ClientConnection) -> Stdio:
        """The streams of the client's exec, else those of the program."""
        session = self.running().exec_of(client)
        return session.stdio if session else self.running().stdio

    def disconnected(self, client: ClientConnection) -> None:
        """`ConnectionCallbacks`. An exec goes on without its client, as with Docker, and its output
        is dropped."""
        was_owner = self.clients.remove(client)
        session = self.program.exec_of(client) if self.program else None
        if session is not None:
            session.forget_client()
        if was_owner:  # a container in the foreground ends with the engine that started it
            self.stop_by_hand()
            if self.program is not None:
                self.program.kill(signal.SIGKILL)
        self._balance()

    # ------------------------------------------------------------------ output

    @cached_property
    def _log(self) -> Log | None:
        if not self.request.log:
            return None
        settings = LogSettings.from_wire(self.request.log_settings)
        if not settings.needs_process:
            return None if settings.file is None else JsonLog(self.request.log, settings.file)
        from dockmagic_runtime.supervisor.logs.process import LogProcess  # few containers need it

        return LogProcess(self.loop, self.request.log, settings, self._balance)

    def _flush_log(self) -> None:
        """Write the last line of each stream, if it has no newline."""
        log = self.__dict__.get("_log")  # it is opened at the first output
        if log is not None:
            log.flush()

    def output(self, stream: str, data: bytes) -> None:
        """`ProgramCallbacks`."""
        if self._log is not None:
            self._log.write(stream, data)
        self.clients.send_output(protocol.KINDS[stream], data)
        self._balance()

    def caught_up(self, client: ClientConnection) -> None:
        """`ConnectionCallbacks`."""
        session = self.program.exec_of(client) if self.program else None
        if session is not None:
            session.stdio.pause_output(False)
        self._balance()

    def _balance(self) -> None:
        """Let the program wait while an attached client or the log is far behind."""
        if self.program is not None:
            log = self.__dict__.get("_log")  # it is opened at the first output
            is_log_behind = log is not None and log.is_behind
            self.program.stdio.pause_output(self.clients.is_behind or is_log_behind)

    # ------------------------------------------------------------------ what handlers need

    def check(self, action: Action) -> None:
        """`ControlTarget`."""
        transitions.check(action, self._status, id=self.request.id)

    @property
    def _status(self) -> Status:
        if self.program is None:
            return Status.RESTARTING
        return Status.PAUSED if self.is_paused else Status.RUNNING

    def running(self) -> Program:
        """The program. Raises Conflict while there is none."""
        if self.program is None:
            raise Conflict(transitions.refusal(Action.EXEC, Status.RESTARTING, id=self.request.id))
        return self.program

    def stop_by_hand(self) -> None:
        """`ControlTarget`."""
        self._is_stopped_by_hand = True
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None
            self.record(status="exited", manually_stopped=True, sync=True)
            self.loop.stop()

    def record(self, *, sync: bool = False, **changes: Any) -> None:
        """Write fields of the state file; `sync` puts it on the disk."""
        if self.request.directory:
            state.note(self.request.directory, self._known_state(), sync=sync, **changes)

    def _known_state(self) -> dict[str, Any]:
        """What the supervisor knows without the state file, for one that was damaged."""
        program = self.program
        known: dict[str, Any] = {"restart_count": self.restarts.count}
        if program is not None:
            known |= {"status": "paused" if self.is_paused else "running", "pid": program.pid}
            known |= {"exit_code": 0}
        return known

    # ------------------------------------------------------------------ events

    @cached_property
    def _events(self) -> ContainerEvents | None:
        return ContainerEvents.from_wire(self.request.events) if self.request.events else None

    def emit(self, action: str, **attributes: str) -> None:
        """Write an event of the container to the journal."""
        if self._events:
            self._events.emit(action, **attributes)

    def out_of_memory(self, kills: int) -> None:
        """`ProgramCallbacks`."""
        self._oom_killed = True
        self.record(oom_killed=True)
        for _ in range(kills):
            self.emit("oom")

    def exec_started(self, session: ExecSession) -> None:
        """`ControlTarget`, `HealthCallbacks`."""
        if self._events:
            self._events.exec_create(session.command, session.id)
            self._events.exec_start(session.command, session.id)

    def exec_ended(self, session: ExecSession, exit_code: int) -> None:
        """`ControlTarget`, `HealthCallbacks`."""
        if self._events:
            self._events.exec_die(session.id, exit_code)

    def health_changed(self, status: str) -> None:
        """`HealthCallbacks`."""
        self.record(health=status)
        if self._events:
            self._events.health(status)

    # ------------------------------------------------------------------ exits

    def program_ended(self) -> None:
        """`ProgramCallbacks`."""
        program = self.running()
        ended = program.end()
        # before the exit is recorded: a follower of the log stops reading when it sees the exit
        self._flush_log()
        if self.health is not None:
            self.health.stop()
            self.health = None
        self._exit_code = ended.exit_code
        wait = self.restarts.after(ended.exit_code, ended.uptime, by_hand=self._is_stopped_by_hand)
        self._record_exit(ended, restarting=wait is not None)
        problems = program.undo()
        if problems:
            self.record(error=f"after the end: {'; '.join(problems)}")
        # kept: to close its netfilter socket takes some milliseconds, until the kernel has finished
        # what was deleted, and every client that waits for the exit would wait for that too
        self._last_program = program
        self.program, self.is_paused = None, False
        if wait is None:
            self.loop.stop()
        else:
            self._notify_exit(restarting=True)
            self._next_start = self.loop.after(wait, self._start_again)

    def _record_exit(self, ended: Ended, *, restarting: bool) -> None:
        if restarting or not self._removes_directory:
            self.record(
                status="restarting" if restarting else "exited",
                exit_code=ended.exit_code,
                finished=time.time(),
                pid=0,
                restart_count=self.restarts.count,
                manually_stopped=self._is_stopped_by_hand,
                **state.NO_ENDPOINT,
                sync=not restarting,
            )
        if self._events:
            self._events.die(ended.exit_code, ended.uptime)
            self._events.disconnected()

    @property
    def _removes_directory(self) -> bool:
        return self.request.auto_remove and not self.keeps_directory

    def _start_again(self) -> None:
        self._next_start = None
        started = handover.again(
            self.linux,
            self.request,
            self._request_fd,
            self._facts,
            restarts=self.restarts.count,
            limits=self.limits,
        )
        if started is None:
            self.loop.stop()  # it could not be started: the state file says why
        else:
            self._take_over_program(started)

    def _notify_exit(self, *, restarting: bool) -> None:
        self.clients.notify_exit(
            exit_code=self._exit_code, oom_killed=self._oom_killed, restarting=restarting
        )

    def _leave(self) -> None:
        """After the last exit: give up the run directory, and send `exited` to every client."""
        trash: int | None = None
        if self._removes_directory:
            trash = run_directory.move_container(
                self.request.directory, self.request.anonymous_volumes
            )
            if trash is not None:  # else the engine that removed it emits the event
                self.emit("destroy")
        self.clients.release(self.request.run, self._lock)
        self._notify_exit(restarting=False)
        if trash is not None:
            run_directory.remove_moved(self.linux, self.request.directory, trash)
