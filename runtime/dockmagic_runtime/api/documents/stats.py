"""`GET /containers/{id}/stats`: two samples, of which a client computes the percentages."""

from __future__ import annotations

import os
import time
from typing import Any

from dockmagic_runtime.model.container import Container, Stats
from dockmagic_runtime.model.times import rfc3339

_ZERO = "0001-01-01T00:00:00Z"


def document(now: Stats, before: Stats | None) -> dict[str, Any]:
    """`before` is the sample that came a moment earlier; without one its fields are zeros."""
    return {
        "name": f"/{now.name}",
        "id": now.id,
        "read": rfc3339(now.time),
        "preread": rfc3339(before.time) if before else _ZERO,
        "pids_stats": {"current": now.pids},
        "blkio_stats": _block(now),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(now),
        "precpu_stats": _cpu(before) if before else _cpu(None),
        "memory_stats": {"usage": now.memory_bytes, "stats": {}, "limit": now.memory_limit},
        "networks": {
            "eth0": {
                "rx_bytes": now.network_rx,
                "rx_packets": 0,
                "rx_errors": 0,
                "rx_dropped": 0,
                "tx_bytes": now.network_tx,
                "tx_packets": 0,
                "tx_errors": 0,
                "tx_dropped": 0,
            }
        },
    }


def idle(container: Container) -> dict[str, Any]:
    """Of a container that does not run: zeros, as moby answers."""
    return {
        "name": f"/{container.name}",
        "id": container.id,
        "read": _ZERO,
        "preread": _ZERO,
        "pids_stats": {},
        "blkio_stats": dict.fromkeys(_BLOCK),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(None),
        "precpu_stats": _cpu(None),
        "memory_stats": {},
    }


_BLOCK = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def _block(stats: Stats) -> dict[str, Any]:
    moved = [
        {"major": 0, "minor": 0, "op": op, "value": count}
        for op, count in (("read", stats.block_read), ("write", stats.block_write))
    ]
    return {**dict.fromkeys(_BLOCK), "io_service_bytes_recursive": moved}


def _cpu(stats: Stats | None) -> dict[str, Any]:
    """The system's time is that of all processors together since the machine started."""
    throttling = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    usage = {
        "total_usage": stats.cpu_ns if stats else 0,
        "usage_in_kernelmode": 0,
        "usage_in_usermode": 0,
    }
    if stats is None:
        return {"cpu_usage": usage, "throttling_data": throttling}
    processors = os.cpu_count() or 1
    age = time.time() - stats.time
    system = int((time.clock_gettime(time.CLOCK_BOOTTIME) - age) * processors * 1e9)
    return {
        "cpu_usage": usage,
        "system_cpu_usage": system,
        "online_cpus": processors,
        "throttling_data": throttling,
    }
