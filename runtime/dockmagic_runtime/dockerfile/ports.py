"""EXPOSE's words: `80`, `80/udp`, `8000-8010/tcp`."""

from __future__ import annotations

import re
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.ports import expand_ports

_HOST_PORT: Final = re.compile(r"(.*:)[0-9-]+(/[a-zA-Z]+)?")


def parse_ports(word: str) -> tuple[str, ...]:
    """Each port of an EXPOSE word as an image's config names it: `80/tcp`."""
    try:
        return expand_ports(word.rpartition(":")[2])
    except ValueError:
        raise InvalidInput(f"invalid containerPort: {word}") from None


def names_host_port(word: str) -> bool:
    """`8080:80`, a habit of `-p`: Docker takes the container's port and says so."""
    return _HOST_PORT.fullmatch(word) is not None
