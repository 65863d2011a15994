"""The control group of a host that lets us have none: rootless without delegation, confined."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic_runtime.cgroups.devices import DeviceRule
from dockmagic_runtime.cgroups.interface import CgroupStats
from dockmagic_runtime.cgroups.settings import settings_v2
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.model.container import Resources


def _unsupported(what: str) -> Unsupported:
    return Unsupported(
        f"{what} needs a cgroup, and this host lets us make none",
        hint="run as root, or let the host delegate a cgroup v2 subtree",
    )


class NoCgroup:
    """`Cgroup` that is nowhere: it counts nothing and refuses what should have an effect."""

    directories: tuple[str, ...] = ()
    cgroup_path = ""

    def create(self) -> None:
        """Nothing to make."""

    def exists(self) -> bool:
        return False

    def apply(self, limits: Resources) -> tuple[str, ...]:
        settings = settings_v2(limits)
        for setting in settings:
            if not setting.optional:
                raise _unsupported(f"a limit of {setting.controller}")
        return tuple(setting.optional for setting in settings)

    def allow_devices(self, rules: Sequence[DeviceRule]) -> None:
        raise _unsupported("keeping devices from a container")

    def join(self, pid: int) -> None:
        """Nothing to join."""

    def pids(self) -> tuple[int, ...]:
        raise _unsupported("listing a container's processes")

    def freeze(self) -> None:
        raise _unsupported("pausing a container")

    def thaw(self) -> None:
        raise _unsupported("pausing a container")

    def kill_all(self) -> None:
        """The end of the container's init ends its namespace's processes; there is no more."""

    def stats(self) -> CgroupStats:
        return CgroupStats()

    def oom_events(self) -> int:
        return 0

    def oom_alarm(self) -> tuple[int, int]:
        return -1, 0

    def delete(self) -> None:
        """Nothing to remove."""
