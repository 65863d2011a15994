"""JSON of values that may have bytes that are no UTF-8: command lines, labels, paths.

msgspec refuses the lone surrogates that such bytes become; the json module writes and reads them,
and takes a millisecond to load. So it is loaded for the values that need it.
"""

from __future__ import annotations

from typing import Any

import msgspec


def encode(values: Any) -> bytes:
    try:
        return msgspec.json.encode(values)
    except UnicodeEncodeError:
        import json

        return json.dumps(values, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """Raises ValueError."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        import json

        return json.loads(data)
