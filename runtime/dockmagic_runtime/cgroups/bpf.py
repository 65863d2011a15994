"""The device rules of cgroup v2: a program of ours, asked by the kernel at every open and mknod."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from dockmagic_runtime.cgroups.devices import DeviceRule, device_program
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux


def attach_device_program(linux: Linux, directory: str, rules: Sequence[DeviceRule]) -> None:
    """Deny the processes below `directory` all devices but those of `rules`.

    With BPF_F_ALLOW_MULTI an access needs the consent of every program up to the root, so this
    can only ever take away. The group keeps the program: both descriptors may be closed.
    """
    program = _load(linux, rules)
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY
        target = linux.openat2(c.AT_FDCWD, directory, flags, 0, c.RESOLVE_NO_SYMLINKS)
        try:
            linux.bpf_attach(target, program, c.BPF_CGROUP_DEVICE, c.BPF_F_ALLOW_MULTI)
        finally:
            linux.close(target)
    finally:
        linux.close(program)


def _load(linux: Linux, rules: Sequence[DeviceRule]) -> int:
    try:
        return linux.bpf_load(c.BPF_PROG_TYPE_CGROUP_DEVICE, device_program(rules))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS):
            raise
        raise Unsupported(
            "this host does not let us load the program that keeps devices from a container",
            hint="it needs the capability BPF or SYS_ADMIN",
        ) from error
