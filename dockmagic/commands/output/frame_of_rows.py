"""Rows as a pandas data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockmagic.errors import MagicError


def data_frame(rows: Sequence[dict[str, Any]]) -> Any:
    """Raises MagicError where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise MagicError(
            "a data frame needs pandas, which is not installed",
            hint="%pip install pandas; .rows() gives the same as a list of dictionaries",
        ) from None
    return pandas.DataFrame(list(rows))
