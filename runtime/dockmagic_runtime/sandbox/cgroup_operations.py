"""Operations that give a container its control group, limits and devices.

The start process executes them before it forks; `JoinCgroup` is the child's, before it enters a
cgroup namespace. What this host has is detected once for a launcher and all that it forks, and
kept in the slot `HOST_CGROUPS`; the container's own group is in `CGROUP`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from dockmagic_runtime.cgroups import DEFAULT_DEVICES, Cgroup, Cgroups, DeviceRule, detect
from dockmagic_runtime.cgroups.host import SUPERVISORS
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Resources
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation
from dockmagic_runtime.sandbox.slots import Slot

HOST_CGROUPS: Final = Slot[Cgroups]("control groups of this host")
CGROUP: Final = Slot[Cgroup]("the container's control group")
CLONED_INTO_CGROUP: Final = Slot[bool]("the child was cloned into its control group")
WARNINGS: Final = Slot[list[str]]("what this host could not give")
_MIB: Final = 1024 * 1024
_SECOND: Final = 1_000_000_000
_RATES: Final = {
    "read_bps": "rate of {} bytes/s from",
    "write_bps": "rate of {} bytes/s to",
    "read_iops": "rate of {} reads/s from",
    "write_iops": "rate of {} writes/s to",
}


def cgroups_of(context: Context) -> Cgroups:
    """This host's control groups, detected once."""
    host = HOST_CGROUPS.get(context.slots)
    if host is None:
        host = HOST_CGROUPS.put(context.slots, detect(context.linux))
    return host


def cgroup_of(context: Context, parent: str, name: str) -> Cgroup:
    """The container's group, as `CreateCgroup` left it in the context."""
    group = CGROUP.get(context.slots)
    return group if group is not None else cgroups_of(context).at(parent, name)


@operation
class EnterSupervisorCgroup(UndoneByKernel, frozen=True):
    """Move this process, and so what it forks, out of the service that started the engine: the end
    of the service does not end containers that were started with -d."""

    calls: ClassVar[tuple[str, ...]] = ("mkdir", "write cgroup.procs")

    parent: str

    def describe(self) -> str:
        return f"move the supervisor into the control group {self.parent}/supervisors"

    def execute(self, context: Context) -> None:
        group = cgroups_of(context).supervisors(self.parent)
        if not self._is_inside(context, group):
            group.create()
            group.join(0)

    def _is_inside(self, context: Context, group: Cgroup) -> bool:
        """The launcher may have moved there before it forked."""
        lines = context.linux.read_file("/proc/self/cgroup").decode().splitlines()
        inside = [line for line in lines if line.endswith(f"/{self.parent}/{SUPERVISORS}")]
        return len(inside) >= len(group.directories)


@operation
class CreateCgroup(Struct, frozen=True):
    """The container's own group, named like the container."""

    calls: ClassVar[tuple[str, ...]] = ("mkdir",)
    undoing: ClassVar[str] = "kill what is left in it, rmdir"

    parent: str
    name: str

    def describe(self) -> str:
        return f"create the control group {self.parent}/{self.name}"

    def execute(self, context: Context) -> None:
        group = cgroups_of(context).at(self.parent, self.name)
        # Processes in it are left from a start that was killed half-way, together with the process
        # that would have undone it. Two programs must not run on the same files.
        group.kill_all()
        try:
            group.create()
        except BaseException:
            group.delete()  # some of its directories may be there
            raise
        CGROUP.put(context.slots, group)

    def resume(self, context: Context) -> None:
        self.take_over(context, None, ())

    def keep(self, context: Context) -> tuple[None, tuple[int, ...]]:
        return None, ()

    def take_over(self, context: Context, value: None, fds: Sequence[int]) -> None:
        CGROUP.put(context.slots, cgroups_of(context).at(self.parent, self.name))

    def undo(self, context: Context) -> None:
        group = cgroup_of(context, self.parent, self.name)
        group.kill_all()
        group.delete()


