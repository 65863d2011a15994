"""The file system's part of a container's plan: root, kernel file systems, mounts, devices, masks.

Pure, but for `host_devices` and `device_nodes`, which look at the host's /dev.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from dockmagic_runtime.cgroups import CgroupView, DeviceRule
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Device, Mount
from dockmagic_runtime.sandbox.devices import MakeDeviceNodes, Node
from dockmagic_runtime.sandbox.mounts import (
    BindFromContainer,
    MakeDevices,
    MakeMountsPrivate,
    MakeReadOnly,
    MakeRootReadOnly,
    MaskPaths,
    MountCgroups,
    MountFilesystem,
    MountOverlay,
)
from dockmagic_runtime.sandbox.namespaces import WriteSysctls
from dockmagic_runtime.sandbox.operation import Operation
from dockmagic_runtime.sandbox.user_mounts import (
    BindMount,
    MountImage,
    MountTmpfs,
    OpenSharedSource,
    OpenVolume,
)

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


def root(record: Record, around: PlanInputs) -> list[Operation]:
    """The overlay and what the kernel shows in it."""
    spec = record.spec
    sys_options = _NOEXEC if spec.privileged else (*_NOEXEC, "ro")
    devpts = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return [
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
        *_devices(spec),
        MountFilesystem("devpts", "/dev/pts", devpts, ("nosuid", "noexec")),
        MountFilesystem("sysfs", "/sys", (), sys_options),
        *_cgroups(around.cgroup_view),
        *_ipc(spec, around),
    ]


def _cgroups(view: CgroupView) -> list[Operation]:
    if not view.mounts:
        return []
    mounts = tuple((one.fstype, one.target, one.settings, one.attributes) for one in view.mounts)
    return [MountCgroups(mounts, view.links)]


def _ipc(spec: ContainerSpec, around: PlanInputs) -> list[Operation]:
    """POSIX message queues and shared memory: the container's own, or whose it shares."""
    queues = MountFilesystem("mqueue", "/dev/mqueue", (), _NOEXEC)  # of the namespace it is in
    if spec.ipc_mode == "host":
        return [queues, BindMount("/dev/shm", "/dev/shm")]
    if "ipc" in around.joined:
        return [queues, BindFromContainer(around.joined["ipc"], "/dev/shm")]
    if spec.ipc_mode == "none":
        return [queues]
    size = f"size={spec.shm_size}"
    return [queues, MountFilesystem("tmpfs", "/dev/shm", ("mode=1777", size), _NOEXEC)]


def sources(record: Record, around: PlanInputs) -> list[Operation]:
    """What has to be opened while the child is still in the host's namespaces."""
    shared = (
        OpenSharedSource(mount.source, mount.target, mount.propagation, mount.recursive)
        for mount in record.mounts
        if mount.kind == "bind" and not mount.propagation.endswith("private")
    )
    return [*volume_sources(around), *shared]


def volume_sources(around: PlanInputs) -> list[Operation]:
    """The file systems of volumes with driver options."""
    return [
        OpenVolume(
            target,
            around.sources[target],
            device.fstype,
            device.source,
            device.options,
            around.peers.get(target, (0, 0, "")),
        )
        for target, device in around.devices.items()
    ]


def mounts(record: Record, around: PlanInputs) -> list[Operation]:
    """What the user mounts, in the record's order (parents first), then Docker's three files.

    `sources` come before, in the same process.
    """
    return [
        *(_mount(mount, around) for mount in record.mounts),
        *around.step_mounts,
        *_etc_files(record, around),
    ]


def _mount(mount: Mount, around: PlanInputs) -> Operation:
    if mount.kind == "tmpfs":
        options = (*_NOEXEC, *(["ro"] if mount.read_only else []), *mount.options)
        return MountTmpfs(mount.target, options)
    if mount.kind == "image":
        lowers = around.images[mount.target]
        return MountImage(mount.source, mount.target, lowers, around.rootfs, mount.subpath)
    return BindMount(
        source=around.sources[mount.target] if mount.kind == "volume" else mount.source,
        target=mount.target,
        read_only=mount.read_only,
        recursive=mount.recursive,
        propagation=mount.propagation,
        subpath=mount.subpath,
        submounts_read_only=mount.submounts_read_only,
    )


