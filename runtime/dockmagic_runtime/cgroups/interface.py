"""`Cgroup`: one control group of ours, whichever version and however many trees it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from dockmagic_runtime.cgroups.devices import DeviceRule
from dockmagic_runtime.model.container import Resources


class CgroupStats(Struct, frozen=True, kw_only=True):
    """One sample. Nanoseconds of CPU; bytes of memory without what is only cached and could go;
    `memory_limit` 0 is none. A controller that is not there counts nothing."""

    cpu_ns: int = 0
    memory_bytes: int = 0
    memory_limit: int = 0
    pids: int = 0
    block_read: int = 0
    block_write: int = 0


class Cgroup(Protocol):
    """Every method may be called again after it succeeded, and in any process.

    Methods that change something raise OSError with the path, or a DockmagicError when the
    kernel's refusal has a meaning for the user.
    """

    @property
    def directories(self) -> tuple[str, ...]:
        """Where it lies: one directory in each tree."""
        ...

    @property
    def cgroup_path(self) -> str:
        """The directory for `Linux.clone_into_cgroup`; empty if a process has to join instead."""
        ...

    def create(self) -> None:
        """Make it, and its parent, where missing. Nothing that is not ours is moved or limited;
        on v2 controllers are enabled for children where that is needed and allowed."""
        ...

    def exists(self) -> bool: ...

    def apply(self, limits: Resources) -> tuple[str, ...]:
        """Set the limits that are asked for and leave the others as they are.

        Raises Unsupported for one that this host cannot give. Swap and block I/O weights alone
        are left out instead, as Docker does: the answer is Docker's warnings about that.
        """
        ...

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        """Deny all devices but those of `rules`. Raises Unsupported where nothing can."""
        ...

    def join(self, pid: int) -> None:
        """Move a process into it; 0 is the caller, which must have but one thread. What it forks
        from then on starts there."""
        ...

    def pids(self) -> tuple[int, ...]:
        """Its processes and those of groups made inside it, by the numbers of the caller."""
        ...

    def freeze(self) -> None:
        """Return when all its processes stand still. Raises Conflict when they do not."""
        ...

    def thaw(self) -> None: ...

    def kill_all(self) -> None:
        """SIGKILL to all its processes, frozen or not; return when none is left, or raise
        Conflict. Processes that were killed may still wait to be reaped."""
        ...

    def stats(self) -> CgroupStats: ...

    def oom_events(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        ...

    def oom_alarm(self) -> tuple[int, int]:
        """A descriptor, and the event that poll(2) reports on it when such a kill is near or has
        happened; (-1, 0) where there is none. Reading from its beginning arms it again."""
        ...

    def delete(self) -> None:
        """Remove it and what was made inside it. The processes must be gone."""
        ...
