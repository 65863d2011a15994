"""How overlayfs marks, in an upper directory, what is gone from the directories below.

A whiteout is a character device 0:0 under the name that is deleted. An opaque directory hides the
whole directory below it; the mark is an extended attribute, `trusted.` as root and `user.` where
the overlay was mounted in a user namespace (`userxattr`).
Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from dockmagic_runtime.errors import EngineBug

OPAQUE: Final = ("trusted.overlay.opaque", "user.overlay.opaque")
PRIVATE_XATTRS: Final = ("trusted.overlay.", "user.overlay.")
_REDIRECTS: Final = {
    prefix + name for prefix in PRIVATE_XATTRS for name in ("redirect", "metacopy")
}
_NO_XATTR: Final = (errno.ENODATA, errno.EOPNOTSUPP)

# the same facts in a layer's tar, as the OCI image spec ("Whiteouts") spells them
WHITEOUT_PREFIX: Final = ".wh."
OPAQUE_NAME: Final = ".wh..wh..opq"
AUFS_PREFIX: Final = ".wh..wh."


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def make_whiteout(parent_fd: int, name: str) -> None:
    os.mknod(name, stat.S_IFCHR | 0o600, 0, dir_fd=parent_fd)


def is_opaque(fd: int) -> bool:
    """Whether the directory (a readable descriptor, not an O_PATH one) hides what is below."""
    return any(_value(fd, name) == b"y" for name in OPAQUE)


def make_opaque(fd: int) -> None:
    # the kernel reserves trusted.* for CAP_SYS_ADMIN in the initial user namespace
    try:
        os.setxattr(fd, OPAQUE[0], b"y")
    except PermissionError:
        os.setxattr(fd, OPAQUE[1], b"y")


def _value(fd: int, name: str) -> bytes:
    try:
        return os.getxattr(fd, name)
    except OSError as error:
        if error.errno in _NO_XATTR:
            return b""
        raise


def xattrs(fd: int, path: str) -> dict[str, bytes]:
    """The extended attributes that belong to an image: overlay's own and the host's labels not.

    Raises EngineBug for `redirect` and `metacopy`, by which an overlay refers to contents that
    are elsewhere: our overlays are mounted with both off.
    """
    names = os.listxattr(fd)
    if _REDIRECTS.intersection(names):
        raise EngineBug(f"the overlay of {path} was mounted with redirect_dir or metacopy")
    return {name: os.getxattr(fd, name) for name in sorted(names) if is_portable(name)}


def is_portable(name: str) -> bool:
    """Whether an extended attribute may enter or leave a layer."""
    if name.startswith("security."):
        return name == "security.capability"
    return not name.startswith(PRIVATE_XATTRS)
