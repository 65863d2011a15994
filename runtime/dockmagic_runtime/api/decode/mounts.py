"""`Volumes`, `Binds`, `Tmpfs` and `Mounts` as the engine's mounts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any, Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model import container as model
from dockmagic_runtime.options.volumes import (
    check_name,
    check_unique,
    clean_target,
    host_path,
    parse_tmpfs,
    parse_volume,
)
from dockmagic_runtime.wire.container import ContainerConfig, HostSettings, Mount

_KINDS: Final = ("bind", "volume", "tmpfs", "image")


def mounts(config: ContainerConfig, host: HostSettings) -> tuple[model.Mount, ...]:
    """All of them, one above another in order. Raises InvalidInput."""
    binds = [parse_volume(text, host.VolumeDriver) for text in dict.fromkeys(host.Binds or ())]
    asked = [*binds, *map(_mount, host.Mounts or ()), *_tmpfs(host)]
    check_unique(asked)
    taken = {mount.target for mount in asked}
    anonymous = (
        parse_volume(target, host.VolumeDriver)
        for target in config.Volumes or ()
        if posixpath.normpath(target) not in taken
    )
    return tuple(sorted([*asked, *anonymous], key=lambda mount: mount.target.count("/")))


def _tmpfs(host: HostSettings) -> Iterator[model.Mount]:
    for target, options in (host.Tmpfs or {}).items():
        yield parse_tmpfs(f"{target}:{options}" if options else target)


def _mount(mount: Mount) -> model.Mount:
    if mount.Type not in _KINDS:
        raise InvalidInput(f"mount type unknown: {mount.Type!r}", hint=", ".join(_KINDS))
    where = f'invalid mount config for type "{mount.Type}"'
    if not mount.Target:
        raise InvalidInput(f"{where}: field Target must not be empty")
    target = clean_target(mount.Target, where)
    if mount.Type == "bind":
        return _bind(mount, target, where)
    if mount.Type == "volume":
        return _volume(mount, target)
    if mount.Type == "image":
        subpath = mount.ImageOptions.Subpath if mount.ImageOptions else ""
        return model.Mount(
            kind="image", source=mount.Source, target=target, read_only=True, subpath=subpath
        )
    if mount.Source:
        raise InvalidInput(f"{where}: field Source must not be specified")
    return model.Mount(
        kind="tmpfs", target=target, read_only=mount.ReadOnly, options=tuple(_options(mount))
    )


def _options(mount: Mount) -> Iterator[str]:
    if mount.TmpfsOptions is not None:
        if mount.TmpfsOptions.SizeBytes:
            yield f"size={mount.TmpfsOptions.SizeBytes}"
        if mount.TmpfsOptions.Mode:
            yield f"mode={mount.TmpfsOptions.Mode & 0o7777:o}"
        for option in mount.TmpfsOptions.Options or ():
            yield "=".join(option or ())


def _bind(mount: Mount, target: str, where: str) -> model.Mount:
    if not mount.Source.startswith("/"):
        raise InvalidInput(
            f"{where}: invalid mount path: '{mount.Source}' mount path must be absolute"
        )
    common: dict[str, Any] = {"kind": "bind", "source": host_path(mount.Source), "target": target}
    options = mount.BindOptions
    if options is None:
        return model.Mount(**common, read_only=mount.ReadOnly)
    return model.Mount(
        **common,
        read_only=mount.ReadOnly,
        create_source=options.CreateMountpoint,
        propagation=options.Propagation or "rprivate",
        recursive=not options.NonRecursive,
        submounts_read_only=not options.ReadOnlyNonRecursive,
    )


def _volume(mount: Mount, target: str) -> model.Mount:
    if mount.Source:
        check_name(mount.Source)
    common: dict[str, Any] = {"kind": "volume", "source": mount.Source, "target": target}
    options = mount.VolumeOptions
    if options is None:
        return model.Mount(**common, read_only=mount.ReadOnly)
    driver = options.DriverConfig
    return model.Mount(
        **common,
        read_only=mount.ReadOnly,
        copy_up=not options.NoCopy,
        subpath=options.Subpath,
        labels=tuple((options.Labels or {}).items()),
        driver=(driver.Name if driver else "") or "local",
        driver_options=tuple((driver.Options or {}).items()) if driver else (),
    )
