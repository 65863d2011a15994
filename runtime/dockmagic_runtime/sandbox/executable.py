"""The interpreter as a file that no container can write to (CVE-2019-5736).

Until it executes the container's program, a process that enters a container is an interpreter of
the host, and the container can reach that file: it makes the kernel execute /proc/self/exe, or,
with CAP_SYS_PTRACE, opens /proc/PID/exe. Whatever opens the file that way has the mount from which
it was executed. So the launcher, and with it everything that it forks, is executed from a detached,
read-only mount of that one file: it costs two system calls and no memory, since page cache and
mappings are those of the host's file, and no process in a container can change that mount.

Rejected: a sealed copy in memory (runc's first way) costs 6.5 MiB for each launcher. It remains
the way where the kernel or a sandbox around the engine refuses the mount.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_CHUNK: Final = 1 << 20
# the lowest number for the descriptor, so that the actions of posix_spawn do not overwrite it
_LOWEST: Final = 10


def protect(linux: Linux, path: str) -> int:
    """A descriptor from which `path` can be executed, and through which it is never written.

    Execute it as `/proc/self/fd/N`. It is the caller's to close, and close-on-exec.
    """
    try:
        fd = _read_only_mount(linux, path)
    except OSError:
        fd = _sealed_copy(path)
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
    finally:
        os.close(fd)


def _read_only_mount(linux: Linux, path: str) -> int:
    mount = linux.open_tree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE)
    try:
        linux.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY, recursive=False)
    except BaseException:
        os.close(mount)
        raise
    return mount


def _sealed_copy(path: str) -> int:
    copy = os.memfd_create(os.path.basename(path), os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            while (offset := os.lseek(copy, 0, os.SEEK_CUR)) < size:
                if not os.sendfile(copy, source.fileno(), offset, _CHUNK):
                    break  # it became shorter meanwhile
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(copy)
        raise
    return copy
