"""EXPOSE's words: `80`, `80/udp`, `8000-8010/tcp`."""

from __future__ import annotations

import re
from typing import Final

from dockmagic_runtime.errors import InvalidInput

_PORT: Final = re.compile(
    r"(?P<published>.*:)?(?P<low>[0-9]{1,5})(?:-(?P<high>[0-9]{1,5}))?(?:/(?P<protocol>[a-zA-Z]+))?"
)
_PROTOCOLS: Final = ("tcp", "udp", "sctp")


def parse_ports(word: str) -> tuple[str, ...]:
    """Each port of an EXPOSE word as an image's config names it: `80/tcp`."""
    found = _PORT.fullmatch(word)
    if found is None:
        raise InvalidInput(f"invalid containerPort: {word}")
    protocol = (found["protocol"] or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise InvalidInput(f"invalid proto: {protocol}")
    low, high = int(found["low"]), int(found["high"] or found["low"])
    if not 0 < low <= high <= 65535:
        raise InvalidInput(f"invalid containerPort: {word}")
    return tuple(f"{port}/{protocol}" for port in range(low, high + 1))


def names_host_port(word: str) -> bool:
    """`8080:80`, a habit of `-p`: Docker takes the container's port and says so."""
    found = _PORT.fullmatch(word)
    return found is not None and found["published"] is not None
