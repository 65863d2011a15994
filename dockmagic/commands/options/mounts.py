"""`-v`, `--mount` and `--tmpfs`: what is mounted where."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dockmagic.commands.units import parse_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Mount
from dockmagic_runtime.model.go_values import parse_bool

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PROPAGATION = frozenset("private rprivate shared rshared slave rslave".split())
# the words of -v's third part: one of each line at most
_MODES = (
    frozenset(["ro", "rw"]),
    frozenset(["z", "Z"]),  # SELinux's: there is nothing to relabel here, as on most machines
    _PROPAGATION,
    frozenset(["nocopy"]),
    frozenset(["consistent", "cached", "delegated", "default"]),
)
_KNOWN_MODES = frozenset[str]().union(*_MODES)
_KINDS = ("bind", "volume", "tmpfs", "image")

# ------------------------------------------------------------------------ -v


def parse_volume(text: str, driver: str = "") -> Mount:
    """One `-v`: `[HOST-DIR|NAME:]CONTAINER-DIR[:OPTIONS]`; `driver` makes a volume that is new."""
    parts = _sections(text)
    if len(parts) == 1:
        return Mount(kind="volume", target=_target(parts[0], text), driver=driver or "local")
    if len(parts) == 2 and _is_mode(parts[1]):
        raise InvalidInput(f"invalid volume specification: '{text}'")
    source, target, mode = parts[0], _target(parts[1], text), parts[2] if parts[2:] else ""
    if mode and not _is_mode(mode):
        raise InvalidInput(f"invalid mode: {mode}", hint=f"in '-v {text}'")
    words = tuple(mode.split(",")) if mode else ()
    if source.startswith(("/", "./", "../", "~")) or source in (".", ".."):
        return _bound(source, target, words, text)
    return _named(source, target, words, text, driver)


def _sections(text: str) -> list[str]:
    if not text:
        raise InvalidInput("invalid empty volume spec", hint="SOURCE:TARGET[:OPTIONS]")
    parts = text.split(":")
    if not all(parts):
        raise InvalidInput(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise InvalidInput(f"invalid spec: {text}: too many colons")
    return parts


def _is_mode(text: str) -> bool:
    words = text.split(",")
    return _KNOWN_MODES.issuperset(words) and all(
        sum(word in kind for word in words) <= 1 for kind in _MODES
    )


def _bound(source: str, target: str, words: tuple[str, ...], text: str) -> Mount:
    if "nocopy" in words:
        raise _misplaced(text, "bind", "VolumeOptions")
    return Mount(
        kind="bind",
        source=_host_path(source),
        target=target,
        read_only="ro" in words,
        options=words,
        create_source=True,
        propagation=next((word for word in words if word in _PROPAGATION), "rprivate"),
    )


def _named(source: str, target: str, words: tuple[str, ...], text: str, driver: str) -> Mount:
    _check_name(source)
    if not _PROPAGATION.isdisjoint(words):
        raise _misplaced(text, "volume", "BindOptions")
    return Mount(
        kind="volume",
        source=source,
        target=target,
        read_only="ro" in words,
        options=words,
        copy_up="nocopy" not in words,
        driver=driver or "local",
    )


def _misplaced(text: str, kind: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": "
        f"field {field} must not be specified"
    )


def _host_path(source: str) -> str:
    if "\0" in source:
        raise InvalidInput(f"invalid mount path: {source!r}", hint="no path has a null character")
    return os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - text, not a file


def _check_name(name: str) -> None:
    if not _VOLUME_NAME.fullmatch(name):
        raise InvalidInput(
            f'"{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            hint="if you intended to pass a host directory, use an absolute path",
        )


def _target(path: str, text: str) -> str:
    """The clean path of `-v` and `--tmpfs`. Raises InvalidInput."""
    return _clean(path, f"invalid volume specification: '{text}'")


def _clean(path: str, where: str) -> str:
    clean = posixpath.normpath(path)
    if not path.startswith("/"):
        raise InvalidInput(
            f"{where}: invalid mount path: '{path}' mount path must be absolute",
            hint=f"'{path}' is the path inside the container",
        )
    if clean.strip("/") == "":
        raise InvalidInput(f"{where}: invalid specification: destination can't be '/'")
    return f"/{clean.lstrip('/')}"


# ------------------------------------------------------------------- --tmpfs

_TMPFS_WORDS = frozenset(
    "atime async defaults dev diratime dirsync exec noatime nodev nodiratime noexec nosuid "
    "relatime ro rw strictatime suid sync".split()
)
_TMPFS_KEYS = frozenset("gid mode mpol nr_blocks nr_inodes size uid".split())


def parse_tmpfs(text: str) -> Mount:
    """One `--tmpfs`: `DIR[:OPTIONS]`."""
    path, _, options = text.partition(":")
    words = tuple(option for option in options.split(",") if option)
    for word in words:
        key, equals, _ = word.partition("=")
        if key not in (_TMPFS_KEYS if equals else _TMPFS_WORDS):
            raise InvalidInput(f'invalid tmpfs option "{word}"', hint=f"in '--tmpfs {text}'")
    return Mount(kind="tmpfs", target=_target(path, text), options=words)


# ------------------------------------------------------------------- --mount

_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SWITCHES = frozenset("readonly volume-nocopy bind-nonrecursive bind-create-src".split())
_KEYS = _SWITCHES | frozenset(
    "type source target consistency bind-propagation bind-recursive volume-driver volume-label "
    "volume-opt volume-subpath image-subpath tmpfs-mode tmpfs-size".split()
)
Fields = dict[str, list[str]]


def parse_mount(text: str) -> Mount:
    """One `--mount`: `type=…,source=…,target=…`. A problem is a ValueError for the flag."""
    fields: Fields = {}
    for key, value in _fields(text):
        fields.setdefault(key, []).append(value)
    kind = _last(fields, "type", "volume").lower()
    if not kind:
        raise ValueError("type is required")
    if kind not in _KINDS:
        raise ValueError(f"mount type '{kind}' is not supported, use one of {', '.join(_KINDS)}")
    if not _last(fields, "target"):
        raise ValueError("target is required")
    _check_owners(kind, fields)
    common = {
        "target": _clean(_last(fields, "target"), f'invalid mount config for type "{kind}"'),
        "read_only": _truth(fields, "readonly"),
    }
    return _READERS[kind](fields, _last(fields, "source"), common)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """A field with a comma in it is written in quotes: the line is one of a CSV file."""
    import csv  # `-v` needs none

    try:
        (words,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise ValueError(f"parse error on line 1: {text}") from None
    for field in words:
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


def _check_owners(kind: str, fields: Fields) -> None:
    for key in fields:
        owner, dash, _ = key.partition("-")
        if dash and owner != kind:
            raise ValueError(f"cannot mix '{owner}-*' options with mount type '{kind}'")


def _bind(fields: Fields, source: str, common: dict[str, Any]) -> Mount:
    if not source:
        raise ValueError("source is required")
    propagation = _last(fields, "bind-propagation").lower()
    if propagation and propagation not in _PROPAGATION:
        raise ValueError(f"invalid propagation value: {propagation}")
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
        _check_name(source)
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
        raise ValueError("source is required")
    subpath = _last(fields, "image-subpath")
    return Mount(kind="image", source=source, subpath=subpath, **{**common, "read_only": True})


def _tmpfs(fields: Fields, source: str, common: dict[str, Any]) -> Mount:
    if source:
        raise ValueError("cannot mix 'source' with mount type 'tmpfs'")
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


def check_unique(mounts: Iterable[Mount]) -> None:
    """Raises InvalidInput for two mounts on one place; `-v /path` gives way to any other."""
    seen: set[str] = set()
    for mount in mounts:
        if mount.kind == "volume" and not mount.source:
            continue
        if mount.target in seen:
            raise InvalidInput(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)
