"""Names of objects, as callers pass them."""

from __future__ import annotations

from dockmagic_runtime.errors import InvalidInput


def require_name(kind: str, text: str) -> None:
    """Raises InvalidInput, with the text of Docker's client, for an empty name.

    `kind` is "container", "network" or "volume".
    """
    if not text.strip():
        raise InvalidInput(f"invalid {kind} name or ID: value is empty")
