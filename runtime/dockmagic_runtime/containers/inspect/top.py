"""`top`: the processes of a container, with their pids on the host."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic_runtime.cgroups import Cgroups
from dockmagic_runtime.containers.events.journal import events_of
from dockmagic_runtime.containers.inspect import ps_columns
from dockmagic_runtime.containers.inspect.processes import read_process
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import ProcessTable, Status
from dockmagic_runtime.model.transitions import Action, check


def top(
    store: ContainerStore, cgroups: Cgroups, record: Record, words: Sequence[str]
) -> ProcessTable:
    """The processes as ps(1) shows them; `words` are its options, by default -ef.

    Raises Conflict when the container does not run; InvalidInput, Unsupported for the options.
    """
    columns = ps_columns.columns(words or ("-ef",))
    if "PID" not in [column.heading for column in columns]:
        raise InvalidInput("Couldn't find PID field in ps output")
    status = Status(store.state(record.id).status)
    check(Action.TOP, status, id=record.id)
    pids = sorted(cgroups.at(store.cgroup_parent(record), record.id).pids())
    events_of(store, record).emit("top")
    processes = [info for pid in pids if (info := read_process(pid)) is not None]
    return ProcessTable(
        titles=tuple(column.heading for column in columns),
        processes=tuple(tuple(column.text(process) for column in columns) for process in processes),
    )
