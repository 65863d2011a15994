"""`--device` and `--privileged`: the nodes of the host's /dev that a container is given."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from dockmagic_runtime.cgroups import DeviceRule
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, Device
from dockmagic_runtime.sandbox.devices import Node


def given(spec: ContainerSpec) -> Sequence[Device]:
    """What the user gives; with `--privileged` everything in the host's /dev besides."""
    return (*spec.devices, *_on_host()) if spec.privileged else spec.devices


def nodes(device: Device) -> Iterator[Node]:
    """The nodes behind one `--device`: itself, or what a directory holds. Raises NotFound."""
    try:
        status = os.stat(device.source)
    except FileNotFoundError:
        failure = NotFound(
            f'error gathering device information while adding custom device "{device.source}": '
            "no such file or directory"
        )
        failure.exit_code = 127  # by its last words, as Docker's client
        raise failure from None
    if stat.S_ISDIR(status.st_mode):
        for name in sorted(os.listdir(device.source)):
            below = Device(source=f"{device.source}/{name}", target=f"{device.target}/{name}")
            if _is_node(below.source) or os.path.isdir(below.source):
                yield from nodes(below)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        yield _node(device.target, status)
    else:
        raise InvalidInput(
            f'error gathering device information while adding custom device "{device.source}": '
            "not a device node"
        )


def _node(path: str, status: os.stat_result) -> Node:
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return path, kind, major, minor, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _is_node(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _on_host() -> list[Device]:
    """Every node of the host's /dev, but for terminals, which are never shared."""
    devices: list[Device] = []
    for directory, names, files in os.walk("/dev"):
        names[:] = [name for name in names if name not in ("pts", "shm", "mqueue", "fd")]
        devices += [
            Device(source=path, target=path)
            for name in files
            if name != "console" and _is_node(path := f"{directory}/{name}")
        ]
    return devices


def rules(spec: ContainerSpec) -> tuple[DeviceRule, ...]:
    """What `--device` and `--device-cgroup-rule` open besides Docker's defaults."""
    given_rules = [
        DeviceRule(kind, major, minor, device.permissions)
        for device in spec.devices
        for _, kind, major, minor, *_ in nodes(device)
    ]
    return (*given_rules, *(DeviceRule.parse(text) for text in spec.device_cgroup_rules))
