"""`explain`: the plan of the container's last start, with the time each operation took.

It is the plan itself, as it was executed: kept beside the container when it starts. One file,
written without a rename: only people read it, and the next start writes it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import MsgspecError, Raw, Struct, json

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.explanation import ExplainedStep, Explanation
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.store.atomic import DISK_UNWRITABLE, write_file

Trace = Mapping[str, Sequence[Sequence[float]]]
_FILE = "explain.json"
_LANES = {"host": "start process", "inside": "child", "network": "network"}


class _Kept(Struct, frozen=True):
    plan: Raw
    trace: dict[str, list[tuple[float, float]]]


def remember(directory: str, plan: SandboxPlan, trace: Trace) -> None:
    """Keeps plan and times, unless the container's directory has gone already (`--rm`)."""
    data = json.encode({"plan": Raw(plan.encode()), "trace": trace})
    try:
        write_file(f"{directory}/{_FILE}", data)
    except OSError as error:  # a full disk keeps no container from running
        if not isinstance(error, FileNotFoundError) and error.errno not in DISK_UNWRITABLE:
            raise


def explain(store: ContainerStore, record: Record) -> Explanation:
    """Raises Conflict for a container that was never started, and for a damaged file."""
    try:
        with open(f"{store.directory(record.id)}/{_FILE}", "rb") as stream:
            kept = json.decode(stream.read(), type=_Kept)
        plan = SandboxPlan.decode(kept.plan)
    except FileNotFoundError:
        raise Conflict(
            f"Container {record.name} has not been started", hint="start it, then ask again"
        ) from None
    except (MsgspecError, UnicodeDecodeError):
        raise Conflict(
            f"How container {record.name} was started is lost: {_FILE} is damaged",
            hint="start it again, then ask again",
        ) from None
    return explanation(record.id, record.name, plan, kept.trace)


def explanation(container_id: str, name: str, plan: SandboxPlan, trace: Trace) -> Explanation:
    """The plan's operations in the order in which they began."""
    parts = {"host": plan.host, "inside": plan.inside, "network": plan.network}
    origin = min((times[0][0] for times in trace.values() if times), default=0.0)
    steps = [
        step
        for part, operations in parts.items()
        for step in _steps(_LANES[part], operations, trace.get(part, []), origin)
    ]
    return Explanation(
        container_id=container_id,
        name=name,
        steps=tuple(sorted(steps, key=lambda step: step.began)),
        command=plan.process.argv,
        seconds=max((step.began + step.seconds for step in steps), default=0.0),
    )


def _steps(
    who: str, operations: Sequence[Operation], times: Sequence[Sequence[float]], origin: float
) -> Iterator[ExplainedStep]:
    for operation, (began, seconds) in zip(operations, times, strict=True):
        yield ExplainedStep(
            who=who,
            name=type(operation).__name__,
            text=operation.describe(),
            calls=operation.calls,
            undoing=operation.undoing,
            began=began - origin,
            seconds=seconds,
        )
