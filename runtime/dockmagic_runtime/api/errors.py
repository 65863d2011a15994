"""Errors of the engine as statuses of HTTP, as moby maps its own."""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.errors import (
    Conflict,
    DockmagicError,
    InvalidInput,
    NotFound,
    StartFailed,
    Unsupported,
)

_STATUSES: Final[tuple[tuple[type[DockmagicError], int], ...]] = (
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Unsupported, 501),
)


def status_of(error: DockmagicError) -> int:
    """500 where the fault is not the client's.

    A program that is not there (127) or cannot be executed (126) is the client's mistake.
    """
    if isinstance(error, StartFailed) and error.exit_code in (126, 127):
        return 400
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
