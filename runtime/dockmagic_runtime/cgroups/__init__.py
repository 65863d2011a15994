"""Control groups: limits, counting, freezing and ending, the same for versions 1 and 2."""

from dockmagic_runtime.cgroups.devices import DEFAULT_DEVICES, DeviceRule
from dockmagic_runtime.cgroups.host import CgroupMount, Cgroups, CgroupView, detect
from dockmagic_runtime.cgroups.interface import Cgroup, CgroupStats

__all__ = [
    "DEFAULT_DEVICES",
    "Cgroup",
    "CgroupMount",
    "CgroupStats",
    "CgroupView",
    "Cgroups",
    "DeviceRule",
    "detect",
]
