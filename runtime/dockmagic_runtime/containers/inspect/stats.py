"""`stats`: one sample, read from the container's cgroup and its cable's counters.

CPU percent is Docker's: the share of all processors' time since the previous sample, times the
number of processors. It is measured over a tenth of a second at least.
"""

from __future__ import annotations

import os
import time

from msgspec import Struct

from dockmagic_runtime.cgroups import Cgroup, Cgroups
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Stats, Status

SHORTEST = 0.1  # seconds: the kernel accounts in ticks, so a shorter interval says little
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
        """Now. Raises Conflict when the container does not run."""
        now = self._store.state(record.id)
        if not Status(now.status).is_alive:
            raise Conflict(f"Container {record.name} is not running")
        cgroup = self._cgroups.at(self._store.cgroup_parent(record), record.id)
        before = self._previous.get(record.id)
        if before is None:
            before = _Sample(time.monotonic(), cgroup.stats().cpu_ns)
        time.sleep(max(0.0, before.time + SHORTEST - time.monotonic()))
        cables = [one["veth"] for one in now.networks.values()]
        return self._stats(record, cgroup, before, cables or [now.veth])

    def _stats(self, record: Record, cgroup: Cgroup, before: _Sample, cables: list[str]) -> Stats:
        usage = cgroup.stats()
        clock = time.monotonic()
        self._previous[record.id] = _Sample(clock, usage.cpu_ns)
        traffic = [_cable(veth) for veth in cables]
        return Stats(
            id=record.id,
            name=record.name,
            time=time.time(),
            cpu_ns=usage.cpu_ns,
            cpu_percent=(usage.cpu_ns - before.cpu_ns) / max(clock - before.time, 1e-9) / 1e7,
            memory_bytes=usage.memory_bytes,
            memory_limit=usage.memory_limit or _MEMORY_OF_HOST,
            network_rx=sum(received for received, _ in traffic),
            network_tx=sum(sent for _, sent in traffic),
            block_read=usage.block_read,
            block_write=usage.block_write,
            pids=usage.pids,
        )


def _cable(veth: str) -> tuple[int, int]:
    """(received, sent) as the container sees it: the host's end counts the other way round."""
    if not veth:
        return 0, 0
    counters = [
        int(_text(f"/sys/class/net/{veth}/statistics/{name}")) for name in ("tx_bytes", "rx_bytes")
    ]
    return counters[0], counters[1]


def _text(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()
