"""The mounts of a container in `inspect`: as requested (`HostConfig`) and as mounted."""

from __future__ import annotations

from typing import Any

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import ContainerSpec, Mount


def mounts(store: ContainerStore, record: Record) -> list[dict[str, Any]]:
    """Docker's `Mounts`: everything that is mounted, from any source."""
    return [_mount(store, record, mount) for mount in record.mounts]


def _mount(store: ContainerStore, record: Record, mount: Mount) -> dict[str, Any]:
    is_volume = mount.kind == "volume"
    name = {"Name": mount.source} if is_volume else {}
    source = f"{store.data_root.path}/volumes/{mount.source}/_data" if is_volume else mount.source
    return {
        "Type": mount.kind,
        **name,
        "Source": source,
        "Destination": mount.target,
        **({"Driver": mount.driver} if is_volume else {}),
        "Mode": _mode(record, mount),
        "RW": not mount.read_only,
        "Propagation": mount.propagation if mount.kind in ("bind", "image") else "",
    }


def _mode(record: Record, mount: Mount) -> str:
    """The options of `-v`; Docker writes `z` for a named volume without options."""
    if mount.kind not in ("bind", "volume"):
        return ""
    is_named = mount.kind == "volume" and mount.source not in record.anonymous_volumes
    return ",".join(mount.options) or ("z" if is_named else "")


def host_config(spec: ContainerSpec) -> dict[str, Any]:
    """The mounts in Docker's `HostConfig`, by the flag that requests them."""
    binds = [mount for mount in spec.mounts if _is_plain(mount)]
    others = [m for m in spec.mounts if m.kind != "tmpfs" and m.source and not _is_plain(m)]
    memory = [mount for mount in spec.mounts if mount.kind == "tmpfs"]
    return {
        "Binds": [_bind(mount) for mount in binds] or None,
        **({"Mounts": [_asked(mount) for mount in others]} if others else {}),
        **(
            {"Tmpfs": {mount.target: ",".join(mount.options) for mount in memory}} if memory else {}
        ),
        "VolumesFrom": list(spec.volumes_from) or None,
        "VolumeDriver": "",
    }


def _is_plain(mount: Mount) -> bool:
    """Whether `-v` can request it; the others need `--mount`."""
    if mount.kind == "bind":
        return mount.create_source
    is_special = mount.subpath or mount.driver_options or mount.labels
    return mount.kind == "volume" and bool(mount.source) and not is_special


def _bind(mount: Mount) -> str:
    words = mount.options or (("ro",) if mount.read_only else ())
    return ":".join([mount.source, mount.target, *([",".join(words)] if words else [])])


def _asked(mount: Mount) -> dict[str, Any]:
    asked: dict[str, Any] = {"Type": mount.kind, "Source": mount.source, "Target": mount.target}
    if mount.read_only and mount.kind != "image":
        asked["ReadOnly"] = True
    options = {"bind": _bind_options, "volume": _volume_options, "image": _image_options}
    if more := options[mount.kind](mount):
        asked[f"{mount.kind.capitalize()}Options"] = more
    return asked


def _bind_options(mount: Mount) -> dict[str, Any]:
    propagation = {"Propagation": mount.propagation} if mount.propagation != "rprivate" else {}
    recursive = {} if mount.recursive else {"NonRecursive": True}
    writable = {} if mount.submounts_read_only else {"ReadOnlyNonRecursive": True}
    return {**propagation, **recursive, **writable}


def _volume_options(mount: Mount) -> dict[str, Any]:
    driver = {"Name": mount.driver, "Options": dict(mount.driver_options)}
    return {
        **({} if mount.copy_up else {"NoCopy": True}),
        **({"Labels": dict(mount.labels)} if mount.labels else {}),
        **({"DriverConfig": driver} if mount.driver_options else {}),
        **_image_options(mount),
    }


def _image_options(mount: Mount) -> dict[str, Any]:
    return {"Subpath": mount.subpath} if mount.subpath else {}
