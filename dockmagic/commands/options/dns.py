"""`--add-host`, `--dns` and `--dns-search`."""

from __future__ import annotations

import re
from ipaddress import ip_address

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?=.*[a-zA-Z]){_LABEL}(?:\.{_LABEL})*\.?"


def parse_host(text: str) -> str:
    """`name:address` or `name=address`, kept as `name:address`."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    address = address.removeprefix("[").removesuffix("]")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address != "host-gateway":
        _check_address(address, f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def parse_address(text: str) -> str:
    return _check_address(text, f"IP address is not correctly formatted: {text}")


def _check_address(text: str, message: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(message) from None


def parse_domain(text: str) -> str:
    """A domain to search in; `.` stands for none."""
    if text != "." and not (re.fullmatch(_DOMAIN, text) and len(text) < 255):
        raise ValueError(f"{text} is not a valid domain")
    return text
