"""What every container gets unless it asks otherwise: moby's lists
(daemon/pkg/oci/defaults.go).
"""

from __future__ import annotations

from typing import Final

NOEXEC: Final = ("nosuid", "noexec", "nodev")  # how file systems of the kernel are mounted
DEV_SETTINGS: Final = ("mode=755", "size=65536k")
DEVPTS_SETTINGS: Final = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")

MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# in a network namespace of the container's own: ping without a raw socket, low ports without a
# capability (moby daemon/oci_linux.go)
SYSCTLS: Final = {
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
}


def masked_paths(processors: int) -> tuple[str, ...]:
    """The masked paths on a host with so many processors: each has a directory of its own."""
    throttles = (
        f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(processors)
    )
    return (*MASKED_PATHS, *throttles)
