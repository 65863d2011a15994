"""One connection to a server, directly or through a proxy, within one deadline.

The deadline covers everything, the resolver too: getaddrinfo(3) knows no timeout, so it runs in a
thread that is abandoned when it takes longer. A refusal ends the wait at once.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final

from dockmagic_runtime.errors import RemoteFailed
from dockmagic_runtime.registry.endpoint import Url
from dockmagic_runtime.registry.errors import RegistryUnreachable
from dockmagic_runtime.registry.proxies import Proxy, bracketed
from dockmagic_runtime.registry.text import error_text

if TYPE_CHECKING:
    import ssl

_Addresses = list[tuple[Any, ...]]
_SHORTEST: Final = 0.05


class Deadline:
    """Seconds that are left, never less than a little: a socket takes 0 for "do not wait"."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(self._end - time.monotonic(), _SHORTEST)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end


def dial(
    origin: Url, proxy: Proxy | None, tls: Callable[[], ssl.SSLContext] | None, seconds: float
) -> socket.socket:
    """A connected socket, with TLS on it if `tls` is given, which is called once a server answers:
    a context is expensive. Raises RegistryUnreachable within `seconds`."""
    deadline = Deadline(seconds)
    host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
    connection = _connect(origin, host, port, deadline)
    try:
        if proxy and origin.scheme == "https":
            _tunnel(origin, connection, proxy, deadline)
        if tls is not None:
            connection = _wrap(origin, connection, tls(), deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(origin: Url, host: str, port: int, deadline: Deadline) -> socket.socket:
    addresses = _resolve(origin, host, port, deadline)
    where, reason = f"{bracketed(host)}:{port}", OSError("no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(deadline.left() / (len(addresses) - number))
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            where, reason = f"{bracketed(address[0])}:{port}", error
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise _unreachable(origin, f"dial tcp {where}: connect: {error_text(reason)}") from None


def _resolve(origin: Url, host: str, port: int, deadline: Deadline) -> _Addresses:
    answers: queue.SimpleQueue[_Addresses | OSError] = queue.SimpleQueue()
    arguments = (host, port, answers)
    threading.Thread(target=_look_up, args=arguments, daemon=True, name="resolve").start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise _unreachable(origin, f"lookup {host}: i/o timeout") from None
    if isinstance(answer, OSError):
        raise _unreachable(origin, f"lookup {host}: {error_text(answer)}")
    return answer


def _look_up(host: str, port: int, answers: queue.SimpleQueue[_Addresses | OSError]) -> None:
    try:
        answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except UnicodeError as error:  # a label that is no IDNA
        answers.put(OSError(str(error)))
    except OSError as error:
        answers.put(error)


def _wrap(
    origin: Url, connection: socket.socket, tls: ssl.SSLContext, deadline: Deadline
) -> socket.socket:
    import ssl

    connection.settimeout(deadline.left())
    try:
        return tls.wrap_socket(connection, server_hostname=origin.host)
    except ssl.SSLCertVerificationError as error:
        # a server answers, perhaps another than the one meant: never look elsewhere in silence
        raise RemoteFailed(
            f'Get "{origin}/v2/": tls: failed to verify certificate: {error.verify_message}',
            hint=f"put the CA's certificate into /etc/docker/certs.d/{origin.authority}/ca.crt",
        ) from None
    except OSError as error:
        raise _unreachable(origin, f"tls: {error_text(error)}") from None


def _tunnel(origin: Url, connection: socket.socket, proxy: Proxy, deadline: Deadline) -> None:
    target = f"{bracketed(origin.host)}:{origin.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.settimeout(deadline.left())
    answer = HTTPResponse(connection, method="CONNECT")
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer.begin()
        status, reason = answer.status, answer.reason
    except (OSError, HTTPException) as error:
        raise _unreachable(origin, f"proxyconnect {proxy}: {error_text(error)}") from None
    finally:
        answer.close()
    if status != 200:
        raise _unreachable(origin, f"the proxy {proxy} answered {status} {reason}")


def _unreachable(origin: Url, reason: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f'Get "{origin}/v2/": {reason}',
        hint="check the network, HTTPS_PROXY and the registry's name",
    )
