"""Where the server listens: `unix://PATH`, `tcp://ADDRESS:PORT`, `fd://` (systemd's sockets)."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from dockmagic_runtime.errors import Conflict, InvalidInput

_FIRST_FD: Final = 3  # of those that systemd passes: sd_listen_fds(3)
_HANDSHAKE: Final = 10.0  # seconds
_BACKLOG: Final = 1024  # a unix socket refuses at once what is beyond it


class TlsFiles(Struct, frozen=True):
    """PEM files: the authority whose clients are let in, and the server's certificate and key."""

    authority: str
    certificate: str
    key: str


class Listener:
    """A listening socket, and what is done with those that it accepts."""

    def __init__(
        self, listening: socket.socket, address: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self.socket = listening
        self.address = address
        self._tls = tls

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine that may open a file can connect."""
        return self.socket.family == socket.AF_UNIX

    @property
    def is_secure(self) -> bool:
        """Whether clients prove by certificate that they may connect."""
        return self._tls is not None

    def secure(self, accepted: socket.socket) -> socket.socket:
        """The accepted connection, ready for HTTP. Raises OSError (ssl.SSLError) for others."""
        if self._tls is None:
            return accepted
        accepted.settimeout(_HANDSHAKE)
        return self._tls.wrap_socket(accepted, server_side=True)

    def close(self) -> None:
        """Closes the socket and removes its file. Idempotent."""
        self.socket.close()
        if self.address.startswith("unix://"):
            Path(self.address.removeprefix("unix://")).unlink(missing_ok=True)


def listen(
    host: str, *, tls: TlsFiles | None = None, insecure_tcp: bool = False, group: int = -1
) -> list[Listener]:
    """Opens the sockets that a `--host` names.

    Args:
        host: `unix://PATH`, `tcp://ADDRESS:PORT` or `fd://`.
        tls: For TCP: whose clients may connect. Required unless `insecure_tcp`.
        insecure_tcp: Whether every client that reaches the TCP port may command the engine.
        group: The group id that may use a unix socket (mode 0660), -1 for the process's own.

    Raises:
        InvalidInput: No such form of address, or TCP without TLS.
        Conflict: Another process listens there.
    """
    scheme, separator, rest = host.partition("://")
    if separator and scheme == "unix" and rest.startswith("/"):
        return [_unix(rest, group)]
    if separator and scheme == "tcp":
        if tls is None and not insecure_tcp:
            raise InvalidInput(
                f"{host}: TCP needs TLS, with certificates of the clients that may connect",
                hint="--tlscacert, --tlscert and --tlskey; a unix socket needs none",
            )
        return [_tcp(host, tls)]
    if separator and scheme == "fd":
        return list(_inherited())
    raise InvalidInput(
        f"invalid bind address ({host})", hint="unix:///path, tcp://127.0.0.1:PORT or fd://"
    )


def _unix(path: str, group: int) -> Listener:
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # bind gives the file the mode of the socket's own inode, less the umask: never a wider one
    os.fchmod(listening.fileno(), 0o660)
    try:
        listening.bind(path)
        Path(path).chmod(0o660)
        if group != -1:
            os.chown(path, -1, group)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(f"unix://{path}", error) from None
    return Listener(listening, f"unix://{path}")


def _remove_stale(path: str) -> None:
    """Removes a socket that no process listens on. Raises Conflict for any other file."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except OSError as error:
            raise _cannot_listen(f"unix://{path}", error) from None
    raise Conflict(f"another process listens on {path}", hint="choose another one with --host")


def _tcp(host: str, tls: TlsFiles | None) -> Listener:
    try:
        parts = urlsplit(host)
        name, port = parts.hostname or "127.0.0.1", parts.port or (2376 if tls else 2375)
    except ValueError:
        raise InvalidInput(f"invalid bind address ({host})") from None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise _cannot_listen(host, error) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, error) from None
    number = listening.getsockname()[1]
    return Listener(listening, f"tcp://{name}:{number}", _context(tls) if tls else None)


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.authority)
    except OSError as error:
        raise InvalidInput(f"TLS: {error.strerror or error}: {error.filename or files}") from None
    return context


def _inherited() -> Iterator[Listener]:
    """The sockets that systemd has opened for this process."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise InvalidInput(
            "fd://: no sockets were passed to this process",
            hint="it is for systemd's socket units",
        )
    count = int(os.environ.get("LISTEN_FDS", "0"))
    for fd in range(_FIRST_FD, _FIRST_FD + count):
        os.set_inheritable(fd, False)
        yield Listener(socket.socket(fileno=fd), "fd://")


def _cannot_listen(host: str, error: OSError) -> Conflict | InvalidInput:
    reason = (error.strerror or str(error)).lower()
    kind = Conflict if error.errno == errno.EADDRINUSE else InvalidInput
    return kind(f"cannot listen on {host}: {reason}")