@operation
class LimitResources(UndoneByKernel, frozen=True):
    """`limits` are (field of Resources, value), only those that are asked for."""

    calls: ClassVar[tuple[str, ...]] = ("write memory.*, cpu.*, pids.*",)

    parent: str
    name: str
    limits: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, parent: str, name: str, resources: Resources) -> LimitResources:
        unlimited = asdict(Resources())
        asked = asdict(resources).items()
        return cls(parent, name, tuple(item for item in asked if unlimited[item[0]] != item[1]))

    def resources(self) -> Resources:
        return Resources(**dict(self.limits))

    def describe(self) -> str:
        return f"limit the container to {', '.join(_words(self.resources())) or 'nothing'}"

    def execute(self, context: Context) -> None:
        limits = _with_device_numbers(self.resources())
        warnings = cgroup_of(context, self.parent, self.name).apply(limits)
        WARNINGS.setdefault(context.slots, []).extend(warnings)


def _with_device_numbers(limits: Resources) -> Resources:
    weights, throttles = limits.blkio_weight_devices, limits.throttles
    if not weights and not throttles:
        return limits
    return replace(
        limits,
        blkio_weight_devices=tuple((_number_of(path), weight) for path, weight in weights),
        throttles=tuple((kind, _number_of(path), rate) for kind, path, rate in throttles),
    )


def _number_of(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidInput(f"stat {path}: {(error.strerror or '').lower()}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidInput(f"{path} is not a block device, so there is nothing to limit")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _words(limits: Resources) -> list[str]:
    cpus = limits.nano_cpus / _SECOND
    if limits.cpu_quota > 0:
        cpus = limits.cpu_quota / (limits.cpu_period or 100_000)
    limited = {
        f"{limits.memory / _MIB:g} MiB of memory": limits.memory > 0,
        f"{limits.memory_swap / _MIB:g} MiB of memory and swap": limits.memory_swap > 0,
        f"a memory reservation of {limits.memory_reservation / _MIB:g} MiB": (
            limits.memory_reservation > 0
        ),
        f"{cpus:g} CPUs": cpus > 0,
        f"{limits.cpu_shares} CPU shares": limits.cpu_shares > 0,
        f"the CPUs {limits.cpuset_cpus}": bool(limits.cpuset_cpus),
        f"the memory nodes {limits.cpuset_mems}": bool(limits.cpuset_mems),
        f"{limits.pids_limit} processes": limits.pids_limit > 0,
        f"a swappiness of {limits.memory_swappiness}": limits.memory_swappiness is not None,
        "waiting for memory instead of being killed": limits.oom_kill_disable,
        f"{limits.cpu_rt_runtime} µs of real time": limits.cpu_rt_runtime > 0,
        f"a block I/O weight of {limits.blkio_weight}": limits.blkio_weight > 0,
    }
    return [
        *(words for words, is_asked in limited.items() if is_asked),
        *(f"a weight of {weight} on {path}" for path, weight in limits.blkio_weight_devices),
        *(f"a {_RATES[kind].format(rate)} {path}" for kind, path, rate in limits.throttles),
    ]


@operation
class LimitDevices(UndoneByKernel, frozen=True):
    """Deny all device nodes but `rules`, each (kind, major, minor, access), -1 meaning any."""

    calls: ClassVar[tuple[str, ...]] = ("write devices.deny and devices.allow, or bpf",)

    parent: str
    name: str
    rules: tuple[tuple[str, int, int, str], ...]

    @classmethod
    def of(
        cls, parent: str, name: str, rules: tuple[DeviceRule, ...] = DEFAULT_DEVICES
    ) -> LimitDevices:
        return cls(parent, name, tuple((r.kind, r.major, r.minor, r.access) for r in rules))

    def describe(self) -> str:
        opened = [str(DeviceRule(*rule)) for rule in self.rules]
        return f"deny the container all devices but {', '.join(opened)}"

    def execute(self, context: Context) -> None:
        rules = [DeviceRule(*rule) for rule in self.rules]
        cgroup_of(context, self.parent, self.name).allow_devices(rules)


@operation
class JoinCgroup(UndoneByKernel, frozen=True):
    """Move the container's init into the group: the child itself, or `Context.init_pid`.

    As the first operation it may have nothing to do: clone3 may have created the child in the
    group (`CLONED_INTO_CGROUP`).
    """

    calls: ClassVar[tuple[str, ...]] = ("clone3 CLONE_INTO_CGROUP, or write cgroup.procs",)

    parent: str
    name: str

    def describe(self) -> str:
        return f"join the control group {self.parent}/{self.name}"

    def execute(self, context: Context) -> None:
        if not CLONED_INTO_CGROUP.get(context.slots):
            cgroup_of(context, self.parent, self.name).join(context.init_pid)
