"""Layers' tars as foreign tools write them, and trees as they look from outside."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path

Member = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]
Tree = dict[str, tuple[object, ...]]


def make_member(name: str, kind: bytes = tarfile.REGTYPE, **values: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in values.items():
        setattr(member, key, value)
    return member


def make_tar(*members: Member, format: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    """A tar of members; (member, contents) for files that have some."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for entry in members:
            member, data = entry if isinstance(entry, tuple) else (entry, b"")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


def snapshot(top: str | Path, *, times: bool = False) -> Tree:
    """Everything below `top`: kind, mode, owner, contents, device, attributes, names of one file.

    `times` adds whole seconds of modification times.
    """
    tree: Tree = {}
    names: dict[tuple[int, int], list[str]] = {}
    for directory, subdirectories, files in os.walk(top):
        for name in subdirectories + files:
            path = Path(directory, name)
            status = path.lstat()
            key = str(path.relative_to(top))
            tree[key] = _describe(path, status) + ((int(status.st_mtime),) if times else ())
            if not stat.S_ISDIR(status.st_mode):
                names.setdefault((status.st_dev, status.st_ino), []).append(key)
    for paths in names.values():
        for key in paths:
            tree[key] += (tuple(sorted(paths)),)
    return tree


def deepen(top: str | Path, names: Iterable[str]) -> None:
    """Directories of these names, each in the one before: longer than any path may be.

    `shutil` cannot remove that: `linux.removal.remove_tree` can.
    """
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        os.mkdir(name, 0o755, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def _describe(path: Path, status: os.stat_result) -> tuple[object, ...]:
    content: object = None
    if stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        content = status.st_rdev
    mode = 0 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith("trusted.overlay.") or name == "trusted.overlay.opaque"
    }
    kind = stat.S_IFMT(status.st_mode)
    return (kind, mode, status.st_uid, status.st_gid, content, tuple(sorted(xattrs.items())))
