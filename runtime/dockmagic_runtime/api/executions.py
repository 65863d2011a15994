"""The execs of one server. Docker makes an exec with one request and starts it with another."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.model.container import ExecSpec

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import ProcessApi

KEPT: Final = 300.0  # seconds that an exec can be inspected after its end, as moby keeps it
NEVER_STARTED: Final = 3600.0  # seconds


class Execution:
    """One exec: what was asked for, and how far it is."""

    def __init__(self, container_id: str, spec: ExecSpec, document: dict[str, Any]) -> None:
        self.id = os.urandom(32).hex()
        self.container_id = container_id
        self.spec = spec
        self.document = document  # of the request, for `inspect`
        self.process: ProcessApi | None = None
        self.exit_code: int | None = None
        self.is_claimed = False
        self.changed = time.monotonic()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.exit_code is None

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.changed = time.monotonic()

    @property
    def is_stale(self) -> bool:
        age = time.monotonic() - self.changed
        return not self.is_running and age > (KEPT if self.is_claimed else NEVER_STARTED)


class Executions:
    """All of them by id. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Execution] = {}

    def add(self, execution: Execution) -> None:
        with self._lock:
            for id in [id for id, old in self._all.items() if old.is_stale]:
                del self._all[id]
            self._all[execution.id] = execution

    def get(self, id: str) -> Execution:
        """Raises NotFound."""
        with self._lock:
            execution = self._all.get(id)
        if execution is None:
            raise NotFound(f"No such exec instance: {id}")
        return execution

    def claim(self, id: str) -> Execution:
        """The exec, to be started by the caller alone. Raises NotFound, Conflict."""
        execution = self.get(id)
        with self._lock:
            if execution.is_claimed:
                raise Conflict(f"Error: Exec command {id} has already run")
            execution.is_claimed = True
        return execution

    def of(self, container_id: str) -> list[str]:
        """The ids of the container's execs that run."""
        with self._lock:
            return [
                id
                for id, execution in self._all.items()
                if execution.container_id == container_id and execution.is_running
            ]
