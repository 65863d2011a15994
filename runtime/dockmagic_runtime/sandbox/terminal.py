"""`-t`: a pseudo-terminal of the container's own devpts, never one of the host (TIOCSTI)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import ClassVar, Final

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.sandbox.namespaces import sync_socket
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation

TIOCSPTLCK: Final = 0x4004_5431
TIOCGPTPEER: Final = 0x5441


def open_pair(devpts: int) -> tuple[int, int]:
    """(master, slave) of a new terminal in the devpts instance with the root directory `devpts`.

    The slave is opened through the master, so that no name in the container is trusted
    (CVE-2025-52565).
    """
    master = os.open("ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=devpts)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        os.close(master)
        raise
    return master, slave


@operation
class OpenTerminal(UndoneByKernel, frozen=True):
    """Open a terminal: its master goes to the start process, its slave is the standard streams."""

    calls: ClassVar[tuple[str, ...]] = ("open /dev/ptmx", "ioctl TIOCGPTPEER", "move_mount")

    def describe(self) -> str:
        return "open a terminal in the container's /dev/pts and bind it to /dev/console"

    def execute(self, context: Context) -> None:
        linux = context.linux
        if context.root is None:
            raise EngineBug("the terminal needs the container's root")
        dev = linux.openat2(
            context.root.fd, "dev", os.O_PATH | os.O_DIRECTORY, 0, c.RESOLVE_NO_SYMLINKS
        )
        devpts = linux.openat2(dev, "pts", os.O_RDONLY | os.O_DIRECTORY, 0, c.RESOLVE_NO_SYMLINKS)
        try:
            master, slave = open_pair(devpts)
            os.close(linux.openat2(dev, "console", os.O_CREAT | os.O_WRONLY, 0o620, 0))
            console = linux.openat2(dev, "console", os.O_PATH, 0, c.RESOLVE_NO_SYMLINKS)
            mount = linux.open_tree(slave, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
            linux.move_mount(mount, console)
            for fd in (mount, console):
                linux.close(fd)
            socket.send_fds(sync_socket(context), [b"P"], [master])
            os.close(master)
            for standard in (0, 1, 2):
                os.dup2(slave, standard)
            os.close(slave)
        finally:
            os.close(devpts)
            os.close(dev)
