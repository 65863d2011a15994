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
    low, dash, high = text.partition("-")
    first = _port(low, what, text)
    last = _port(high, what, text) if dash else first
    if last < first:
        raise InvalidInput(f"invalid {what}: {text}", hint="the range runs backwards")
    return first, last


def _port(text: str, what: str, whole: str) -> int:
    if not _is_decimal(text) or int(text) > 65535 or (what == "containerPort" and int(text) == 0):
        raise InvalidInput(f"invalid {what}: {whole}")
    return int(text)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdecimal()  # int() would read Arabic-Indic digits too


def parse_number(text: str, before: str) -> int:
    """A port's number. Raises InvalidInput in the words of Go's parser."""
    if _is_decimal(text) and int(text) < 65536:
        return int(text)
    reason = "value out of range" if _is_decimal(text) else "invalid syntax"
    raise InvalidInput(f'{before}: strconv.ParseUint: parsing "{text}": {reason}')


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
    if ":" in text:
        raise InvalidInput(f"invalid port format for --expose: {text}")
    before = f"invalid range format for --expose: {text}, error"
    if not text:
        raise InvalidInput(f"{before}: empty string specified for ports")
    low, dash, high = text.partition("/")[0].partition("-")
    first = parse_number(low, before)
    last = parse_number(high, before) if dash else first
    if last < first:
        raise InvalidInput(f"{before}: invalid range specified for port: {low}-{high}")
    if not first:
        raise InvalidInput(f"{before}: port 0 is none")
    _, protocol = _protocol(text)
    return tuple(f"{port}/{protocol}" for port in range(first, last + 1))
