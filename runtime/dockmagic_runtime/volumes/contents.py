"""A volume's data as a `Root`: in the data root, on a device, or on a server."""

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
    """The data, or `subpath` in them, and a directory on the same file system for the engine.

    Both are closed with the stack, which also unmounts a device. Raises StartFailed for a device
    that cannot be mounted, NotFound for a missing subpath, NotADirectoryError for one that is a
    file.
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
