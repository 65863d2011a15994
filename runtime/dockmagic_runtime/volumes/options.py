"""The options of the `local` driver: `type`, `device` and `o`, which are those of mount(8)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import InvalidInput, NotFound, Unsupported

_KNOWN: Final = ("type", "o", "device", "size")
# which option needs which others
_TOGETHER: Final = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_NETWORK: Final = ("nfs", "nfs4", "cifs")


class Device(Struct, frozen=True):
    """A file system that is mounted for a volume, instead of its own directory."""

    fstype: str
    source: str
    options: tuple[str, ...] = ()

    @property
    def is_bind(self) -> bool:
        """A directory of the host (`type=none,o=bind`): what is in it is there already."""
        return not {"bind", "rbind"}.isdisjoint(self.options)


def check_driver(name: str, driver: str) -> None:
    """Raises NotFound for any driver but `local`: there are no plugins."""
    if driver not in ("", "local"):
        raise NotFound(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
        )


def check(name: str, options: Mapping[str, str]) -> None:
    """Raises InvalidInput for options that Docker's `local` driver refuses, with its texts."""
    for option in options:
        if option not in _KNOWN:
            raise InvalidInput(f'create {name}: invalid option: "{option}"')
    if options.get("size", "0") != "0":
        raise Unsupported(
            f"create {name}: quota size requested but no quota support",
            hint="for a volume in memory: type=tmpfs, device=tmpfs, o=size=100m",
        )
    for option, others in _TOGETHER.items():
        for other in others:
            if option in options and other not in options:
                raise InvalidInput(f'create {name}: missing required option: "{other}"')


def device(options: Mapping[str, str]) -> Device | None:
    """The file system to mount; None for a volume that is a directory of the data root.

    Names of servers are resolved now: the kernel's NFS and CIFS need addresses.
    """
    if not options.get("device"):
        return None
    fstype, source = options["type"], options["device"]
    words = tuple(word for word in options.get("o", "").split(",") if word)
    if fstype in _NETWORK:
        words = tuple(_with_address(word) for word in words)
    if fstype == "cifs":
        source = _with_server_address(source)
    return Device(fstype, source, words)


def _with_address(word: str) -> str:
    key, _, host = word.partition("=")
    return f"addr={_address(host)}" if key == "addr" else word


def _with_server_address(source: str) -> str:
    """`//server/share` with the server's address."""
    if not source.startswith("//"):
        return source
    host, slash, share = source.removeprefix("//").partition("/")
    return f"//{_address(host)}{slash}{share}"


def _address(host: str) -> str:
    import ipaddress  # for a server's file system alone

    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass  # a name
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotFound(
            f"error resolving passed in network volume address: lookup {host}: {error.strerror}"
        ) from None
    # IPv4 first, as Docker does
    return min((family != socket.AF_INET, str(to[0])) for family, *_, to in addresses)[1]
