"""`exec`: one more process in a container that runs."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.containers.lifecycle import links
from dockmagic_runtime.containers.plan.exec_process import process_spec
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.model.container import ExecSpec
from dockmagic_runtime.supervisor.engine_client import ContainerProcess


def execute(store: ContainerStore, record: Record, spec: ExecSpec) -> ContainerProcess:
    """Start it and be attached. Raises Conflict (not running, paused) or StartFailed."""
    if not spec.command:
        raise InvalidInput("no command specified")
    try:
        process = store.connect(record.id)
    except Conflict as error:
        raise Conflict(f"container {record.id} is not running") from error
    try:
        if record.links:  # as the others are now; Docker too refuses when one does not run
            told = links.environment(links.now(store, record), record.env)
            record = replace(record, env=told)
        return process.start_exec(process_spec(record, spec), open_stdin=spec.open_stdin)
    except BaseException:
        process.close()
        raise


def execution_ids(store: ContainerStore, record: Record) -> list[str] | None:
    """Of the processes that `exec` has started and that run; None for none, as Docker says it."""
    try:
        process = store.connect(record.id)
    except Conflict:
        return None
    try:
        found = process.request("executions")["executions"]
    except Conflict:
        return None  # it has ended meanwhile
    finally:
        process.close()
    return [identity for identity, _pid, _command in found] or None
