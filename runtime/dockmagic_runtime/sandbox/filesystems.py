"""A file system of a device, of a server or in memory, as a descriptor: mounted nowhere yet.

Options are the words of mount(8). Those that are the mount's own become its attributes, the rest
goes to the file system, which refuses what it does not know.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.errors import InvalidInput, StartFailed
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

_SETS: Final = {
    "ro": c.MOUNT_ATTR_RDONLY,
    "nosuid": c.MOUNT_ATTR_NOSUID,
    "nodev": c.MOUNT_ATTR_NODEV,
    "noexec": c.MOUNT_ATTR_NOEXEC,
    "noatime": c.MOUNT_ATTR_NOATIME,
    "strictatime": c.MOUNT_ATTR_STRICTATIME,
    "nodiratime": c.MOUNT_ATTR_NODIRATIME,
}
_CLEARS: Final = {
    "rw": c.MOUNT_ATTR_RDONLY,
    "suid": c.MOUNT_ATTR_NOSUID,
    "dev": c.MOUNT_ATTR_NODEV,
    "exec": c.MOUNT_ATTR_NOEXEC,
    "atime": c.MOUNT_ATTR_NOATIME,
    "relatime": c.MOUNT_ATTR__ATIME,
    "diratime": c.MOUNT_ATTR_NODIRATIME,
    "defaults": 0,
}
_BIND: Final = ("bind", "rbind")
# a volume is one container's mount: what it shares is its contents
_PRIVATE: Final = ("private", "rprivate")
_REFUSED: Final = ("remount", "move", "shared", "rshared", "slave", "rslave", "unbindable")


def attributes(words: Sequence[str]) -> int:
    """The attributes that the words stand for; later words win."""
    bits = 0
    for word in words:
        bits = bits & ~_CLEARS.get(word, 0) | _SETS.get(word, 0)
    return bits


def settings(words: Sequence[str]) -> list[str]:
    """The other words: the file system's own."""
    return [word for word in words if word not in _SETS and word not in _CLEARS]


def open_filesystem(linux: Linux, fstype: str, source: str, words: Sequence[str]) -> int:
    """The descriptor of a detached mount. Raises OSError, InvalidInput for words like `remount`."""
    for word in words:
        if word in _REFUSED:
            raise InvalidInput(f"the mount option '{word}' cannot be given to a volume")
    words = [word for word in words if word not in _PRIVATE]
    if not set(_BIND).isdisjoint(words):
        return _bind(linux, source, [word for word in words if word not in _BIND], "rbind" in words)
    fs = linux.fsopen(fstype)
    try:
        linux.fsconfig_string(fs, "source", source)
        if attributes(words) & c.MOUNT_ATTR_RDONLY:
            linux.fsconfig_flag(fs, "ro")  # of the file system itself: the device may be read-only
        configure(linux, fs, settings(words))
        linux.fsconfig_create(fs)
        return linux.fsmount(fs, attributes(words))
    finally:
        linux.close(fs)


def configure(linux: Linux, fs: int, words: Sequence[str]) -> None:
    """Sets a file system's options, "key=value" or "flag"."""
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            linux.fsconfig_string(fs, key, value)
        else:
            linux.fsconfig_flag(fs, key)


def _bind(linux: Linux, source: str, words: Sequence[str], recursive: bool) -> int:
    if unknown := settings(words):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), unknown[0])
    flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if recursive else 0)
    mount = linux.open_tree(c.AT_FDCWD, source, flags)
    try:
        bits = attributes(words)
        # how times are kept is a number, not a set of flags: it is changed as a whole
        clear = c.MOUNT_ATTR__ATIME if bits & c.MOUNT_ATTR__ATIME else 0
        linux.mount_setattr(
            mount, set_=bits, clear=clear, propagation=c.MS_PRIVATE, recursive=recursive
        )
    except BaseException:
        linux.close(mount)
        raise
    return mount


def mount_failed(mountpoint: str, source: str, error: OSError) -> StartFailed:
    """The error, in Docker's words, for the file system of a volume that cannot be mounted."""
    return StartFailed(
        f"error while mounting volume '{mountpoint}': failed to mount local volume: "
        f"mount {source}:{mountpoint}: {os.strerror(error.errno or 0).lower()}"
    )
