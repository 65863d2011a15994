"""The container's `/etc/hosts`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dockmagic_runtime.errors import InvalidInput

_LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def own_addresses(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """The container's addresses from a state file's fields: network by network, IPv4 first."""
    networks = endpoint.get("networks", {}).values()
    addresses = [fields[key] for fields in networks for key in ("ip_address", "ip6_address")]
    return tuple(filter(None, addresses))


def text(
    hostname: str,
    *,
    addresses: Sequence[str] = (),
    domainname: str = "",
    extra: Iterable[str] = (),
    gateway: str = "",
    linked: Iterable[tuple[str, str]] = (),
) -> str:
    """The whole file. `extra` are `--add-host` values, NAME:ADDRESS, in which `host-gateway`
    stands for the gateway; `linked` are the lines of `--link`: an address and its names.

    Raises InvalidInput for an `extra` in another format.
    """
    lines = [_extra_line(value, gateway) for value in extra]
    lines += [f"{address}\t{names}" for address, names in linked]
    own = own_names(hostname, domainname)
    lines += [f"{address}\t{own}" for address in addresses]
    return _LOCALHOST + "".join(f"{line}\n" for line in lines)


def own_names(hostname: str, domainname: str) -> str:
    """The names of the container in its own file: the full name, then the short one."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short = hostname.partition(".")[0]  # a host name may include its domain
    return full if full == short else f"{full} {short}"


def _extra_line(value: str, gateway: str) -> str:
    name, separator, address = value.replace("=", ":", 1).partition(":")
    if not (name and separator and address):
        raise InvalidInput(f'bad format for add-host: "{value}"', hint="write NAME:ADDRESS")
    address = address.removeprefix("[").removesuffix("]")
    if address == "host-gateway" and not gateway:
        raise InvalidInput(
            f'"{value}": host-gateway needs a bridge network', hint="name an address instead"
        )
    return f"{gateway if address == 'host-gateway' else address}\t{name}"


def with_line(text: str, address: str, own: str) -> str:
    """The file with one more address of the container, under the names `own`."""
    return f"{text}{address}\t{own}\n"


def without_line(text: str, address: str) -> str:
    """The file without the lines of that address."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[:1] != [address])
