"""Points in time in queries."""

from __future__ import annotations

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.api.http.request import Request
from dockmagic_runtime.model.times import parse_moment


def moment(request: Request, name: str) -> float:
    """Seconds since the epoch; 0 where the query has none. Raises HttpError (400)."""
    text = request.query.text(name)
    if text in ("", "0"):
        return 0.0
    try:
        return parse_moment(text)
    except ValueError as error:
        raise HttpError(400, str(error)) from None
