"""Where a registry is asked: Docker's endpoint for docker.io, mirrors, and insecure registries.

A registry on this machine, and one that the configuration calls insecure, is asked by TLS without
checking its certificate and then in the clear, as Docker does. No other server is ever asked in
the clear. Sources: dockerd's `registry-mirrors` and `insecure-registries`, as in daemon.json.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY
from dockmagic_runtime.registry.proxies import bracketed, is_loopback

DAEMON_CONFIG: Final = Path("/etc/docker/daemon.json")
_DOCKER_HUB: Final = "registry-1.docker.io"
_PORTS: Final = {"https": 443, "http": 80}
_Network = IPv4Network | IPv6Network


class Url(Struct, frozen=True):
    """A server, as credentials belong to it: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As in a URL: the port only where it is not the scheme's own."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return bracketed(self.host) + port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class RegistryEndpoint(Struct, frozen=True, kw_only=True):
    """One server that holds the images of `registry`, the name that references begin with."""

    registry: str
    host: str
    port: int = 443
    path: str = ""  # before /v2, without a slash at its end
    scheme: str = "https"
    is_insecure: bool = False  # any certificate will do, and plain HTTP where TLS fails
    is_mirror: bool = False

    @classmethod
    def of(cls, registry: str, *, insecure: bool = False) -> RegistryEndpoint:
        """The registry's own server."""
        host = _DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        name, port = split_host(host)
        return cls(
            registry=registry,
            host=name,
            port=port or 443,
            is_insecure=insecure or is_loopback(name),
        )

    @property
    def origins(self) -> tuple[Url, ...]:
        """The servers to try, in this order."""
        first = Url(self.scheme, self.host, self.port)
        if self.scheme == "http" or not self.is_insecure:
            return (first,)
        return (first, Url("http", self.host, 80 if self.port == 443 else self.port))

    @property
    def credentials_key(self) -> str:
        """The name under which `docker login` keeps the credentials."""
        if self.registry == DEFAULT_REGISTRY and not self.is_mirror:
            return "https://index.docker.io/v1/"
        return Url(self.scheme, self.host, self.port).authority

    def __str__(self) -> str:
        return f"{self.origins[0]}{self.path}"


class RegistryConfig(Struct, frozen=True, kw_only=True):
    """What daemon.json says about registries."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path = DAEMON_CONFIG) -> RegistryConfig:
        """From a file like daemon.json; nothing if there is none. Raises InvalidInput."""
        try:
            document = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return cls()  # another engine's file: it may be closed to us
        except ValueError as error:
            raise InvalidInput(f"{path} is not JSON: {error}") from None
        return cls(
            mirrors=_strings(path, document, "registry-mirrors"),
            insecure=_strings(path, document, "insecure-registries"),
        )

    def endpoints(self, registry: str) -> tuple[RegistryEndpoint, ...]:
        """The servers to ask for an image of `registry`, best first: mirrors only for Docker's."""
        own = RegistryEndpoint.of(registry, insecure=self.is_insecure(registry))
        if registry != DEFAULT_REGISTRY:
            return (own,)
        return (*(self._mirror(url) for url in self.mirrors), own)

    def is_insecure(self, registry: str) -> bool:
        """Whether the list names it: `host[:port]`, or a CIDR block that its address is in."""
        host, _ = split_host(registry)
        return any(name == registry or _contains(name, host) for name in self.insecure)

    def _mirror(self, url: str) -> RegistryEndpoint:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
            raise InvalidInput(f"invalid mirror: {url!r}", hint="write it as https://host[:port]")
        if parts.username is not None:
            raise InvalidInput("invalid mirror: username/password not allowed in a mirror's URL")
        return RegistryEndpoint(
            registry=DEFAULT_REGISTRY,
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            path=parts.path.rstrip("/"),
            scheme=parts.scheme,
            is_insecure=is_loopback(parts.hostname) or self.is_insecure(parts.netloc),
            is_mirror=True,
        )


def split_host(text: str) -> tuple[str, int]:
    """Host and port (0 if none) of `host[:port]` or `[address]:port`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise InvalidInput(f"invalid registry host: {text!r}") from None
    if not host or parts.path or parts.username is not None:
        raise InvalidInput(f"invalid registry host: {text!r}")
    return host, port


def _strings(path: Path, document: Any, key: str) -> tuple[str, ...]:
    values = document.get(key, []) if isinstance(document, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidInput(f"{path}: {key} is not a list of strings")
    return tuple(values)


def _contains(block: str, host: str) -> bool:
    try:
        network: _Network = ip_network(block, strict=False)
        return ip_address(host) in network
    except ValueError:
        return False
