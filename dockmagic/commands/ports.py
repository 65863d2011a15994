"""`-p` and `--expose`: published and documented ports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import PortMapping

_PROTOCOLS = ("tcp", "udp", "sctp")
_LONG = re.compile(r"(published|target|protocol|mode)=")


def parse_publish(text: str) -> tuple[PortMapping, ...]:
    """One `-p`: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, ranges of equal length, or key=value."""
    try:
        return _parse_long(text) if _LONG.match(text) else _parse_short(text)
    except InvalidInput as error:
        error.hint = error.hint or f"in '-p {text}'; ports are numbers up to 65535, HOST:CONTAINER"
        raise


def _parse_short(text: str) -> tuple[PortMapping, ...]:
    address, protocol = _protocol(text)
    host_ip, host, container = _split(address)
    if not container:
        raise InvalidInput(f"no port specified: {text}<empty>")
    low, high = _range(container, "containerPort")
    return tuple(_mappings(host_ip, host, (low, high), protocol))


def _mappings(
    host_ip: str, host: str, container: tuple[int, int], protocol: str
) -> Iterable[PortMapping]:
    low, high = container
    host_low, host_high = _range(host, "hostPort") if host else (0, 0)
    if host_low < host_high and low == high:  # the first of them that is free
        yield PortMapping(
            container_port=low,
            protocol=protocol,
            host_ip=host_ip,
            host_port=host_low,
            host_port_end=host_high,
        )
        return
    if host and host_high - host_low != high - low:
        raise InvalidInput(
            f"invalid ranges specified for container and host Ports: {low}-{high} and {host}"
        )
    for port in range(low, high + 1):
        yield PortMapping(
            container_port=port,
            protocol=protocol,
            host_ip=host_ip,
            host_port=host_low + port - low if host else 0,
        )


def _protocol(text: str) -> tuple[str, str]:
    address, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidInput(f"invalid proto: {protocol}", hint="tcp, udp and sctp are known")
    return address, protocol


def _split(text: str) -> tuple[str, str, str]:
    """Host address, host port and container port; an IPv6 address stands in brackets."""
    left, _, container = text.rpartition(":")
    if ":" not in left and not left.startswith("["):
        return "", left, container
    host_ip, _, host = left.rpartition(":")
    return _address(host_ip, text), host, container


def _address(host_ip: str, text: str) -> str:
    bare = host_ip.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare)) if bare else ""
    except ValueError:
        raise InvalidInput(f"invalid IP address: {bare}", hint=f"in '-p {text}'") from None


def _range(text: str, what: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    first = _port(low, what)
    last = _port(high, what) if dash else first
    if last < first:
        raise InvalidInput(f"invalid {what}: {text}", hint="the range runs backwards")
    return first, last


def _port(text: str, what: str) -> int:
    # isdecimal alone lets Arabic-Indic digits through, which int() also reads.
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise InvalidInput(f"invalid {what}: {text}")
    if what == "containerPort" and int(text) == 0:
        raise InvalidInput(f"invalid {what}: {text}")
    return int(text)


def _parse_long(text: str) -> tuple[PortMapping, ...]:
    found = {"published": "", "target": "", "protocol": "tcp", "mode": "host"}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals or key not in found:
            raise InvalidInput(
                f"invalid publish opts format (should be name=value but got '{field}')"
            )
        found[key] = value
    host = f"{found['published']}:" if found["published"] else ""
    return parse_publish(f"{host}{found['target']}/{found['protocol']}")


def parse_expose(text: str) -> tuple[str, ...]:
    """One `--expose`: `80`, `80/udp` or `8000-8010`, as `PORT/PROTOCOL` each."""
    try:
        address, protocol = _protocol(text)
        low, high = _range(address, "containerPort")
    except InvalidInput as error:
        raise InvalidInput(
            f"invalid range format for --expose: {text}, error: {error.message}"
        ) from None
    return tuple(f"{port}/{protocol}" for port in range(low, high + 1))
