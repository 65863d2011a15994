"""The log driver journald: one journal entry for each line, with Docker's fields.

Protocol of systemd-journald: a datagram of fields, or a sealed file in memory with them when it is
too large (systemd, "Native Journal Protocol"). Fields as in moby daemon/logger/journald.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Mapping
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"
_ERROR, _INFO = 3, 6
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_TOO_LARGE: Final = (errno.EMSGSIZE, errno.ENOBUFS)


class Journald:
    """A `lines.LineSink`. `fields` are of every entry."""

    def __init__(self, fields: Mapping[str, str], path: str = SOCKET) -> None:
        self._fields = b"".join(_field(key, value.encode()) for key, value in fields.items())
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def line(self, stream: str, text: bytes, *, is_whole: bool) -> None:
        priority = _ERROR if stream == "stderr" else _INFO
        entry = self._fields + _field("PRIORITY", b"%d" % priority) + _field("MESSAGE", text)
        if not is_whole:
            entry += _field("CONTAINER_PARTIAL_MESSAGE", b"true")
        try:
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno in _TOO_LARGE:
                self._send_file(entry)
            # else journald is being restarted: the entry is lost, as with Docker

    def _send_file(self, entry: bytes) -> None:
        fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(fd, entry)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            self._socket.sendmsg([], rights, 0, self._path)
        except OSError:
            pass  # journald is being restarted
        finally:
            os.close(fd)

    def close(self) -> None:
        self._socket.close()


def fields(
    *, id: str, name: str, image: str, tag: str, attributes: Mapping[str, str]
) -> dict[str, str]:
    return {
        "CONTAINER_ID": id[:12],
        "CONTAINER_ID_FULL": id,
        "CONTAINER_NAME": name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": image,
        "SYSLOG_IDENTIFIER": tag,
        **{_name(key): value for key, value in attributes.items()},
    }


def _name(key: str) -> str:
    """A field has capital letters, digits and underscores, and does not begin with one."""
    return re.sub("[^A-Z0-9_]", "_", key.upper()).lstrip("_")


def _field(key: str, value: bytes) -> bytes:
    if b"\n" in value:
        return key.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return key.encode() + b"=" + value + b"\n"