def _etc_files(record: Record, around: PlanInputs) -> list[Operation]:
    """Docker's three files, unless the user has mounted something there."""
    taken = {os.path.normpath(mount.target) for mount in record.mounts}
    return [
        BindMount(source=f"{around.etc}/{name}", target=f"/etc/{name}", recursive=False)
        for name in ("hosts", "hostname", "resolv.conf")
        if f"/etc/{name}" not in taken and "/etc" not in taken
    ]


def protections(record: Record, around: PlanInputs) -> list[Operation]:
    """After the pivot: what hides the host. `--privileged` lifts exactly the masks."""
    spec = record.spec
    operations: list[Operation] = []
    sysctls = {**_default_sysctls(spec, around), **spec.sysctls}
    if sysctls:
        operations.append(WriteSysctls(tuple(sorted(sysctls.items()))))
    if not spec.privileged and "systempaths=unconfined" not in spec.security_opt:
        throttles = [
            f"/sys/devices/system/cpu/cpu{number}/thermal_throttle"
            for number in range(around.processors)
        ]
        operations.append(MaskPaths((*MASKED, *throttles)))
        operations.append(MakeReadOnly(READ_ONLY))
    if spec.read_only:
        operations.append(MakeRootReadOnly())
    return operations


def _default_sysctls(spec: ContainerSpec, around: PlanInputs) -> dict[str, str]:
    """Docker's, in a network namespace of the container's own: ping without a raw socket, and low
    ports without a capability (moby daemon/oci_linux.go)."""
    if spec.network == "host" or "net" in around.joined:
        return {}
    return {
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "0",
    }


# ---------------------------------------------------------------------- devices


def _devices(spec: ContainerSpec) -> list[Operation]:
    nodes = tuple(node for device in given_devices(spec) for node in device_nodes(device))
    return [MakeDeviceNodes(nodes)] if nodes else []


def given_devices(spec: ContainerSpec) -> Sequence[Device]:
    """What the user gives; with `--privileged` everything in the host's /dev besides."""
    return (*spec.devices, *host_devices()) if spec.privileged else spec.devices


def device_nodes(device: Device) -> Iterator[Node]:
    """The nodes behind one `--device`: itself, or what a directory holds. Raises NotFound."""
    try:
        found = os.stat(device.source)
    except FileNotFoundError:
        raise NotFound(
            f'error gathering device information while adding custom device "{device.source}": '
            "no such file or directory"
        ) from None
    if stat.S_ISDIR(found.st_mode):
        for name in sorted(os.listdir(device.source)):
            below = Device(source=f"{device.source}/{name}", target=f"{device.target}/{name}")
            if _is_node(below.source) or os.path.isdir(below.source):
                yield from device_nodes(below)
    elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        yield _node(device.target, found)
    else:
        raise InvalidInput(
            f'error gathering device information while adding custom device "{device.source}": '
            "not a device node"
        )


def _node(path: str, found: os.stat_result) -> Node:
    kind = "c" if stat.S_ISCHR(found.st_mode) else "b"
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return path, kind, major, minor, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def _is_node(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def host_devices() -> list[Device]:
    """Every node of the host's /dev, but for terminals, which are never shared."""
    found = []
    for directory, names, files in os.walk("/dev"):
        names[:] = [name for name in names if name not in ("pts", "shm", "mqueue", "fd")]
        found += [
            Device(source=path, target=path)
            for name in files
            if name != "console" and _is_node(path := f"{directory}/{name}")
        ]
    return found


def device_rules(spec: ContainerSpec) -> tuple[DeviceRule, ...]:
    """What `--device` and `--device-cgroup-rule` open besides Docker's defaults."""
    rules = [
        DeviceRule(kind, major, minor, device.permissions)
        for device in spec.devices
        for _, kind, major, minor, *_ in device_nodes(device)
    ]
    return (*rules, *(DeviceRule.parse(text) for text in spec.device_cgroup_rules))
