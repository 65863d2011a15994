"""`update`: new limits and a new restart policy for a container, running or not."""

from __future__ import annotations

import os

from msgspec.structs import asdict, replace

from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.lifecycle.start import Starter
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import Conflict, InvalidInput
from dockmagic_runtime.model.container import Resources, RestartPolicy, Status
from dockmagic_runtime.sandbox import limits
from dockmagic_runtime.sandbox.cgroup_operations import LimitResources
from dockmagic_runtime.sandbox.operation import to_wire


def update(
    starter: Starter, record: Record, asked: Resources, restart: RestartPolicy | None
) -> tuple[str, ...]:
    """Changes the given limits and leaves the rest. Returns Docker's warnings.

    Raises InvalidInput, Conflict, and Unsupported for a limit that this host cannot enforce.
    """
    changed = merged(record.spec.resources, asked)
    if restart is not None and restart.name != "no" and record.spec.auto_remove:
        raise Conflict(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
        )
    limits.check(changed, cpus=os.cpu_count() or 1)
    warnings: tuple[str, ...] = ()
    if Status(starter.store.state(record.id).status).is_alive:
        parent = starter.store.cgroup_parent(record)
        try:
            warnings = starter.cgroups.at(parent, record.id).apply(asked)
        except OSError as error:  # such as less memory than is in use
            reason = os.strerror(error.errno or 0).lower()
            raise Conflict(f"Cannot update container {record.id}: {reason}") from error
        _update_supervisor(starter, record, changed, restart)
    _keep(starter, record, changed, restart)
    events_of(starter.store, record).emit("update")
    return warnings


def merged(now: Resources, asked: Resources) -> Resources:
    """`asked` where it sets a field, else `now`. Raises InvalidInput with Docker's texts."""
    swap = now.memory_swap or 2 * now.memory
    if 0 < swap < asked.memory and not asked.memory_swap:
        raise InvalidInput(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    for is_period, name in ((asked.cpu_period, "Period"), (asked.cpu_quota, "Quota")):
        if is_period and now.nano_cpus:
            raise InvalidInput(f"CPU {name} cannot be updated as NanoCPUs has already been set")
    if asked.nano_cpus and (now.cpu_period or now.cpu_quota):
        which = "Period" if now.cpu_period else "Quota"
        raise InvalidInput(f"Nano CPUs cannot be updated as CPU {which} has already been set")
    changed = {name: value for name, value in asdict(asked).items() if value}
    return replace(now, **changed)


def _update_supervisor(
    starter: Starter, record: Record, changed: Resources, restart: RestartPolicy | None
) -> None:
    """The supervisor restarts the program with the new limits and by the new policy."""
    parent = starter.store.cgroup_parent(record)
    operation = LimitResources.of(parent, record.id, changed)
    try:
        process = starter.store.connect(record.id)
    except Conflict:
        return  # it has ended meanwhile
    try:
        process.request(
            "update",
            limits=to_wire((operation,)),
            restart=(restart.name, restart.maximum) if restart else None,
        )
    finally:
        process.close()


def _keep(
    starter: Starter, record: Record, changed: Resources, restart: RestartPolicy | None
) -> None:
    """Writes to the row as it is now: the name may have changed since `record` was read."""
    with starter.store.database.transaction() as connection:
        row = connection.execute("SELECT spec FROM containers WHERE id = ?", (record.id,))
        current = Record.decode(row.fetchone()[0])
        spec = replace(current.spec, resources=changed, restart=restart or current.spec.restart)
        connection.execute(
            "UPDATE containers SET spec = ? WHERE id = ?",
            (replace(current, spec=spec).encode(), record.id),
        )
