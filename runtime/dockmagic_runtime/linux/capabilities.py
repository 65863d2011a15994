"""Capabilities: names, bits, and which of them exist here.

A name has its CAP_ prefix, as in the kernel's header and in OCI's configurations.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

_LAST_CAP: Final = "/proc/sys/kernel/cap_last_cap"
_STATUS: Final = "/proc/self/status"

# include/uapi/linux/capability.h, in the order of the bits: CAP_CHOWN is 0
_ORDER: Final = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES: Final = tuple(f"CAP_{name}" for name in _ORDER.split())
_BIT: Final = {name: bit for bit, name in enumerate(NAMES)}


def bits(names: Iterable[str]) -> int:
    """The mask with the bit of each name. Raises KeyError for a name that is not in `NAMES`."""
    return sum(1 << _BIT[name] for name in set(names))


def names(mask: int) -> frozenset[str]:
    """The inverse of `bits`; bits that have no name here are left out."""
    return frozenset(name for bit, name in enumerate(NAMES) if mask >> bit & 1)


@lru_cache(maxsize=1)
def last_capability() -> int:
    """The highest bit that this kernel knows: dropping a bit above it is EINVAL."""
    with open(_LAST_CAP, "rb") as stream:
        return int(stream.read())


def available() -> frozenset[str]:
    """What a child of this process can still be given: its bounding set."""
    with open(_STATUS, "rb") as stream:
        for line in stream:
            if line.startswith(b"CapBnd:"):
                return names(int(line.split()[1], 16))
    return frozenset()


def restrict(linux: Linux, kept: int) -> None:
    """Leave this process and all it executes the capabilities `kept`, for good.

    Nothing stays inheritable or ambient, or a program with file capabilities could regain them
    (CVE-2022-29162). The bounding set goes first: dropping from it needs CAP_SETPCAP.
    """
    for bit in range(last_capability() + 1):
        if not kept >> bit & 1:
            linux.prctl(c.PR_CAPBSET_DROP, bit)
    linux.capset(kept, kept, 0)
    linux.clear_ambient()
