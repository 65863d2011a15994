"""`explain`: the plan of the container's last start, with the time each operation took.

It is the plan itself, as it was carried out, not a story about it: kept beside the container when
it starts. One file, written without a rename: it is read by people only, and a start comes back
to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.explanation import ExplainedStep, Explanation
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import SandboxPlan
from dockmagic_runtime.store.atomic import write_file
from dockmagic_runtime.supervisor.state import DISK_UNWRITABLE

Trace = Mapping[str, Sequence[Sequence[float]]]
_FILE = "explain.json"
_WHO = {"host": "supervisor", "inside": "child", "network": "network"}


def remember(directory: str, plan: SandboxPlan, trace: Trace) -> None:
    """Keep plan and times. A container of `--rm` may have ended and gone already: then nothing."""
    text = json.dumps({"plan": plan.to_wire(), "trace": trace})
    try:
        write_file(f"{directory}/{_FILE}", text.encode())
    except OSError as error:  # a full disk keeps nobody from running
        if not isinstance(error, FileNotFoundError) and error.errno not in DISK_UNWRITABLE:
            raise


def explain(store: ContainerStore, record: Record) -> Explanation:
    """Raises Conflict for a container that was never started."""
    try:
        with open(f"{store.directory(record.id)}/{_FILE}", encoding="utf-8") as stream:
            kept: dict[str, Any] = json.load(stream)
    except FileNotFoundError:
        raise Conflict(
            f"Container {record.name} has not been started", hint="start it, then ask again"
        ) from None
    return explanation(record.id, record.name, SandboxPlan.from_wire(kept["plan"]), kept["trace"])


def explanation(container_id: str, name: str, plan: SandboxPlan, trace: Trace) -> Explanation:
    """The plan's operations in the order in which they began."""
    parts = {"host": plan.host, "inside": plan.inside, "network": plan.network}
    origin = min((times[0][0] for times in trace.values() if times), default=0.0)
    steps = [
        step
        for part, operations in parts.items()
        for step in _steps(_WHO[part], operations, trace.get(part, []), origin)
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
    for one, (began, seconds) in zip(operations, times, strict=True):
        yield ExplainedStep(
            who=who,
            name=type(one).__name__,
            text=one.describe(),
            calls=one.calls,
            undoing=one.undoing,
            began=began - origin,
            seconds=seconds,
        )
