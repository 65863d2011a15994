"""From a container's record to the plan of its sandbox. Pure: nothing is touched here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dockmagic_runtime.containers.exec import seccomp_choice
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.linux import rlimits
from dockmagic_runtime.linux.cgroups import CgroupView
from dockmagic_runtime.model.container import Mount
from dockmagic_runtime.sandbox import capabilities
from dockmagic_runtime.sandbox.cgroup_operations import (
    CreateCgroup,
    EnterSupervisorCgroup,
    JoinCgroup,
    LimitDevices,
    LimitResources,
)
from dockmagic_runtime.sandbox.directories import MakeDirectory
from dockmagic_runtime.sandbox.mounts import (
    BindMount,
    MakeDevices,
    MakeMountsPrivate,
    MakeReadOnly,
    MakeRootReadOnly,
    MaskPaths,
    MountCgroups,
    MountFilesystem,
    MountOverlay,
    PivotRoot,
)
from dockmagic_runtime.sandbox.namespaces import (
    AwaitNetwork,
    FreshKeyring,
    HandOverNetwork,
    JoinNamespace,
    SetHostname,
    Unshare,
    WriteSysctls,
)
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.plan import ProcessSpec, SandboxPlan
from dockmagic_runtime.sandbox.terminal import OpenTerminal

_NOEXEC: Final = ("nosuid", "noexec", "nodev")
# Docker's lists: moby daemon/pkg/oci/defaults.go
MASKED: Final = (
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
READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the plan needs to know about the host and about this start.

    `lowers` are the overlay's lower directories, topmost first; `etc` the directory with the
    files hosts, hostname and resolv.conf; `rootfs` an empty directory to mount on.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    rootfs: str
    etc: str
    cgroup_parent: str
    cgroup_view: CgroupView
    network: tuple[Operation, ...] = ()  # empty: the host's, or that of `join_network_of`
    join_network_of: int = 0
    volumes: dict[str, str]
    processors: int = 1


def plan(record: Record, around: Surroundings) -> SandboxPlan:
    """The plan for a start of `record`. Raises InvalidInput for options that contradict."""
    spec = record.spec
    inside = (
        *_apart(record, around),
        *_root(record, around),
        *(mount_operation(mount, around.volumes) for mount in record.mounts),
        *_etc_files(record, around),
        MakeDirectory(path=record.working_dir),
        *([OpenTerminal()] if spec.tty else []),
        PivotRoot(),
        *_protections(record, around.processors),
        *([AwaitNetwork()] if around.network else []),
    )
    return SandboxPlan(
        host=_host(record, around), network=around.network, inside=inside, process=_process(record)
    )


def _host(record: Record, around: Surroundings) -> tuple[Operation, ...]:
    parent, spec = around.cgroup_parent, record.spec
    limits = LimitResources.of(parent, record.id, spec.resources)
    return (
        EnterSupervisorCgroup(parent),
        CreateCgroup(parent, record.id),
        *([limits] if limits.limits else []),
        *([] if spec.privileged else [LimitDevices.of(parent, record.id)]),
    )


def _apart(record: Record, around: Surroundings) -> list[Operation]:
    spec = record.spec
    namespaces = ["mnt", "uts", "ipc", "cgroup"]
    own_network = spec.network != "host" and not around.join_network_of
    if own_network:
        namespaces.append("net")
    operations: list[Operation] = [
        JoinCgroup(around.cgroup_parent, record.id),
        Unshare(tuple(namespaces)),
    ]
    if around.join_network_of:
        operations.append(JoinNamespace("net", around.join_network_of))
    if around.network:
        operations.append(HandOverNetwork())
    operations.append(FreshKeyring())
    operations.append(SetHostname(record.hostname, spec.domainname))
    return operations


def _root(record: Record, around: Surroundings) -> list[Operation]:
    spec = record.spec
    writable_sys = spec.privileged
    operations: list[Operation] = [
        MakeMountsPrivate(),
        MountOverlay(
            lowers=around.lowers,
            upper=around.upper,
            work=around.work,
            target=around.rootfs,
            volatile=spec.auto_remove,
        ),
        MountFilesystem("proc", "/proc", (), _NOEXEC),
        MountFilesystem("tmpfs", "/dev", ("mode=755", "size=65536k"), ("nosuid", "strictatime")),
        MakeDevices(),
        MountFilesystem(
            "devpts",
            "/dev/pts",
            ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            ("nosuid", "noexec"),
        ),
        MountFilesystem("sysfs", "/sys", (), (*_NOEXEC, *(() if writable_sys else ("ro",)))),
        *_cgroup_mounts(around.cgroup_view),
        MountFilesystem("mqueue", "/dev/mqueue", (), _NOEXEC),
        MountFilesystem("tmpfs", "/dev/shm", ("mode=1777", f"size={spec.shm_size}"), _NOEXEC),
    ]
    return operations


def _cgroup_mounts(view: CgroupView) -> list[Operation]:
    if not view.mounts:
        return []
    mounts = tuple((one.fstype, one.target, one.settings, one.attributes) for one in view.mounts)
    return [MountCgroups(mounts, view.links)]


def mount_operation(mount: Mount, volumes: dict[str, str]) -> Operation:
    """The operation for one mount; `volumes` tells where each named volume's data is."""
    if mount.kind == "tmpfs":
        options = [one for one in mount.options if one in _TMPFS_FLAGS]
        settings = [one for one in mount.options if one not in _TMPFS_FLAGS]
        return MountFilesystem(
            "tmpfs",
            mount.target,
            tuple(settings) or ("mode=1777",),
            tuple(dict.fromkeys((*_NOEXEC, *options))),
            follow=True,
        )
    source = volumes[mount.source] if mount.kind == "volume" else mount.source
    return BindMount(source=source, target=mount.target, read_only=mount.read_only)


