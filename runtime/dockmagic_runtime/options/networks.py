"""Endpoints: addresses, driver options, links, and which networks go together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.go_values import parse_int
from dockmagic_runtime.model.network import INTERFACE_NAME, Attachment

_MAC = r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}"
_INTERFACE = r"[^\s/:]{1,15}"
_PLAIN = ("bridge", "host", "none")


def parse_ipv4(text: str) -> str:
    """The address in its canonical form."""
    return _address(IPv4Address, "IPv4", text)


def parse_ipv6(text: str) -> str:
    """The address in its canonical form."""
    return _address(IPv6Address, "IPv6", text)


def _address(family: type[IPv4Address | IPv6Address], what: str, text: str) -> str:
    try:
        address = family(text)
    except ValueError:
        address = None
    if address is None or address.is_unspecified:
        raise InvalidInput(f"invalid {what} address: {text}")
    return str(address)


def parse_link_local(text: str) -> str:
    """An address of either family; which ones are link-local is known to the network."""
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.is_unspecified:
        raise InvalidInput(f"invalid link-local IP address: {text}")
    return str(address)


def parse_mac(text: str) -> str:
    """Six octets with colons, of one interface: not a multicast address."""
    mac = text.lower()
    if not re.fullmatch(_MAC, mac):
        raise InvalidInput(f"{text} is not a valid mac address")
    mac = mac.replace("-", ":")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidInput(f"{text} is not an address of one interface")
    return mac


def parse_driver_option(text: str) -> tuple[str, str]:
    key, equals, said = text.partition("=")
    if not equals or not key:
        raise ValueError("invalid key value pair format in driver options")
    if key != INTERFACE_NAME:
        raise ValueError(
            f"the driver option {key} of an endpoint is not supported ({INTERFACE_NAME} is)"
        )
    if not re.fullmatch(_INTERFACE, said) or said in ("lo", ".", ".."):
        raise ValueError(f"invalid interface name: {said!r}")
    return key, said


def parse_link(text: str) -> tuple[str, str]:
    """`name` or `name:alias`: the other container, and what it is called here."""
    if not text:
        raise ValueError("empty string specified for links")
    name, colon, alias = text.partition(":")
    if not name or ":" in alias or (colon and not alias):
        raise ValueError(f"bad format for links: {text}")
    name = name.removeprefix("/")
    return name, alias.removeprefix("/") or name


def parse_priority(text: str) -> int:
    try:
        return parse_int(text)
    except ValueError as error:
        reason = str(error).rpartition(": ")[2]
        raise ValueError(f"invalid gw-priority ({text}): {reason}") from None


def attachments(
    networks: Sequence[Attachment],
    *,
    aliases: tuple[str, ...],
    ipv4: str,
    ipv6: str,
    mac_address: str,
    link_local_ips: tuple[str, ...] = (),
) -> tuple[Attachment, ...]:
    """What the line asks for, the flags without a network's name being the first one's.

    Empty when it asks for nothing but the default network. Raises InvalidInput.
    """
    _check_modes([endpoint.network for endpoint in networks])
    asked = {"aliases": aliases, "ipv4": ipv4, "ipv6": ipv6, "mac_address": mac_address,
             "link_local_ips": link_local_ips}  # fmt: skip
    if not networks:
        given = {name: said for name, said in asked.items() if said}
        return (_with(Attachment(network="bridge"), given),) if given else ()
    first, *rest = networks
    words = {"aliases": "--network-alias and per-network alias",
             "ipv4": "--ip and per-network IPv4 address",
             "ipv6": "--ip6 and per-network IPv6 address",
             "mac_address": "--mac-address and per-network MAC address",
             "link_local_ips": "--link-local-ip and per-network link-local IP addresses",
             }  # fmt: skip
    for name, what in words.items():
        if asked[name] and getattr(first, name):
            raise InvalidInput(f"conflicting options: cannot specify both {what}")
    given = {name: said for name, said in asked.items() if said}
    return (_with(first, given), *rest)


def _with(attachment: Attachment, given: Mapping[str, object]) -> Attachment:
    mode = attachment.network
    if "mac_address" in given and (mode == "host" or mode.startswith("container:")):
        raise InvalidInput("conflicting options: mac-address and the network mode")
    if {"ipv4", "ipv6"} & given.keys() and mode.startswith("container:"):
        raise InvalidInput("user specified IP address is supported on user defined networks only")
    if "aliases" in given and (mode in _PLAIN or mode.startswith("container:")):
        raise InvalidInput("network-scoped aliases are only supported for user-defined networks")
    return replace(attachment, **given)


def _check_modes(names: list[str]) -> None:
    plain = [name for name in names if name in _PLAIN or name.startswith("container:")]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f'network "{name}" is specified multiple times')
    if plain and len(names) > 1:
        raise InvalidInput(
            "conflicting options: cannot attach both user-defined and non-user-defined "
            "network-modes"
        )
