"""The log driver syslog: one message for each line, to the host's syslog or to another.

Formats are those of Docker's driver (srslog): by default that of the local socket, else rfc3164,
rfc5424 and rfc5424micro. A destination that breaks is connected again at the next line.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from dockmagic_runtime.errors import InvalidInput

OPTIONS: Final = frozenset(
    f"syslog-{name}"
    for name in "address facility format tls-ca-cert tls-cert tls-key tls-skip-verify".split()
)
_LOCAL: Final = ("/dev/log", "/var/run/syslog", "/var/run/log")
_TLS: Final = "tcp+tls"
_PORT: Final = 514
_TIMEOUT: Final = 10.0  # seconds to connect, and for one message
_FORMATS: Final = ("", "rfc3164", "rfc5424", "rfc5424micro")
_FACILITIES: Final = (
    "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp "
    "- - - - local0 local1 local2 local3 local4 local5 local6 local7"
).split()
_ERROR, _INFO = 3, 6
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def check(options: Mapping[str, str]) -> None:
    """Raises InvalidInput in Docker's words."""
    _address(options)
    facility(options)
    if options.get("syslog-format", "") not in _FORMATS:
        raise InvalidInput("Invalid syslog format")


def facility(options: Mapping[str, str]) -> int:
    name = options.get("syslog-facility", "") or "daemon"
    if name in _FACILITIES and name != "-":
        return _FACILITIES.index(name)
    if name.isdecimal() and int(name) < len(_FACILITIES):
        return int(name)
    raise InvalidInput("invalid syslog facility")


def _address(options: Mapping[str, str]) -> SplitResult | None:
    text = options.get("syslog-address", "")
    if not text:
        return None
    url = urlsplit(text)
    if url.scheme not in ("unix", "unixgram", "udp", "tcp", _TLS):
        raise InvalidInput(f"syslog-address should be in form proto://address, got {text}")
    if url.scheme in ("unix", "unixgram") and not os.path.exists(url.path):
        raise InvalidInput(f"stat {url.path}: no such file or directory")
    return url


def connect(options: Mapping[str, str]) -> socket.socket:
    """A socket to the destination. Raises OSError."""
    url = _address(options)
    if url is None:
        return _connect_local(_LOCAL)
    if url.scheme in ("unix", "unixgram"):
        kind = socket.SOCK_DGRAM if url.scheme == "unixgram" else socket.SOCK_STREAM
        return _connect_unix(url.path, kind)
    host, port = url.hostname or "", url.port or _PORT
    if url.scheme == "udp":
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        connection = socket.socket(family, socket.SOCK_DGRAM)
        connection.connect(address)
        return connection
    connection = socket.create_connection((host, port), _TIMEOUT)
    return _with_tls(connection, host, options) if url.scheme == _TLS else connection


def _with_tls(connection: socket.socket, host: str, options: Mapping[str, str]) -> socket.socket:
    import ssl

    context = ssl.create_default_context(cafile=options.get("syslog-tls-ca-cert") or None)
    if options.get("syslog-tls-skip-verify", "") not in ("", "false"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := options.get("syslog-tls-cert"):
        context.load_cert_chain(certificate, options.get("syslog-tls-key") or None)
    return context.wrap_socket(connection, server_hostname=host)


def _connect_local(paths: tuple[str, ...]) -> socket.socket:
    for path in paths:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            try:
                return _connect_unix(path, kind)
            except OSError:
                continue  # the next one may be there
    raise FileNotFoundError("Unix syslog delivery error")


def _connect_unix(path: str, kind: int) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, kind)
    try:
        connection.settimeout(_TIMEOUT)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def reason(error: OSError, options: Mapping[str, str]) -> str:
    """Docker's words for a destination that cannot be connected."""
    url = _address(options)
    if url is None:
        return "Unix syslog delivery error"
    words = (error.strerror or str(error)).lower()
    if url.scheme in ("unix", "unixgram"):
        return f"dial {url.scheme} {url.path}: connect: {words}"
    scheme = "tcp" if url.scheme == _TLS else url.scheme
    return f"dial {scheme} {url.hostname}:{url.port or _PORT}: connect: {words}"


class Syslog:
    """A `lines.LineSink`."""

    def __init__(self, options: Mapping[str, str], tag: str) -> None:
        self._options = options
        self._format = options.get("syslog-format", "")
        self._priority = facility(options) << 3
        self._tag = tag
        self._connection: socket.socket | None = None

    def line(self, stream: str, text: bytes, *, is_whole: bool) -> None:
        if not text:
            return
        message = self._header(stream, time.time()) + text + b"\n"
        for _ in range(2):
            try:
                if self._connection is None:
                    self._connection = connect(self._options)
                self._connection.sendall(message)
            except OSError:
                self.close()
            else:
                return

    def _header(self, stream: str, now: float) -> bytes:
        priority = self._priority | (_ERROR if stream == "stderr" else _INFO)
        host, pid = socket.gethostname(), os.getppid()  # the supervisor's: this process may change
        if self._format.startswith("rfc5424"):
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            fraction = f".{int(now % 1 * 1e6):06d}" if self._format.endswith("micro") else ""
            text = f"<{priority}>1 {at}{fraction}Z {host} {self._tag} {pid} {self._tag} - "
        else:
            local = time.localtime(now)
            at = (
                f"{_MONTHS[local.tm_mon - 1]} {local.tm_mday:2d} {time.strftime('%H:%M:%S', local)}"
            )
            where = f"{host} " if self._format == "rfc3164" else ""
            text = f"<{priority}>{at} {where}{self._tag}[{pid}]: "
        return text.encode("utf-8", "replace")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
