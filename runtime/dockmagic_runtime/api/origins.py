"""Refuses requests that a web page made a browser send: DNS rebinding, and other origins.

On TCP, a browser's request names the host that the page believes to talk to. A name that points
to this machine only by a trick (DNS rebinding) is no address and not the local one. A page's
script names its origin as well; no client of Docker sends one.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from dockmagic_runtime.api.http.errors import HttpError

if TYPE_CHECKING:
    from dockmagic_runtime.api.http.request import Request
    from dockmagic_runtime.api.listeners import Listener


def check_origin(request: Request, listener: Listener) -> None:
    """Raises HttpError (403)."""
    if "origin" in request.headers:
        raise HttpError(403, "requests of web pages are refused")
    if listener.is_local or listener.is_secure:
        return  # a browser can reach neither
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() != "localhost" and not _is_address(name.strip("[]")):
        raise HttpError(403, f"the host name {host!r} is not this server's")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
