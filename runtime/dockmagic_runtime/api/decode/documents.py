"""JSON objects as values of `wire/`."""

from __future__ import annotations

from typing import Any, TypeVar

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.wire import go

Decoded = TypeVar("Decoded", bound=go.GoStruct)


def decode(struct: type[Decoded], source: Any) -> Decoded:
    """Raises HttpError (400)."""
    try:
        return go.decode(struct, {} if source is None else source)
    except go.WireError as error:
        raise HttpError(400, f"invalid JSON: {error}") from None


def words(source: Any, name: str) -> list[str] | None:
    """moby's StrSlice: a list of texts, or one text that stands for a list of one."""
    if source is None:
        return None
    if isinstance(source, str):
        return [source]
    if isinstance(source, list) and all(isinstance(word, str) for word in source):
        return source
    raise HttpError(400, f"invalid JSON: {name} is not of type []string")
