"""`{{json .}}`: Go's encoding/json on typed values.

Structs keep the order of their fields, maps are sorted by key. What means something in HTML stays
as it is, but for rows of lists: Docker encodes those one by one, with the encoder's defaults.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dockmagic.commands.gotemplate.errors import GoError
from dockmagic.commands.gotemplate.values import Value, items, positional, shortest, value_of
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.go import GoStruct

_SPECIAL: Final = re.compile('["\\\\\x00-\x1f\u2028\u2029\ud800-\udfff]')
_HTML: Final = re.compile('["\\\\\x00-\x1f\u2028\u2029\ud800-\udfff<>&]')
_ESCAPES: Final = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip


def value_as_json(value: Value) -> str:
    """Compact JSON. Raises GoError."""
    return _encoded(value, html=False)


def as_json(data: Any) -> str:
    """Compact JSON of a `GoStruct`, a `Context`, or what JSON has. Raises GoError."""
    return _encoded(value_of(data), html=False)


def _encoded(value: Value, *, html: bool) -> str:
    match value.kind:
        case "invalid":
            return "null"
        case "interface" | "pointer":
            return _encoded(value.elem(), html=html)
        case "bool":
            return "true" if value.data else "false"
        case "int":
            return str(value.data)
        case "float":
            return _float(value.data)
        case "map":
            return _map(value, html=html)
        case "slice":
            return _slice(value, html=html)
        case "struct":
            return _struct(value, html=html)
        case "context":
            fields = value.data.fields.items()
            shown = {name: field for name, field in fields if not callable(field)}
            return _map(value_of(shown), html=True)
        case "func":
            raise GoError("json: unsupported type: func()")
    return _string(value.data, html=html)


def _string(text: str, *, html: bool) -> str:
    return f'"{(_HTML if html else _SPECIAL).sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\\ufffd"
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"


def _float(number: float) -> str:
    if number in (float("inf"), float("-inf")) or number != number:
        raise GoError(f"json: unsupported value: {number}")
    sign, digits, power = shortest(number)
    if -7 < power < 21:
        return positional(sign, digits, power)
    mantissa = f"{digits[0]}.{digits[1:]}" if digits[1:] else digits
    return f"{sign}{mantissa}e{power:+}"


def _map(value: Value, *, html: bool) -> str:
    if value.data is None:
        return "null"
    pairs = (
        f"{_string(str(key.data), html=html)}:{_encoded(item, html=html)}"
        for key, item in items(value)
    )
    return f"{{{','.join(pairs)}}}"


def _slice(value: Value, *, html: bool) -> str:
    if value.data is None:
        return "null"
    return f"[{','.join(_encoded(item, html=html) for _, item in items(value))}]"


def _struct(value: Value, *, html: bool) -> str:
    """The fields in their order, as `document` has them."""
    data = value.data
    if not isinstance(data, GoStruct):
        return "{}" if data is None or isinstance(data, dict) else _string(data, html=html)
    pairs = (
        f"{_string(name, html=html)}:{_member(content, html=html)}"
        for name, content in go.document(data).items()
    )
    return f"{{{','.join(pairs)}}}"


def _member(content: Any, *, html: bool) -> str:
    """A part of a document, whose dicts are in the order of their struct or sorted already."""
    if isinstance(content, dict):
        pairs = (
            f"{_string(name, html=html)}:{_member(item, html=html)}"
            for name, item in content.items()
        )
        return f"{{{','.join(pairs)}}}"
    if isinstance(content, (list, tuple)):
        return f"[{','.join(_member(item, html=html) for item in content)}]"
    return _encoded(value_of(content), html=html)
