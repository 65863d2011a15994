"""`stats`: one sample, from the container's cgroup and the counters of its veth pairs.

The CPU percentage is Docker's: the share of all processors' time since the previous sample, times
the number of processors, over at least a tenth of a second.
"""

from __future__ import annotations

import os
import time

from msgspec import Struct

from dockmagic_runtime.cgroups import Cgroup, Cgroups
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import Stats, Status
from dockmagic_runtime.model.transitions import Action, check

SHORTEST = 0.1  # seconds: the kernel accounts in ticks, a shorter interval is inaccurate
_MEMORY_OF_HOST = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Sample(Struct, frozen=True):
    time: float
    cpu_ns: int


class Sampler:
    """Keeps the previous sample of each container, for the percentage."""

    def __init__(self, store: ContainerStore, cgroups: Cgroups) -> None:
        self._store = store
        self._cgroups = cgroups
        self._previous: dict[str, _Sample] = {}

    def sample(self, record: Record) -> Stats:
        """A sample of now. Raises Conflict when the container does not run."""
        now = self._store.state(record.id)
        check(Action.STATS, Status(now.status), id=record.id, name=record.name)
        cgroup = self._cgroups.at(self._store.cgroup_parent(record), record.id)
        before = self._previous.get(record.id)
        if before is None:
            before = _Sample(time.monotonic(), cgroup.stats().cpu_ns)
        time.sleep(max(0.0, before.time + SHORTEST - time.monotonic()))
        veths = [end.get("veth", "") for end in now.networks.values()]
        return self._stats(record, cgroup, before, veths or [now.veth])

    def _stats(self, record: Record, cgroup: Cgroup, before: _Sample, veths: list[str]) -> Stats:
        usage = cgroup.stats()
        clock = time.monotonic()
        self._previous[record.id] = _Sample(clock, usage.cpu_ns)
        traffic = [_traffic(veth) for veth in veths]
        return Stats(
            id=record.id,
            name=record.name,
            time=time.time(),
            cpu_ns=usage.cpu_ns,
            cpu_percent=max(usage.cpu_ns - before.cpu_ns, 0) / max(clock - before.time, 1e-9) / 1e7,
            memory_bytes=usage.memory_bytes,
            memory_limit=usage.memory_limit or _MEMORY_OF_HOST,
            network_rx=sum(received for received, _ in traffic),
            network_tx=sum(sent for _, sent in traffic),
            block_read=usage.block_read,
            block_write=usage.block_write,
            pids=usage.pids,
        )


def _traffic(veth: str) -> tuple[int, int]:
    """(received, sent) by the container: the host's end of the pair counts the opposite.

    Zeros when the pair does not exist (any more): it goes with the container, with a network that
    is disconnected, and at any moment between two reads.
    """
    if not veth:
        return 0, 0
    directory = f"/sys/class/net/{veth}/statistics"
    try:
        return int(_text(f"{directory}/tx_bytes")), int(_text(f"{directory}/rx_bytes"))
    except OSError:
        return 0, 0


def _text(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()
