"""Namespaces of other containers, looked up again at a restart: those may have restarted too."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.sandbox.namespaces import JoinNamespace
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.supervisor import state

# what is shared, the pid in the plan, and the other container's id, directory and run directory
NamespaceTarget = tuple[str, int, str, str, str]


def with_current_pids(plan: SandboxPlan, joined: Sequence[NamespaceTarget]) -> SandboxPlan:
    """The plan with the pids of now. Raises Conflict when one of the containers does not run."""
    if not joined:
        return plan
    pids = {pid: _pid_of(what, *other) for what, pid, *other in joined}
    return replace(
        plan,
        inside=tuple(_with_pid(operation, pids) for operation in plan.inside),
        pid_namespace_of=pids.get(plan.pid_namespace_of, plan.pid_namespace_of),
    )


def _pid_of(what: str, container_id: str, directory: str, run: str) -> int:
    now = state.read(directory, run)
    if not now.pid:
        raise Conflict(f"cannot join {what} of a non running container: {container_id}")
    return now.pid


def _with_pid(operation: Operation, pids: dict[int, int]) -> Operation:
    if isinstance(operation, JoinNamespace):
        return replace(operation, pid=pids.get(operation.pid, operation.pid))
    return operation
