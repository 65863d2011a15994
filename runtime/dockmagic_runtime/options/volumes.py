"""`-v` and `Binds`, `--tmpfs` and `Tmpfs`: what is mounted where."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import Mount

_VOLUME_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"
PROPAGATIONS = frozenset("private rprivate shared rshared slave rslave".split())
# the words of -v's third part: one of each line at most
_MODES = (
    frozenset(["ro", "rw"]),
    frozenset(["z", "Z"]),  # SELinux's: there is nothing to relabel here, as on most machines
    PROPAGATIONS,
    frozenset(["nocopy"]),
    frozenset(["consistent", "cached", "delegated", "default"]),
)
_KNOWN_MODES = frozenset[str]().union(*_MODES)

# ------------------------------------------------------------------------ -v


def parse_volume(text: str, driver: str = "") -> Mount:
    """One `-v`: `[HOST-DIR|NAME:]CONTAINER-DIR[:OPTIONS]`; `driver` makes a volume that is new."""
    parts = _sections(text)
    if len(parts) == 1:
        target = clean_target(parts[0], f"invalid volume specification: '{text}'")
        return Mount(kind="volume", target=target, driver=driver or "local")
    if len(parts) == 2 and _is_mode(parts[1]):
        raise InvalidInput(f"invalid volume specification: '{text}'")
    source, mode = parts[0], parts[2] if parts[2:] else ""
    kind = "bind" if source.startswith("/") else "volume"
    target = clean_target(
        parts[1],
        f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\"",
    )
    if mode and not _is_mode(mode):
        raise InvalidInput(f"invalid mode: {mode}", hint=f"in '-v {text}'")
    words = tuple(mode.split(",")) if mode else ()
    if kind == "bind":
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
        source=host_path(source),
        target=target,
        read_only="ro" in words,
        options=words,
        create_source=True,
        propagation=next((word for word in words if word in PROPAGATIONS), "rprivate"),
    )


def _named(source: str, target: str, words: tuple[str, ...], text: str, driver: str) -> Mount:
    check_name(source)
    if not PROPAGATIONS.isdisjoint(words):
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


def host_path(source: str) -> str:
    """The clean form of an absolute path of the host."""
    if "\0" in source:
        raise InvalidInput(f"invalid mount path: {source!r}", hint="no path has a null character")
    return posixpath.normpath(source)


def check_name(name: str) -> None:
    """Raises InvalidInput for what is no name of a volume."""
    if not re.fullmatch(_VOLUME_NAME, name):
        raise InvalidInput(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def clean_target(path: str, where: str = "") -> str:
    """The clean form of an absolute path in the container; `where` begins the message.

    Raises InvalidInput.
    """
    where = where and f"{where}: "
    clean = posixpath.normpath(path)
    if not path.startswith("/"):
        raise InvalidInput(
            f"{where}invalid mount path: '{path}' mount path must be absolute",
            hint=f"'{path}' is the path inside the container",
        )
    if clean.strip("/") == "":
        raise InvalidInput(f"{where}invalid specification: destination can't be '/'")
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
    return Mount(kind="tmpfs", target=clean_target(path), options=words)


def check_unique(mounts: Iterable[Mount]) -> None:
    """Raises InvalidInput for two mounts on one place; `-v /path` gives way to any other."""
    seen: set[str] = set()
    for mount in mounts:
        if mount.kind == "volume" and not mount.source:
            continue
        if mount.target in seen:
            raise InvalidInput(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)
