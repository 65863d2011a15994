"""`Supervisor`: one process for one container, from its start to its last word.

It holds the container's lock from first to last: whoever sees the lock held knows that somebody
answers for the container. It is the parent of everything that runs inside, owns the streams, the
log and the control socket, starts the program again and sees to its health. If it is killed, the
program of a container in the background runs on, and another one takes it over.

Strategy: there is one of these for every container, mostly idle, so it must be small. It is
forked from a launcher whose pages it shares until it writes to them, and every object that is
looked at is written to (its reference count). So a start is carried out elsewhere
(`supervisor.birth`), and order, context and log are made when they are first needed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from functools import cached_property
from typing import Any

from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.linux.event_loop import EventLoop, Timer
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.remove_tree import remove_tree
from dockmagic_runtime.sandbox import child
from dockmagic_runtime.sandbox.slots import Slots
from dockmagic_runtime.store.container_events import ContainerEvents
from dockmagic_runtime.supervisor import handover, protocol, run_directory, state
from dockmagic_runtime.supervisor.clients import Clients
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.control_handlers import VERBS
from dockmagic_runtime.supervisor.exec_session import ExecSession
from dockmagic_runtime.supervisor.forks import rename_process
from dockmagic_runtime.supervisor.handover import Handover, read_request
from dockmagic_runtime.supervisor.health import Check, Health
from dockmagic_runtime.supervisor.log import JsonLog, open_log
from dockmagic_runtime.supervisor.program import Ended, Program
from dockmagic_runtime.supervisor.request import SupervisorRequest, decode_order
from dockmagic_runtime.supervisor.request_socket import RequestSocket
from dockmagic_runtime.supervisor.restarts import Restarts
from dockmagic_runtime.supervisor.stdio import Stdio

_FRAMES = {"stdout": protocol.STDOUT, "stderr": protocol.STDERR}


class Supervisor:
    """Attributes without underscore are what the verbs of clients work with.

    `program` is None while the next start is waited for.
    """

    _request: int
    _lock: int

    def __init__(self, linux: Linux, post: RequestSocket, tell: int, facts: Slots) -> None:
        self.linux = linux
        self.loop = EventLoop()
        self.program: Program | None = None
        self.is_paused = False
        self.health: Health | None = None
        self.audience = Clients(self.loop, self)
        self.keeps_directory = False  # of --rm, when it is stopped only to be started again
        self.limits: list[list[Any]] = []  # an operation on the wire, if they were updated
        self._post = post
        self._tell = tell
        self._facts = facts
        self._is_stopped_by_hand = False
        self._oom_killed = False
        self._exit_code = 0
        self._next_start: Timer | None = None
        self._last_program: Program | None = None

    def run(self) -> None:
        """Wait for work, then the whole life of a container."""
        born = handover.first(self.linux, self._post, self._tell, self._facts)
        if born is None:
            return
        self.take(born)
        try:
            self.loop.run()
        except Exception as error:
            self.record(error=f"the supervisor failed: {error!r}")  # to be found with the loss
            raise
        self._leave()

    def take(self, born: Handover) -> None:
        """Be the container's supervisor."""
        rename_process(born.name)
        self._take_place(born)
        self._take_charge(born)

    # ------------------------------------------------------------------ births

    def _take_place(self, born: Handover) -> None:
        """What is ours from the first start to the last end."""
        self._request = born.fds["request"]
        self._lock = born.fds.get("lock", -1)
        if "listener" in born.fds:
            self.audience.listen(born.fds["listener"])
        if "owner" in born.fds:
            first = self.audience.adopt(socket.socket(fileno=born.fds["owner"]))
            first.attached = first.closes_input = True
            self.audience.owner = first if self.order.owned else None

    def _take_charge(self, born: Handover) -> None:
        self._oom_killed = False
        self.program = Program(self.linux, self.loop, self._facts, born, self)
        if born.needs_services:
            self._care_for(self.program)

    def _care_for(self, program: Program) -> None:
        """What only some containers need: published ports, limited memory, checks of health."""
        program.serve(self.order.run)
        if self.order.watches_memory:
            program.watch_memory()
        goes_on = bool(self.order.adopts) and self._last_program is None
        now = state.load(self.order.directory) if goes_on else None
        if self.order.health:
            check = Check(**self.order.health)
            age = time.time() - now.started if now else None
            self.health = Health(self.loop, program, check, self, self.order.directory, age=age)
        if now is not None:
            self._go_on(program, now)

    def _go_on(self, program: Program, now: state.State) -> None:
        """From where a supervisor was that was killed."""
        program.go_on(now.started)
        self.restarts.count = now.restart_count
        self._oom_killed = now.oom_killed
        self.is_paused = now.status == "paused"
        if self.health is None:
            return
        if self.health.status != now.health:  # he was killed before he had told it
            self.health_changed(self.health.status)
        if self.is_paused:
            self.health.hold()

    @cached_property
    def order(self) -> SupervisorRequest:
        return decode_order(read_request(self._request))

    def exchange_request(self, request: bytes) -> None:
        """Let the next start be another one: its networks are not those of the last."""
        os.ftruncate(self._request, 0)
        os.pwrite(self._request, request, 0)
        self.__dict__.pop("order", None)
        self.__dict__.pop("events", None)

    @cached_property
    def restarts(self) -> Restarts:
        return Restarts(*self.order.restart)

    @cached_property
    def events(self) -> ContainerEvents | None:
        return ContainerEvents.from_wire(self.order.events) if self.order.events else None

    # ------------------------------------------------------------------ clients

    def frame(self, client: ClientConnection, kind: int, payload: bytes) -> None:
        """`client.Host`."""
        if kind == protocol.CONTROL:
            self._obey(client, json.loads(payload))
        elif kind == protocol.STDIN and self.program is not None:
            self._feed(client, self.stdio_of(client), payload)

    def _obey(self, client: ClientConnection, message: dict[str, Any]) -> None:
        verb = VERBS.get(message.pop("verb"))
        try:
            if verb is None:
                raise InvalidInput("the supervisor does not know this verb")
            verb(self, client, **message)
        except Exception as error:
            client.say("failed", error=child.describe_error(error))

    def _feed(self, client: ClientConnection, stdio: Stdio, payload: bytes) -> None:
        if payload:
            if not stdio.write(payload):
                client.hear(False)
                stdio.when_room(lambda: client.hear(True))
        elif client.closes_input:
            stdio.close_input()

    def _execution_of(self, client: ClientConnection) -> ExecSession | None:
        return self.running().execution_of(client)

    def stdio_of(self, client: ClientConnection) -> Stdio:
        """The streams that a client is joined with: its exec's, or the program's."""
        execution = self._execution_of(client)
        return execution.stdio if execution else self.running().stdio

    def gone(self, client: ClientConnection) -> None:
        """`client.Host`. An exec goes on without its client, as with Docker, unheard."""
        was_owner = self.audience.remove(client)
        execution = self.program.execution_of(client) if self.program else None
        if execution is not None:
            execution.forget_client()
        if was_owner:
            self.stop_by_hand()
            self.kill(signal.SIGKILL)  # nobody is left who wanted it
        self._balance()

    # ------------------------------------------------------------------ output

    @cached_property
    def _log(self) -> JsonLog | None:
        order = self.order
        return open_log(order.log_driver, order.log_options, order.log) if order.log else None

    def output(self, stream: str, data: bytes) -> None:
        """`program.Host`."""
        if self._log is not None:
            self._log.write(stream, data)
        self.audience.send(protocol.frame(_FRAMES[stream], data))
        self._balance()

    def caught_up(self, client: ClientConnection) -> None:
        """`client.Host`."""
        execution = self.program.execution_of(client) if self.program else None
        if execution is not None:
            execution.stdio.pause_output(False)
        self._balance()

    def _balance(self) -> None:
        """Let the program wait while an attached client is far behind."""
        if self.program is not None:
            self.program.stdio.pause_output(self.audience.is_behind)

    # ------------------------------------------------------------------ what verbs need

    def running(self) -> Program:
        """The program. Raises Conflict while there is none."""
        if self.program is None:
            raise Conflict(
                f"Container {self.order.id} is restarting, wait until the container is running"
            )
        return self.program

    def kill(self, number: int) -> None:
        if self.program is not None:
            self.program.kill(number)

    def stop_by_hand(self) -> None:
        """Somebody wants its end: it will not be started again; a start that is due is off."""
        self._is_stopped_by_hand = True
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None
            self.record(status="exited", manually_stopped=True)
            self.loop.stop()

    def record(self, **changes: Any) -> None:
        """Into the state file."""
        if self.order.directory:
            state.note(self.order.directory, **changes)

    # ------------------------------------------------------------------ news of the program

    def out_of_memory(self, kills: int) -> None:
        """`program.Host`."""
        self._oom_killed = True
        self.record(oom_killed=True)
        for _ in range(kills):
            self.tell("oom")

    def check_started(self, execution: ExecSession) -> None:
        """`health.Host`."""
        self.tell_of_execution(execution)

    def check_ended(self, execution: ExecSession, exit_code: int) -> None:
        """`health.Host`."""
        self.tell_of_end(execution, exit_code)

    def health_changed(self, status: str) -> None:
        """`health.Host`."""
        self.record(health=status)
        if self.events:
            self.events.health(status)

    def tell(self, action: str, **attributes: str) -> None:
        """An event of the container."""
        if self.events:
            self.events.tell(action, **attributes)

    def tell_of_end(self, execution: ExecSession, exit_code: int) -> None:
        if self.events:
            self.events.exec_die(execution.id, exit_code)

    def tell_of_execution(self, execution: ExecSession) -> None:
        if self.events:
            self.events.exec_create(execution.command, execution.id)
            self.events.exec_start(execution.command, execution.id)

    # ------------------------------------------------------------------ ends

    def program_ended(self) -> None:
        """`program.Host`."""
        program = self.running()
        ended = program.end()
        if self.health is not None:
            self.health.stop()
            self.health = None
        self._exit_code = ended.exit_code
        wait = self.restarts.after(ended.exit_code, ended.uptime, by_hand=self._is_stopped_by_hand)
        self._note_end(ended, restarting=wait is not None)
        problems = program.undo()
        if problems:
            self.record(error=f"after the end: {'; '.join(problems)}")
        # kept: its netfilter socket would be closed with it, which waits some milliseconds until
        # the kernel has finished what was deleted, and who waits for the end would wait too
        self._last_program = program
        self.program, self.is_paused = None, False
        if wait is None:
            self.loop.stop()
        else:
            self._part(restarting=True)
            self._next_start = self.loop.after(wait, self._start_again)

    def _note_end(self, ended: Ended, *, restarting: bool) -> None:
        if restarting or not self._removes_directory:
            self.record(
                status="restarting" if restarting else "exited",
                exit_code=ended.exit_code,
                finished=time.time(),
                pid=0,
                restart_count=self.restarts.count,
                manually_stopped=self._is_stopped_by_hand,
                **state.NO_ENDPOINT,
            )
        if self.events:
            self.events.die(ended.exit_code, ended.uptime)
            self.events.disconnected()

    @property
    def _removes_directory(self) -> bool:
        return self.order.auto_remove and not self.keeps_directory

    def _start_again(self) -> None:
        self._next_start = None
        born = handover.again(
            self.linux,
            self.order,
            self._request,
            self._facts,
            restarts=self.restarts.count,
            limits=self.limits,
        )
        if born is None:
            self.loop.stop()  # it could not be started: why is in the state file
        else:
            self._take_charge(born)

    def _part(self, *, restarting: bool) -> None:
        self.audience.part(self._exit_code, oom_killed=self._oom_killed, restarting=restarting)

    def _leave(self) -> None:
        """The last end: give up the container's place, and tell everybody."""
        if "_log" in self.__dict__ and self._log is not None:  # it is made for the first output
            self._log.close()
        trash = ""
        if self._removes_directory:
            trash = run_directory.clear(self.order.directory, self.order.anonymous_volumes)
            self.tell("destroy")
        self.audience.leave(self.order.run, self._lock)
        self._part(restarting=False)
        if trash:
            remove_tree(trash, self.linux)
