"""What the handlers of control requests work with: a supervisor, as they see it."""

from __future__ import annotations

from typing import Any, Protocol

from dockmagic_runtime.linux.event_loop import EventLoop
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.model.transitions import Action
from dockmagic_runtime.supervisor.clients import Clients
from dockmagic_runtime.supervisor.connection import ClientConnection
from dockmagic_runtime.supervisor.exec_session import ExecSession
from dockmagic_runtime.supervisor.health import Health
from dockmagic_runtime.supervisor.program import Program
from dockmagic_runtime.supervisor.request import SupervisorRequest
from dockmagic_runtime.supervisor.restarts import Restarts
from dockmagic_runtime.supervisor.stdio import Stdio


class ControlTarget(Protocol):
    """A supervisor. `program` is None while the next start is waited for.

    `keeps_directory`: a container of `--rm` that is stopped only to be started again.
    `limits`: an operation on the wire that applies updated limits at the next start.
    """

    linux: Linux
    loop: EventLoop
    clients: Clients
    program: Program | None
    health: Health | None
    is_paused: bool
    keeps_directory: bool
    limits: list[list[Any]]
    restarts: Restarts

    @property
    def request(self) -> SupervisorRequest: ...

    def check(self, action: Action) -> None:
        """Raises Conflict if the container's state does not allow the action."""
        ...

    def running(self) -> Program:
        """The program. Raises Conflict while there is none."""
        ...

    def stdio_of(self, client: ClientConnection) -> Stdio:
        """The streams of the client's exec, else those of the program."""
        ...

    def stop_by_hand(self) -> None:
        """A client wants the container to end: it will not be started again, and a start that is
        due is cancelled."""
        ...

    def replace_request(self, request: bytes) -> None:
        """Let the next start carry out another request than the last one."""
        ...

    def record(self, **changes: Any) -> None:
        """Write fields of the state file."""
        ...

    def emit(self, action: str, **attributes: str) -> None:
        """Write an event of the container to the journal."""
        ...

    def exec_started(self, session: ExecSession) -> None: ...
    def exec_ended(self, session: ExecSession, exit_code: int) -> None: ...
