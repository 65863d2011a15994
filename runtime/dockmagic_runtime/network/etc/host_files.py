"""The host's own `/etc/hosts` and resolv.conf files, from which a container's are derived."""

from __future__ import annotations

from typing import Final

HOSTS: Final = "/etc/hosts"
RESOLV_CONF: Final = "/etc/resolv.conf"
# systemd-resolved writes its upstream servers here; /etc/resolv.conf then names only its stub
RESOLVED_UPSTREAMS: Final = "/run/systemd/resolve/resolv.conf"


def read(path: str) -> str:
    """The text of a file of the host; empty when it does not exist or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
