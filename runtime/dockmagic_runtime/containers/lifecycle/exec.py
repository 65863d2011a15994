"""`exec`: one more process in a container that runs."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.model.container import ExecSpec, Status
from dockmagic_runtime.model.transitions import Action, refusal
from dockmagic_runtime.supervisor.engine_client import ContainerProcess


def execute(store: ContainerStore, record: Record, spec: ExecSpec) -> ContainerProcess:
    """Starts a process in the container, attached. Raises Conflict (not running, paused),
    StartFailed."""
    from dockmagic_runtime.containers.plan.exec_process import process_spec  # not for `exec_ids`

    if not spec.command:
        raise InvalidInput("no command specified")
    try:
        process = store.connect(record.id)
    except Conflict as error:
        raise Conflict(refusal(Action.EXEC, Status.EXITED, id=record.id)) from error
    try:
        if record.links:  # as they are now; Docker too refuses when a linked one does not run
            from dockmagic_runtime.containers.lifecycle import links

            env = links.environment(links.now(store, record), record.env)
            record = replace(record, env=env)
        return process.start_exec(process_spec(record, spec), open_stdin=spec.open_stdin)
    except BaseException:
        process.close()
        raise


def exec_ids(store: ContainerStore, record: Record) -> list[str] | None:
    """The ids of running processes that `exec` has started; None for none, as in Docker's JSON."""
    try:
        process = store.connect(record.id)
    except Conflict:
        return None
    try:
        sessions = process.request("executions")["executions"]
    except Conflict:
        return None  # it has ended meanwhile
    finally:
        process.close()
    return [identity for identity, _pid, _command in sessions] or None
