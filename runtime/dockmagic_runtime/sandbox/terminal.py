"""`-t`: a pseudo-terminal of the container's own devpts, never one of the host (TIOCSTI).

An image decides what is at /dev, /dev/pts and /dev/console: by `VOLUME /dev` its files cover the
ones that we made, links and FIFOs among them. So no name of the container leads to the terminal:
the devpts instance is reached by the descriptor of our own mount, the slave through the master
(CVE-2025-52565). What is at /dev/console is never opened, only mounted on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from typing import ClassVar, Final

from dockmagic_runtime.errors import StartFailed, Unsupported
from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.sandbox.mount_target import container_root
from dockmagic_runtime.sandbox.mounts import mount_filesystem
from dockmagic_runtime.sandbox.namespaces import sync_socket
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation
from dockmagic_runtime.sandbox.slots import Slot

TIOCSPTLCK: Final = 0x4004_5431
TIOCGPTPEER: Final = 0x5441
DEVPTS: Final = Slot[int]("descriptor of the container's devpts")
_CONSOLE: Final = "/dev/console"
_STAY: Final = c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS | c.RESOLVE_NO_XDEV


def open_pair(linux: Linux, devpts: int) -> tuple[int, int]:
    """(master, slave) of a new terminal in the devpts instance with the root directory `devpts`.

    Raises:
        Unsupported: the directory is not in a devpts file system.
        OSError: the kernel gives no terminal, or something is mounted on the instance's ptmx.
    """
    if linux.fstatfs_type(devpts) != c.DEVPTS_SUPER_MAGIC:
        raise Unsupported("the container's /dev/pts is not a devpts file system: no terminal")
    master = linux.openat2(devpts, "ptmx", os.O_RDWR | os.O_NOCTTY, 0, _STAY)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        os.close(master)
        raise
    return master, slave


@operation
class MountDevpts(UndoneByKernel, frozen=True):
    """The container's own terminals, at /dev/pts. Keeps a descriptor of the mount."""

    calls: ClassVar[tuple[str, ...]] = ("fsopen devpts", "fsmount", "openat2", "move_mount")

    settings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"mount devpts on /dev/pts ({','.join((*self.options, *self.settings))})"

    def execute(self, context: Context) -> None:
        mount = mount_filesystem(context, "devpts", "/dev/pts", self.settings, self.options)
        DEVPTS.put(context.slots, mount)


@operation
class OpenTerminal(UndoneByKernel, frozen=True):
    """Open a terminal: its master goes to the start process, its slave is the standard streams."""

    calls: ClassVar[tuple[str, ...]] = ("openat2 ptmx", "ioctl TIOCGPTPEER", "move_mount")

    def describe(self) -> str:
        return "open a terminal in the container's devpts and bind it to /dev/console"

    def execute(self, context: Context) -> None:
        master, slave = open_pair(context.linux, DEVPTS.require(context.slots))
        _mount_console(context, slave)
        socket.send_fds(sync_socket(context), [b"P"], [master])
        os.close(master)
        for standard in (0, 1, 2):
            os.dup2(slave, standard)
        os.close(slave)


def _mount_console(context: Context, slave: int) -> None:
    linux, target = context.linux, _console(context)
    try:
        mount = linux.open_tree(slave, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
        try:
            linux.move_mount(mount, target)
        finally:
            linux.close(mount)
    finally:
        linux.close(target)


def _console(context: Context) -> int:
    """A descriptor of /dev/console to mount on; an empty file is made there if nothing is."""
    root = container_root(context)
    try:
        return _existing_console(context.linux, root.fd)
    except FileNotFoundError:
        parent, name = root.open_parent(_CONSOLE)
    try:
        context.linux.mknod(name, stat.S_IFREG | 0o620, 0, dir_fd=parent)
    except FileExistsError:
        pass  # another container with the same volume was faster; below we see what it is
    finally:
        os.close(parent)
    return _existing_console(context.linux, root.fd)


def _existing_console(linux: Linux, root: int) -> int:
    flags = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS
    try:
        fd = linux.openat2(root, _CONSOLE.lstrip("/"), os.O_PATH, 0, flags)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise StartFailed(
            f"the image's {_CONSOLE} is behind a link: no terminal will be mounted there",
            hint="a link there could lead anywhere, so the engine refuses it",
        ) from error
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise StartFailed(f"the image's {_CONSOLE} is a directory: no terminal fits there")
    return fd
