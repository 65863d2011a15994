"""Archives on the standard streams: bytes, which not every place has."""

from __future__ import annotations

import sys
from typing import Any

from dockmagic_runtime.errors import InvalidInput


def read_stdin() -> Any:
    """The bytes of standard input. Raises InvalidInput where there are none."""
    stdin = getattr(sys.stdin, "buffer", None)
    if stdin is None:
        raise InvalidInput(
            "there is no standard input to read an archive from", hint="name a file instead"
        )
    return stdin


def check_stdout(*, terminal_is_fine: bool = False) -> None:
    """Raises InvalidInput where an archive would be shown instead of going on.

    A notebook has no bytes to write to; its cells would show them as text.
    """
    if getattr(sys.stdout, "buffer", None) is None:
        raise InvalidInput("an archive cannot be shown here", hint="write it to a file instead")
    if not terminal_is_fine and sys.stdout.isatty():
        raise InvalidInput("cowardly refusing to save to a terminal. Use the -o flag or redirect")
