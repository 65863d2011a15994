"""`-v`, `--mount` and `--tmpfs`: what is mounted where."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Mount

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PROPAGATION = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
_CONSISTENCY = {"consistent", "cached", "delegated"}
_KINDS = ("bind", "volume", "tmpfs")


def parse_volume(text: str) -> Mount:
    """One `-v`: `[HOST-DIR|NAME:]CONTAINER-DIR[:OPTIONS]`."""
    parts = text.split(":")
    if not all(parts[:2]) or len(parts) > 3:
        raise InvalidInput(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        return Mount(kind="volume", target=_target(parts[0], text))
    source, target = parts[0], _target(parts[1], text)
    options = _volume_options(parts[2] if len(parts) == 3 else "", text)
    read_only = "ro" in options
    kept = tuple(option for option in options if option not in ("ro", "rw"))
    if source.startswith(("/", "./", "../", "~")) or source in (".", ".."):
        path = _host_path(source)
        return Mount(
            kind="bind", source=path, target=target, read_only=read_only,
            options=kept, create_source=True,
        )  # fmt: skip
    _check_name(source)
    return Mount(kind="volume", source=source, target=target, read_only=read_only, options=kept)


def _host_path(source: str) -> str:
    return os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - text, not a file


def _check_name(name: str) -> None:
    if not _VOLUME_NAME.fullmatch(name):
        raise InvalidInput(
            f'"{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            hint="if you intended to pass a host directory, use an absolute path",
        )


def _target(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise InvalidInput(
            f"invalid volume specification: '{text}': mount path must be absolute",
            hint=f"'{path}' is the path inside the container",
        )
    clean = posixpath.normpath(path)
    if clean.strip("/") == "":
        raise InvalidInput(f"invalid volume specification: '{text}': destination can't be '/'")
    return clean


def _volume_options(text: str, whole: str) -> tuple[str, ...]:
    options = tuple(text.split(",")) if text else ()
    known = {"ro", "rw", "z", "Z", "nocopy"} | _PROPAGATION | _CONSISTENCY
    for option in options:
        if option not in known:
            raise InvalidInput(f"invalid mode: {option}", hint=f"in '-v {whole}'")
    if "ro" in options and "rw" in options:
        raise InvalidInput(f"invalid mode: {text}", hint=f"in '-v {whole}'")
    return options


def parse_tmpfs(text: str) -> Mount:
    """One `--tmpfs`: `DIR[:OPTIONS]`."""
    path, _, options = text.partition(":")
    return Mount(
        kind="tmpfs",
        target=_target(path, text),
        options=tuple(option for option in options.split(",") if option),
    )


def parse_mount(text: str) -> Mount:
    """One `--mount`: `type=…,source=…,target=…`. A problem is a ValueError for the flag."""
    fields = dict(_fields(text))
    kind = fields.pop("type", "volume")
    if kind not in _KINDS:
        raise ValueError(f"mount type '{kind}' is not supported, use one of {', '.join(_KINDS)}")
    target, source = fields.pop("target", ""), fields.pop("source", "")
    if not target:
        raise ValueError("target is required")
    if kind == "bind" and not source:
        raise ValueError("source is required")
    if kind == "tmpfs" and source:
        raise ValueError("cannot mix 'source' with mount type 'tmpfs'")
    return Mount(
        kind=kind,
        source=_mount_source(kind, source),
        target=_target(target, text),
        read_only=_truth(fields.pop("readonly", "false"), "readonly"),
        options=tuple(_mount_options(kind, fields)),
    )


def _mount_source(kind: str, source: str) -> str:
    if kind == "bind":
        return _host_path(source)
    if source:
        _check_name(source)
    return source


_ALIASES = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly",
}  # fmt: skip
_SWITCHES = {"readonly", "volume-nocopy"}
_MOUNT_KEYS = {
    "type", "source", "target", "readonly", "volume-nocopy", "bind-propagation",
    "tmpfs-size", "tmpfs-mode", "consistency",
}  # fmt: skip


def _fields(text: str) -> Iterable[tuple[str, str]]:
    for field in text.split(","):
        name, equals, value = field.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if not equals:
            if key not in _SWITCHES:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        if key not in _MOUNT_KEYS:
            raise ValueError(f"unexpected key '{name}' in '{field}'")
        yield key, value


def _truth(text: str, key: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError(f"invalid value for {key}: {text}")


def _mount_options(kind: str, fields: dict[str, str]) -> Iterable[str]:
    for key, value in fields.items():
        owner = key.partition("-")[0]
        if owner in _KINDS and owner != kind:
            raise ValueError(f"cannot mix '{owner}-*' options with mount type '{kind}'")
        yield from _mount_option(key, value)


def _mount_option(key: str, value: str) -> Iterable[str]:
    if key == "volume-nocopy":
        return ("nocopy",) if _truth(value, key) else ()
    if key == "bind-propagation":
        if value not in _PROPAGATION:
            raise ValueError(f"invalid propagation value: {value}")
        return (value,)
    if key == "consistency":
        return ()  # a wish to Docker Desktop's file sharing; Linux has nothing to grant
    return (f"{key.removeprefix('tmpfs-')}={value}",)


def check_unique(mounts: Iterable[Mount]) -> None:
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise InvalidInput(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)
