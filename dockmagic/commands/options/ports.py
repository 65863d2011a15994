"""`-p` and `--expose`: published and documented ports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.model.ports import expand_ports, parse_port, parse_port_range, parse_protocol

_LONG = r"(published|target|protocol|mode)="


def parse_publish(text: str) -> tuple[PortMapping, ...]:
    """One `-p`: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, ranges of equal length, or key=value."""
    try:
        return _parse_long(text) if re.match(_LONG, text) else _parse_short(text)
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
    address, _, protocol = text.partition("/")
    return address, parse_protocol(protocol)


def _split(text: str) -> tuple[str, str, str]:
    """Host address, host port and container port; an IPv6 address stands in brackets."""
    left, _, container = text.rpartition(":")
    if ":" not in left and not left.startswith("["):
        return "", left, container
    host_ip, _, host = left.rpartition(":")
    return _address(host_ip, text), host, container


def _address(host_ip: str, text: str) -> str:
    if host_ip.startswith("[") and not host_ip.endswith("]"):
        raise InvalidInput(
            f"invalid IP address {host_ip}: address {host_ip}:: missing ']' in address"
        )
    bare = host_ip.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare)) if bare else ""
    except ValueError:
        raise InvalidInput(f"invalid IP address: {bare}", hint=f"in '-p {text}'") from None


def _range(text: str, what: str) -> tuple[int, int]:
    try:
        ports = parse_port_range(text)
    except ValueError:
        raise InvalidInput(f"invalid {what}: {text}") from None
    if what == "containerPort" and not ports[0]:
        raise InvalidInput(f"invalid {what}: {text}")
    return ports[0], ports[-1]


def parse_number(text: str, before: str) -> int:
    """A port's number. Raises InvalidInput in the words of Go's parser."""
    try:
        return parse_port(text)
    except ValueError as error:
        raise InvalidInput(f"{before}: {error}") from None


def _parse_long(text: str) -> tuple[PortMapping, ...]:
    fields = {"published": "", "target": "", "protocol": "tcp", "mode": "host"}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals or key not in fields:
            raise InvalidInput(
                f"invalid publish opts format (should be name=value but got '{field}')"
            )
        fields[key] = value
    host = f"{fields['published']}:" if fields["published"] else ""
    return parse_publish(f"{host}{fields['target']}/{fields['protocol']}")


def parse_expose(text: str) -> tuple[str, ...]:
    """One `--expose`: `80`, `80/udp` or `8000-8010`, as `PORT/PROTOCOL` each."""
    if ":" in text:
        raise InvalidInput(f"invalid port format for --expose: {text}")
    try:
        return expand_ports(text)
    except ValueError as error:
        raise InvalidInput(f"invalid range format for --expose: {text}, error: {error}") from None
