"""`-v` with a path relative to here, and `--mount`: what is mounted where."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from dockmagic.commands.options import csv_line
from dockmagic.commands.units import parse_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Mount
from dockmagic_runtime.model.go_values import parse_bool
from dockmagic_runtime.options import volumes
from dockmagic_runtime.options.volumes import PROPAGATIONS, check_name, clean_target

_KINDS = ("bind", "volume", "tmpfs", "image")

# ------------------------------------------------------------------------ -v


def parse_volume(text: str, driver: str = "") -> Mount:
    """One `-v`: `[HOST-DIR|NAME:]CONTAINER-DIR[:OPTIONS]`; a host directory may be relative."""
    source, colon, rest = text.partition(":")
    if colon and (source.startswith(("/", "./", "../", "~")) or source in (".", "..")):
        text = f"{_host_path(source)}:{rest}"
    return volumes.parse_volume(text, driver)


def _host_path(source: str) -> str:
    if "\0" in source:
        raise InvalidInput(f"invalid mount path: {source!r}", hint="no path has a null character")
    return os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - text, not a file


# ------------------------------------------------------------------- --mount

_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SWITCHES = frozenset("readonly volume-nocopy bind-nonrecursive bind-create-src".split())
_KEYS = _SWITCHES | frozenset(
    "type source target consistency bind-propagation bind-recursive volume-driver volume-label "
    "volume-opt volume-subpath image-subpath tmpfs-mode tmpfs-size".split()
)
Fields = dict[str, list[str]]


def parse_mount(text: str) -> Mount:
    """One `--mount`: `type=…,source=…,target=…`. A problem is a ValueError for the flag, or an
    InvalidInput where Docker's daemon finds it."""
    fields: Fields = {}
    for key, value in _fields(text):
        fields.setdefault(key, []).append(value)
    kind = _last(fields, "type", "volume").lower()
    if not kind:
        raise ValueError("type is required")
    if not _last(fields, "target"):
        raise ValueError("target is required")
    if kind not in _KINDS:
        raise _wrong(kind, "mount type unknown", hint=f"use one of {', '.join(_KINDS)}")
    _check_owners(kind, fields)
    common = {
        "target": clean_target(_last(fields, "target"), f'invalid mount config for type "{kind}"'),
        "read_only": _truth(fields, "readonly"),
    }
    return _READERS[kind](fields, _last(fields, "source"), common)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """A field with a comma in it is written in quotes: the line is one of a CSV file."""
    for field in csv_line.fields(text):
        name, equals, value = field.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if not equals:
            if key not in _SWITCHES:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        if key not in _KEYS:
            raise ValueError(f"unexpected key '{name}' in '{field}'")
        yield key, value


def _last(fields: Fields, key: str, default: str = "") -> str:
    return fields.get(key, [default])[-1]


def _truth(fields: Fields, key: str) -> bool:
    text = _last(fields, key, "false")
    try:
        return parse_bool(text)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {text}") from None


def _wrong(kind: str, reason: str, hint: str = "") -> InvalidInput:
    """What Docker's client leaves to the daemon."""
    return InvalidInput(f'invalid mount config for type "{kind}": {reason}', hint=hint)


def _check_owners(kind: str, fields: Fields) -> None:
    for key in fields:
        owner, dash, _ = key.partition("-")
        if dash and owner != kind:
            raise ValueError(f"cannot mix '{owner}-*' options with mount type '{kind}'")


def _bind(fields: Fields, source: str, common: dict[str, Any]) -> Mount:
    if not source:
        raise _wrong("bind", "field Source must not be empty")
    if not source.startswith(("/", "./", "../", "~")) and source not in (".", ".."):
        raise _wrong("bind", f"invalid mount path: '{source}' mount path must be absolute")
    propagation = _last(fields, "bind-propagation").lower()
    if propagation and propagation not in PROPAGATIONS:
        raise _wrong("bind", f"invalid propagation mode: {propagation}")
    recursive = _last(fields, "bind-recursive", "enabled")
    _check_recursive(recursive, propagation, common["read_only"])
    return Mount(
        kind="bind",
        source=_host_path(source),
        create_source=_truth(fields, "bind-create-src"),
        propagation=propagation or "rprivate",
        recursive=recursive != "disabled" and not _truth(fields, "bind-nonrecursive"),
        submounts_read_only=recursive != "writable",
        **common,
    )


def _check_recursive(recursive: str, propagation: str, read_only: bool) -> None:
    if recursive not in ("enabled", "disabled", "writable", "readonly"):
        raise ValueError(
            f"invalid value for bind-recursive: {recursive} "
            '(must be "enabled", "disabled", "writable", or "readonly")'
        )
    option = f"option 'bind-recursive={recursive}' requires"
    if recursive in ("writable", "readonly") and not read_only:
        raise ValueError(f"{option} 'readonly' to be specified in conjunction")
    if recursive == "readonly" and propagation != "rprivate":
        raise ValueError(f"{option} 'bind-propagation=rprivate' to be specified in conjunction")


def _volume(fields: Fields, source: str, common: dict[str, Any]) -> Mount:
    if source:
        check_name(source)
    return Mount(
        kind="volume",
        source=source,
        copy_up=not _truth(fields, "volume-nocopy"),
        subpath=_last(fields, "volume-subpath"),
        driver=_last(fields, "volume-driver") or "local",
        driver_options=_pairs(fields, "volume-opt"),
        labels=_pairs(fields, "volume-label"),
        **common,
    )


def _pairs(fields: Fields, key: str) -> tuple[tuple[str, str], ...]:
    pairs = (text.partition("=") for text in fields.get(key, ()))
    return tuple((name, value) for name, _, value in pairs if name)


def _image(fields: Fields, source: str, common: dict[str, Any]) -> Mount:
    if not source:
        raise _wrong("image", "field Source must not be empty")
    subpath = _last(fields, "image-subpath")
    return Mount(kind="image", source=source, subpath=subpath, **{**common, "read_only": True})


def _tmpfs(fields: Fields, source: str, common: dict[str, Any]) -> Mount:
    if source:
        raise _wrong("tmpfs", "field Source must not be specified")
    return Mount(kind="tmpfs", options=tuple(_tmpfs_options(fields)), **common)


def _tmpfs_options(fields: Fields) -> Iterator[str]:
    if mode := _last(fields, "tmpfs-mode"):
        if not re.fullmatch("[0-7]{1,11}", mode):
            raise ValueError(f"invalid value for tmpfs-mode: {mode}")
        yield f"mode={mode}"
    if size := _last(fields, "tmpfs-size"):
        try:
            yield f"size={parse_size(size)}"
        except ValueError:
            raise ValueError(f"invalid value for tmpfs-size: {size}") from None


_READERS: dict[str, Callable[[Fields, str, dict[str, Any]], Mount]] = {
    "bind": _bind, "volume": _volume, "image": _image, "tmpfs": _tmpfs,
}  # fmt: skip
