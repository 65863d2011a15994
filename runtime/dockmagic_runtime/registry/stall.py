"""How long a peer may send nothing: the limit of every wait for bytes from outside."""

from __future__ import annotations

import math
import os
from typing import Final

from dockmagic_runtime.errors import InvalidInput

VARIABLE: Final = "DOCKMAGIC_STALL_TIMEOUT"
_DEFAULT: Final = 60.0
HINT: Final = f"the server or the network hangs; {VARIABLE} is the limit in seconds"


def stall_limit() -> float:
    """Seconds without a byte after which a transfer is begun again, and then given up.

    Raises InvalidInput for a variable that is no positive number.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return _DEFAULT
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InvalidInput(f"{VARIABLE}={text} is no number of seconds", hint="for example 60")
    return seconds


def silence(seconds: float) -> str:
    """The reason in an error, with Go's words for it."""
    return f"i/o timeout: no byte for {seconds:g} seconds"
