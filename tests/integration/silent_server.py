"""A file system whose server stops answering: what a dead file server is to a process.

The few requests of FUSE that a look at one directory needs, spoken by a thread of this process.
Source: linux/fuse.h.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import struct
import threading
from pathlib import Path
from typing import Final

from dockmagic_runtime.linux import constants as c
from dockmagic_runtime.linux.syscalls import Kernel

_IN: Final = struct.Struct("=IIQQIIII")  # length, operation, id, node, uid, gid, pid, padding
_OUT: Final = struct.Struct("=IiQ")  # length, error, id
_LOOKUP, _FORGET, _GETATTR, _INIT = 1, 2, 3, 26
_ROOT: Final = 1


class SilentServer:
    """Mounted at `directory`, with one directory in it, "x". Answers until `fall_silent`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0"
        Kernel().mount("silent", str(directory), "fuse", 0, options)
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def fall_silent(self) -> None:
        """From now on requests are not even read: their processes wait."""
        os.write(self._stop, b"x")
        self._thread.join()

    def close(self) -> None:
        """Every waiting process gets an error."""
        if self._thread.is_alive():
            self.fall_silent()
        for fd in (self._fd, self._wake, self._stop):
            os.close(fd)
        Kernel().umount(str(self.directory), c.MNT_DETACH)

    def _serve(self) -> None:
        ready = select.poll()
        ready.register(self._fd, select.POLLIN)
        ready.register(self._wake, select.POLLIN)
        while all(fd == self._fd for fd, _ in ready.poll()):
            request = os.read(self._fd, 1 << 17)
            _, operation, number, node, *_ = _IN.unpack_from(request)
            if operation == _FORGET:
                continue
            body = self._answer(operation, node)
            error = 0 if body else -errno.ENOSYS
            os.write(self._fd, _OUT.pack(_OUT.size + len(body), error, number) + body)

    def _answer(self, operation: int, node: int) -> bytes:
        """The answer's body; nothing for what this server does not know."""
        if operation == _INIT:
            return struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, 0)
        if operation == _GETATTR:
            return struct.pack("=QII", 0, 0, 0) + _attributes(node)
        if operation == _LOOKUP:
            return struct.pack("=QQQQII", node + 1, 0, 0, 0, 0, 0) + _attributes(node + 1)
        return b""


def _attributes(node: int) -> bytes:
    """Of a directory; the answer is good for no time at all."""
    return struct.pack("=QQQQQQIIIIIIIIII", node, *[0] * 8, stat.S_IFDIR | 0o755, 2, *[0] * 5)
