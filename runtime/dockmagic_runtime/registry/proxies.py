"""Which proxy the environment names for a host, by the rules of Go programs, as Docker's are.

`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in either case. NO_PROXY lists `*`, addresses, CIDR
blocks, `example.com` (it and what is below) and `.example.com` (only what is below), each with an
optional port. Localhost is never asked through a proxy. Source: golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import ClassVar, Final
from urllib.parse import unquote, urlsplit

from dockmagic_runtime.errors import InvalidInput, Unsupported
from dockmagic_runtime.model.selective import Selective

_DEFAULT_PORT: Final = 80


class Proxy(Selective, frozen=True):
    """An HTTP proxy; `authorization` is the value of Proxy-Authorization, or empty."""

    not_shown: ClassVar[frozenset[str]] = frozenset({"authorization"})

    host: str
    port: int
    authorization: str = ""

    def __str__(self) -> str:
        return f"http://{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(
    scheme: str, host: str, port: int, environment: Mapping[str, str] | None = None
) -> Proxy | None:
    """The proxy to ask for `scheme://host:port`; None to go there directly."""
    given = os.environ if environment is None else environment
    address = _variable(given, f"{scheme}_proxy")
    if not address or is_loopback(host) or _is_excepted(_variable(given, "no_proxy"), host, port):
        return None
    return _parse(address)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name) or ""


def _parse(address: str) -> Proxy:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http":
        raise Unsupported(
            f"a proxy of kind {parts.scheme} cannot be used",
            hint="name an http:// proxy in HTTPS_PROXY; TLS goes through it unbroken",
        )
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise InvalidInput(f"the proxy's port is invalid: {parts.hostname}") from None
    if not parts.hostname:
        raise InvalidInput("the proxy's address in the environment names no host")
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(secret.encode()).decode()}"
    return Proxy(parts.hostname, port, authorization)


def _is_excepted(exceptions: str, host: str, port: int) -> bool:
    host = host.lower().rstrip(".")
    patterns = filter(None, map(str.strip, exceptions.lower().split(",")))
    return any(_matches(pattern, host, port) for pattern in patterns)


def _matches(pattern: str, host: str, port: int) -> bool:
    if pattern == "*":
        return True
    name, wanted = _split_port(pattern)
    if wanted and wanted != port:
        return False
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        pass  # one of them is a name
    if name.startswith((".", "*.")):
        return host.endswith(name.removeprefix("*"))
    return host == name or host.endswith(f".{name}")


def _split_port(pattern: str) -> tuple[str, int]:
    if pattern.startswith("["):
        name, _, rest = pattern[1:].partition("]")
        return name, _port(rest.removeprefix(":"))
    name, colon, port = pattern.rpartition(":")
    if not colon or ":" in name or not port.isdigit():  # no port, or a bare IPv6 address
        return pattern, 0
    return name, _port(port)


def _port(text: str) -> int:
    return int(text) if text.isdigit() else 0
