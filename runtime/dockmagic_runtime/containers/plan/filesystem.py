"""The file system's part of a container's plan: root, kernel file systems, mounts, devices, masks.

Pure, but for the devices, which are those in the host's /dev (`plan.devices`).
"""

from __future__ import annotations

import os

from dockmagic_runtime.cgroups import CgroupView
from dockmagic_runtime.containers.plan import defaults, devices, sysctls
from dockmagic_runtime.containers.plan.inputs import PlanInputs
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.model.container import ContainerSpec, Mount
from dockmagic_runtime.sandbox.devices import MakeDeviceNodes
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
from dockmagic_runtime.sandbox.terminal import MountDevpts
from dockmagic_runtime.sandbox.user_mounts import (
    BindMount,
    MountImage,
    MountTmpfs,
    OpenSharedSource,
    OpenVolume,
)


def root(record: Record, inputs: PlanInputs) -> list[Operation]:
    """The overlay and what the kernel shows in it."""
    spec = record.spec
    sys_options = defaults.NOEXEC if spec.privileged else (*defaults.NOEXEC, "ro")
    return [
        MakeMountsPrivate(),
        MountOverlay(
            lowers=inputs.lowers,
            upper=inputs.upper,
            work=inputs.work,
            target=inputs.rootfs,
            volatile=spec.auto_remove,
        ),
        MountFilesystem("proc", "/proc", (), defaults.NOEXEC),
        MountFilesystem("tmpfs", "/dev", defaults.DEV_SETTINGS, ("nosuid", "strictatime")),
        MakeDevices(),
        *_device_nodes(spec),
        MountDevpts(defaults.DEVPTS_SETTINGS, ("nosuid", "noexec")),
        MountFilesystem("sysfs", "/sys", (), sys_options),
        *_cgroups(inputs.cgroup_view),
        *_ipc(spec, inputs),
    ]


def _cgroups(view: CgroupView) -> list[Operation]:
    if not view.mounts:
        return []
    mounts = tuple((at.fstype, at.target, at.settings, at.attributes) for at in view.mounts)
    return [MountCgroups(mounts, view.links)]


def _ipc(spec: ContainerSpec, inputs: PlanInputs) -> list[Operation]:
    """POSIX message queues and shared memory: the container's own, the host's, or another's."""
    queues = MountFilesystem(
        "mqueue", "/dev/mqueue", (), defaults.NOEXEC
    )  # of the namespace it is in
    if spec.ipc_mode == "host":
        return [queues, BindMount("/dev/shm", "/dev/shm")]
    if "ipc" in inputs.joined:
        return [queues, BindFromContainer(inputs.joined["ipc"], "/dev/shm")]
    if spec.ipc_mode == "none":
        return [queues]
    size = f"size={spec.shm_size}"
    return [queues, MountFilesystem("tmpfs", "/dev/shm", ("mode=1777", size), defaults.NOEXEC)]


def sources(record: Record, inputs: PlanInputs) -> list[Operation]:
    """What the child has to open before it leaves the host's namespaces."""
    shared = (
        OpenSharedSource(mount.source, mount.target, mount.propagation, mount.recursive)
        for mount in record.mounts
        if mount.kind == "bind" and not mount.propagation.endswith("private")
    )
    return [*volume_sources(inputs), *shared]


def volume_sources(inputs: PlanInputs) -> list[Operation]:
    """The file systems of volumes with driver options."""
    return [
        OpenVolume(
            target,
            inputs.sources[target],
            device.fstype,
            device.source,
            device.options,
            inputs.peers.get(target, (0, 0, "")),
        )
        for target, device in inputs.devices.items()
    ]


def mounts(record: Record, inputs: PlanInputs) -> list[Operation]:
    """What the user mounts, in the record's order (parents first), then Docker's three files.

    `sources` come before, in the same process.
    """
    return [
        *(_mount(mount, inputs) for mount in record.mounts),
        *inputs.step_mounts,
        *_etc_files(record, inputs),
    ]


def _mount(mount: Mount, inputs: PlanInputs) -> Operation:
    if mount.kind == "tmpfs":
        options = (*defaults.NOEXEC, *(["ro"] if mount.read_only else []), *mount.options)
        return MountTmpfs(mount.target, options)
    if mount.kind == "image":
        lowers = inputs.images[mount.target]
        return MountImage(mount.source, mount.target, lowers, inputs.rootfs, mount.subpath)
    return BindMount(
        source=inputs.sources[mount.target] if mount.kind == "volume" else mount.source,
        target=mount.target,
        read_only=mount.read_only,
        recursive=mount.recursive,
        propagation=mount.propagation,
        subpath=mount.subpath,
        submounts_read_only=mount.submounts_read_only,
    )


def _etc_files(record: Record, inputs: PlanInputs) -> list[Operation]:
    """Docker's three files, unless the user has mounted something there."""
    taken = {os.path.normpath(mount.target) for mount in record.mounts}
    return [
        BindMount(source=f"{inputs.etc}/{name}", target=f"/etc/{name}", recursive=False)
        for name in ("hosts", "hostname", "resolv.conf")
        if f"/etc/{name}" not in taken and "/etc" not in taken
    ]


def protections(record: Record, inputs: PlanInputs) -> list[Operation]:
    """After the pivot: what hides the host. `--privileged` lifts exactly the masks."""
    spec = record.spec
    operations: list[Operation] = []
    if settings := sysctls.settings(spec, inputs):
        operations.append(WriteSysctls(tuple(sorted(settings.items()))))
    if not spec.privileged and "systempaths=unconfined" not in spec.security_opt:
        operations.append(MaskPaths(defaults.masked_paths(inputs.processors)))
        operations.append(MakeReadOnly(defaults.READ_ONLY_PATHS))
    if spec.read_only:
        operations.append(MakeRootReadOnly())
    return operations


def _device_nodes(spec: ContainerSpec) -> list[Operation]:
    nodes = tuple(node for device in devices.given(spec) for node in devices.nodes(device))
    return [MakeDeviceNodes(nodes)] if nodes else []
