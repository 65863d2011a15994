"""`exec`: one more process in a container that runs."""

from __future__ import annotations

from msgspec.structs import replace

from dockmagic_runtime.containers.lifecycle import links
from dockmagic_runtime.containers.plan.security_options import no_new_privileges, seccomp_choice
from dockmagic_runtime.containers.record import Record, process_environment
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.linux import rlimits
from dockmagic_runtime.model.container import ExecSpec
from dockmagic_runtime.sandbox import capabilities
from dockmagic_runtime.sandbox.plan import ProcessSpec
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


def process_spec(record: Record, spec: ExecSpec) -> ProcessSpec:
    """The process of an exec, with what the container says where the exec says nothing."""
    container = record.spec
    env = (*record.env, *spec.env)
    merged = process_environment(record.hostname, env, tty=spec.tty)
    privileged = container.privileged or spec.privileged
    kept = capabilities.resolve(container.cap_add, container.cap_drop, privileged)
    return ProcessSpec(
        argv=spec.command,
        env=tuple(f"{key}={value}" for key, value in merged.items()),
        cwd=spec.working_dir or record.working_dir,
        user=spec.user or record.user,
        groups=container.group_add,
        terminal=spec.tty,
        capabilities=tuple(sorted(kept)),
        no_new_privileges=no_new_privileges(container.security_opt),
        seccomp="unconfined" if privileged else seccomp_choice(container.security_opt),
        rlimits=rlimits.resolve(container.ulimits),
        oom_score_adj=container.oom_score_adj,
    )
