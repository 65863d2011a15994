"""The query of a request, read as moby reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.model.filters import Filters

_FALSE = frozenset(["", "0", "no", "false", "none"])  # moby's httputils.BoolValue


class Query:
    """Named texts; of several with one name the first counts, as with Go's `Form.Get`."""

    def __init__(self, text: str) -> None:
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
        except ValueError as error:
            raise HttpError(400, f"invalid query: {error}") from None
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> Sequence[str]:
        return self._values.get(name, ())

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """True for everything but moby's words for false."""
        if name not in self._values:
            return default
        return self.text(name).strip().lower() not in _FALSE

    def integer(self, name: str, default: int = 0) -> int:
        """Raises HttpError (400) for what is no number."""
        text = self.text(name)
        if not text:
            return default
        try:
            return int(text)
        except ValueError:
            raise HttpError(400, f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def document(self, name: str, default: Any) -> Any:
        """A parameter that holds JSON. Raises HttpError (400)."""
        text = self.text(name)
        if not text:
            return default
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"invalid {name}: {error}") from None

    def filters(self) -> Filters:
        """`filters` in both encodings: `{"label": ["a"]}` and `{"label": {"a": true}}`.

        Raises HttpError (400).
        """
        source = self.document("filters", {})
        if not isinstance(source, Mapping):
            raise HttpError(400, "invalid filter")
        return {name: _values(values) for name, values in source.items()}


def _values(values: Any) -> list[str]:
    if isinstance(values, Mapping) and all(type(flag) is bool for flag in values.values()):
        return [value for value, is_set in values.items() if is_set]
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    raise HttpError(400, "invalid filter")
