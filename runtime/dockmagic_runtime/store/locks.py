"""Locks that show which processes are alive: open-file-description locks end with the process.

Unlike flock(2), an OFD lock can be *asked about* without being taken, so a reader never makes a
supervisor's own attempt fail. Unlike classic POSIX locks, closing another descriptor of the same
file does not drop it. Source: fcntl(2), "Open file description locks".
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_RETRY: Final = 0.05
F_OFD_GETLK: Final = 36
F_OFD_SETLK: Final = 37
F_OFD_SETLKW: Final = 38
# struct flock on 64-bit: l_type, l_whence, padding, l_start, l_len, l_pid, padding
_FLOCK: Final = "=hh4xqqi4x"


def _request(kind: int, start: int = 0, length: int = 0) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0)


def acquire_byte(path: str, number: int) -> int | None:
    """Take the lock of one byte of the file at `path` (created 0600, and left empty): any number
    of locks for one name. The descriptor that holds it, or None if taken."""
    return _acquire(path, F_OFD_SETLK, _request(fcntl.F_WRLCK, number, 1))


def acquire(path: str, *, wait: bool = False, shared: bool = False) -> int | None:
    """Take the lock at `path` (created 0600); the descriptor that holds it, or None if taken.

    Any number may have it `shared`. The descriptor is close-on-exec. A forked child that keeps it
    keeps the lock too.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    return _acquire(path, F_OFD_SETLKW if wait else F_OFD_SETLK, _request(kind))


def _acquire(path: str, command: int, request: bytes) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, command, request)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return fd


def acquire_named(path: str) -> int | None:
    """The same for a file that others remove when they find its lock free: never one that was
    unlinked between the opening and the locking."""
    while (fd := acquire(path)) is not None:
        if _is_at(path, fd):
            return fd
        os.close(fd)
    return None


def is_held(path: str) -> bool:
    """Whether a process holds the lock at `path`. A missing file is not held."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(fd, F_OFD_GETLK, _request(fcntl.F_WRLCK))
    finally:
        os.close(fd)
    (kind, *_) = struct.unpack(_FLOCK, answer)
    return bool(kind != fcntl.F_UNLCK)


@contextmanager
def held(path: str) -> Iterator[None]:
    """Wait for the lock at `path`, hold it for the block."""
    fd = acquire(path, wait=True)
    assert fd is not None
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def held_file(path: str, pause: Callable[[float], object]) -> Iterator[int]:
    """Hold the lock of the file at `path`, made if it is missing; a descriptor of it.

    Its holder may rename or remove the file: waiting processes then begin anew. `pause` is
    called with the seconds to wait between attempts, and ends the waiting by raising.
    """
    fd = acquire(path)
    while fd is None or not _is_at(path, fd):
        if fd is None:
            pause(_RETRY)
        else:
            os.close(fd)
        fd = acquire(path)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_at(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
