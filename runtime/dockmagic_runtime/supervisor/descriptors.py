"""Receiving descriptors close-on-exec: `socket.recv_fds` drops its flags (CPython up to 3.13)."""

from __future__ import annotations

import socket
import struct
from typing import Final

_CLOEXEC: Final = int(socket.MSG_CMSG_CLOEXEC)
_SIZE: Final = struct.calcsize("i")


def receive(connection: socket.socket, size: int, most: int) -> tuple[bytes, tuple[int, ...]]:
    """One message of at most `size` bytes, and the at most `most` descriptors with it."""
    data, ancillary, _, _ = connection.recvmsg(size, socket.CMSG_SPACE(most * _SIZE), _CLOEXEC)
    fds: tuple[int, ...] = ()
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += struct.unpack(f"{len(raw) // _SIZE}i", raw)
    return data, fds
