"""Where the file system puts new directories: a hint, which some have no use for."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final

_GET_FLAGS: Final = 0x80086601  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h
_SET_FLAGS: Final = 0x40086602
_TOP_DIRECTORY: Final = 0x00020000  # FS_TOPDIR_FL, the T of chattr(1)
_NO_USE_FOR_IT: Final = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENOSYS)


def set_topdir(directory: str) -> None:
    """Let what is made in `directory` lie far apart: each entry is the root of a tree.

    ext4 keeps a tree together and is slow to give an inode again: in a place where a large tree
    was just removed, it steps over all of that for every new file. 20,000 files then take 1.0 s
    of system time, and 0.3 s elsewhere.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = flags_of(fd) | _TOP_DIRECTORY
        fcntl.ioctl(fd, _SET_FLAGS, flags.to_bytes(8, "little"))
    except OSError as error:
        if error.errno not in _NO_USE_FOR_IT:
            raise
    finally:
        os.close(fd)


def flags_of(fd: int) -> int:
    """The attributes that lsattr(1) shows. OSError where the file system has none."""
    return int.from_bytes(fcntl.ioctl(fd, _GET_FLAGS, bytes(8))[:4], "little")
