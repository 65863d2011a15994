"""Context managers that turn missing kernel features into `Unsupported`, with a hint."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dockmagic_runtime.errors import Unsupported

# a kernel without nftables, without its address translation, or without the right to use them
_NO_NFTABLES: Final = (
    errno.ENOENT,
    errno.EPROTONOSUPPORT,
    errno.EAFNOSUPPORT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EACCES,
)
_NO_WRITING: Final = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
_NOT_ALLOWED: Final = (errno.EPERM, errno.EACCES)
_WITHOUT_RIGHTS: Final = "it takes CAP_NET_ADMIN; --network host works without"
_STILL: Final = "--network host and --network none work"


@contextmanager
def needs_nftables() -> Iterator[None]:
    """Raises Unsupported when the kernel refuses the rules."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_NFTABLES:
            raise
        if error.errno in _NOT_ALLOWED:
            hint = _WITHOUT_RIGHTS
        else:
            hint = f"load its modules: modprobe -a nf_tables nft_chain_nat nft_masq; {_STILL}"
        raise Unsupported(
            f"this host has no nftables with address translation for us ({error.strerror})",
            hint=hint,
        ) from error


@contextmanager
def needs_forwarding(path: str) -> Iterator[None]:
    """Raises Unsupported when the sysctl at `path` is off and cannot be switched on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_WRITING:
            raise
        name = path.removeprefix("/proc/sys/").replace("/", ".")
        raise Unsupported(
            f"this host does not forward packets, and {name} cannot be set ({error.strerror})",
            hint=f"let the host's administrator set {name}=1; {_STILL}, and so do networks made "
            "with --internal",
        ) from error


@contextmanager
def needs_sysctl(path: str) -> Iterator[None]:
    """Raises Unsupported when a sysctl of a container's interface cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_WRITING or error.errno == errno.ENOENT:
            raise
        raise Unsupported(
            f"this host does not let us set up a container's interface: {error.strerror} ({path})",
            hint=f"it takes a writable /proc/sys; {_STILL}",
        ) from error


@contextmanager
def needs_bridges(name: str) -> Iterator[None]:
    """Raises Unsupported when the bridge cannot be created."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Unsupported(
            f"this host does not let us make bridge {name}: {error.strerror}{where}",
            hint=_WITHOUT_RIGHTS
            if error.errno in _NOT_ALLOWED
            else f"it takes a writable /proc/sys and the module bridge; {_STILL}",
        ) from error
