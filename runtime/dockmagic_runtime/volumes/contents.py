"""A volume's data as a `Root`, wherever they are: in the Docker area, on a device, on a server."""

from __future__ import annotations

from contextlib import ExitStack

from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.linux.root import Root
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.volume import Volume
from dockmagic_runtime.sandbox.filesystems import mount_failed, open_filesystem
from dockmagic_runtime.volumes.metadata import DATA
from dockmagic_runtime.volumes.options import Device


def open_volume(
    stack: ExitStack, volume: Volume, device: Device | None, subpath: str = ""
) -> tuple[Root, Root]:
    """The data, or what is at `subpath` in them, and a directory of ours on that file system.

    Both are closed with the stack, and a device is then no longer mounted. Raises StartFailed for
    a device that cannot be mounted, NotFound for a subpath that is not there, NotADirectoryError
    for one that is a file.
    """
    whole = stack.enter_context(_whole(volume, device))
    if device is None:
        beside = stack.enter_context(Root.at(volume.mountpoint.removesuffix(f"/{DATA}")))
    else:
        beside = whole
    if not subpath:
        return whole, beside
    try:
        return stack.enter_context(whole.subroot(subpath)), beside
    except FileNotFoundError as error:
        raise NotFound(
            f"cannot access path {volume.mountpoint}/{subpath}: no such file or directory"
        ) from error


def _whole(volume: Volume, device: Device | None) -> Root:
    if device is None:
        return Root.at(volume.mountpoint)
    try:
        return Root(open_filesystem(Kernel(), device.fstype, device.source, device.options))
    except OSError as error:
        raise mount_failed(volume.mountpoint, device.source, error) from error