_TMPFS_FLAGS: Final = ("ro", *_NOEXEC)


def _etc_files(record: Record, around: Surroundings) -> list[Operation]:
    """Docker's three files, unless the user has mounted something there."""
    taken = {os.path.normpath(mount.target) for mount in record.mounts}
    return [
        BindMount(source=f"{around.etc}/{name}", target=f"/etc/{name}", recursive=False)
        for name in ("hosts", "hostname", "resolv.conf")
        if f"/etc/{name}" not in taken and "/etc" not in taken
    ]


def _protections(record: Record, processors: int) -> list[Operation]:
    """After the pivot: what hides the host. `--privileged` lifts exactly the first two."""
    spec = record.spec
    operations: list[Operation] = []
    if spec.sysctls:
        operations.append(WriteSysctls(tuple(sorted(spec.sysctls.items()))))
    if not spec.privileged:
        throttles = [
            f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(processors)
        ]
        operations.append(MaskPaths((*MASKED, *throttles)))
        operations.append(MakeReadOnly(READ_ONLY))
    if spec.read_only:
        operations.append(MakeRootReadOnly())
    return operations


def _process(record: Record) -> ProcessSpec:
    spec = record.spec
    kept = capabilities.resolve(spec.cap_add, spec.cap_drop, spec.privileged)
    return ProcessSpec(
        argv=record.argv,
        env=record.env,
        cwd=record.working_dir,
        user=record.user,
        groups=spec.group_add,
        terminal=spec.tty,
        capabilities=tuple(sorted(kept)),
        no_new_privileges=_no_new_privileges(spec.security_opt),
        seccomp="unconfined" if spec.privileged else seccomp_choice(spec.security_opt),
        rlimits=rlimits.resolve(spec.ulimits),
    )


def _no_new_privileges(options: Sequence[str]) -> bool:
    for option in options:
        key, _, value = re.sub("[:=]", "=", option, count=1).partition("=")
        if key == "no-new-privileges":
            return value in ("", "true")
        if key not in ("seccomp", "no-new-privileges", "label", "apparmor"):
            raise InvalidInput(f"invalid --security-opt 2: {option!r}")
    return False
