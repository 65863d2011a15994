"""Ports and ranges of ports, as Docker's flags, EXPOSE and filters write them."""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.errors import InvalidInput

PROTOCOLS: Final = ("tcp", "udp", "sctp")
_HIGHEST: Final = 65535


def parse_port(text: str) -> int:
    """Go's strconv.ParseUint of 16 bits. Raises ValueError with Go's message."""
    if not (text.isascii() and text.isdecimal()):  # int() would read other scripts' digits too
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > _HIGHEST:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def parse_port_range(text: str) -> range:
    """`80` or `8000-8010`, both ends included: nat.ParsePortRange of Docker's libraries.

    Raises ValueError with its message.
    """
    if not text:
        raise ValueError("empty string specified for ports")
    first, *last = (parse_port(part) for part in text.split("-")[:2])
    end = last[0] if last else first
    if end < first:
        raise ValueError(f"invalid range specified for port: {text}")
    return range(first, end + 1)


def parse_protocol(text: str) -> str:
    """The protocol in lower case, tcp if there is none. Raises InvalidInput for an unknown one."""
    protocol = text.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise InvalidInput(f"invalid proto: {text}", hint="tcp, udp and sctp are known")
    return protocol


def expand_ports(text: str) -> tuple[str, ...]:
    """Each port of `80`, `80/udp` or `8000-8010/tcp` as an image's config names it: `80/tcp`.

    Raises ValueError for what is no range of ports, port 0 included, and InvalidInput for an
    unknown protocol.
    """
    ports, _, protocol = text.partition("/")
    numbers = parse_port_range(ports)
    if not numbers[0]:
        raise ValueError("port 0 cannot be used")
    return tuple(f"{number}/{parse_protocol(protocol)}" for number in numbers)
