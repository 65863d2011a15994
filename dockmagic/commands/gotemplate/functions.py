"""The functions of Go's text/template and those that Docker adds, on Python's values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote as percent

from dockmagic.commands.gotemplate import text as text_module
from dockmagic.commands.gotemplate import values
from dockmagic.commands.gotemplate.printf import printf
from dockmagic.commands.gotemplate.values import (
    GoError,
    Typed,
    WrongType,
    as_json,
    is_true,
    show_inner,
)


def unquote(text: str) -> Any:
    """The value of a literal: a string, a raw string, a character or a number."""
    if text[0] == "`":
        return text[1:-1]
    if text[0] == '"':
        return _unescape(text[1:-1])
    if text[0] == "'":
        return ord(_unescape(text[1:-1])[0])
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_HEX = {"x": 2, "u": 4, "U": 8}


def _unescape(text: str) -> str:
    parts: list[str] = []
    characters = iter(text)
    for character in characters:
        if character != "\\":
            parts.append(character)
            continue
        kind = next(characters, "\\")
        if kind in _HEX:
            digits = "".join(next(characters, "") for _ in range(_HEX[kind]))
            parts.append(_character(digits))
        else:
            parts.append(_ESCAPES.get(kind, kind))
    return "".join(parts)


def _character(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except (ValueError, OverflowError):
        return "\ufffd"


_type = values.type_name


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(typed := values.indirect(value), Typed) and typed.kind.tag == "map":
            assert typed.kind.elem is not None
            missing = values.zero(typed.kind.elem)
            value = (values.entries(typed) or {}).get(_text(key), missing)
        elif (pairs := values.entries(value)) is not None:
            value = pairs.get(key)
        elif (elements := values.items(value)) is not None:
            value = _element(elements, key)
        elif isinstance(value, str):
            value = _element(value.encode("utf-8", "surrogatepass"), key)
        else:
            nil = values.is_nil(value)
            reason = "index of untyped nil" if nil else f"can't index item of type {_type(value)}"
            raise GoError(reason)
    return value


def _element(value: Sequence[Any], key: Any) -> Any:
    if not isinstance(key, int) or isinstance(key, bool):
        raise GoError(f"cannot index slice/array with type {_type(key)}")
    if not 0 <= key < len(value):
        raise GoError(f"index out of range: {key}")
    return value[key]


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    for collection in (values.entries(value), values.items(value)):
        if collection is not None:
            return len(collection)
    if values.is_nil(value):
        raise GoError("len of nil pointer")
    raise GoError(f"len of type {_type(value)}")


def _slice(value: Any, *bounds: Any) -> Any:
    elements = value if isinstance(value, str) else values.items(value)
    if elements is None or len(bounds) > 2:
        raise GoError(f"can't slice item of type {_type(value)}")
    low = bounds[0] if bounds else 0
    high = bounds[1] if len(bounds) == 2 else _len(value)
    if not 0 <= low <= high <= _len(value):
        raise GoError(f"slice bounds out of range: {low}:{high}")
    return text_module.cut(value, low, high) if isinstance(value, str) else elements[low:high]


def _text(value: Any) -> str:
    value = values.indirect(value)
    if not isinstance(value, str):
        raise WrongType(value, "string")
    return value


def _join(parts: Any, separator: Any = "") -> str:
    elements = values.items(parts)
    if elements is None:
        raise WrongType(parts, "[]string")
    return _text(separator).join(map(show_inner, elements))


def _truncate(text: Any, length: Any) -> str:
    return text_module.cut(_text(text), 0, max(0, int(length)))


def _pad(text: Any, before: Any, after: Any) -> str:
    if not 0 <= before <= 10_000 or not 0 <= after <= 10_000:
        raise GoError("pad is out of range")
    return " " * before + _text(text) + " " * after if text else ""


def _equal(left: Any, *others: Any) -> bool:
    if not others:
        raise GoError("missing argument for comparison")
    left = values.indirect(left)
    return any(_same(left, values.indirect(other)) for other in others)


def _same(left: Any, right: Any) -> bool:
    """Nil equals nil of any type, and nothing else."""
    if values.is_nil(left) or values.is_nil(right):
        return values.is_nil(left) and values.is_nil(right)
    return _same_kind(left, right) and bool(left == right)


def _same_kind(left: Any, right: Any) -> bool:
    numbers = (int, float)
    if isinstance(left, bool) or isinstance(right, bool):
        alike = isinstance(left, bool) and isinstance(right, bool)
    elif isinstance(left, numbers) and isinstance(right, numbers):
        alike = isinstance(left, float) == isinstance(right, float)
    else:
        alike = isinstance(left, type(right)) or isinstance(right, type(left))
    if not alike:
        raise GoError("incompatible types for comparison")
    return True


def _ordered(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or not isinstance(left, (int, float, str)):
        raise GoError("invalid type for comparison")
    return _same_kind(left, right)


def _print(*arguments: Any) -> str:
    """Blanks go between two values neither of which is a string."""
    text = ""
    for index, value in enumerate(arguments):
        spaced = index and not isinstance(value, str) and not isinstance(arguments[index - 1], str)
        text += f" {show_inner(value)}" if spaced else show_inner(value)
    return text


def _printf(form: Any, *arguments: Any) -> str:
    return printf(_text(form), arguments)


def _html(*arguments: Any) -> str:
    from html import escape

    return escape(_print(*arguments)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _deciding(arguments: Sequence[Any], *, truth: bool) -> Any:
    """What `or` gives, and with `truth` False, `and`: the first value that is so, or the last."""
    if not arguments:
        raise GoError("wrong number of args: want at least 1 got 0")
    return next((value for value in arguments if is_true(value) is truth), arguments[-1])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *arguments: _deciding(arguments, truth=False),
    "or": lambda *arguments: _deciding(arguments, truth=True),
    "not": lambda value: not is_true(value),
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "lt": lambda left, right: _ordered(left, right) and left < right,
    "le": lambda left, right: _ordered(left, right) and left <= right,
    "gt": lambda left, right: _ordered(left, right) and left > right,
    "ge": lambda left, right: _ordered(left, right) and left >= right,
    "index": _index,
    "len": _len,
    "slice": _slice,
    "call": lambda function, *arguments: function(*arguments),
    "print": _print,
    "println": lambda *arguments: " ".join(map(show_inner, arguments)) + "\n",
    "printf": _printf,
    "html": _html,
    "js": lambda *arguments: text_module.for_scripts(_print(*arguments)),
    "urlquery": lambda *arguments: percent(_print(*arguments), safe="-_.~").replace("%20", "+"),
    "json": as_json,
    "split": lambda text, separator: (
        _text(text).split(_text(separator)) if separator else list(text)
    ),
    "join": _join,
    "lower": lambda text: text_module.lower(_text(text)),
    "upper": lambda text: text_module.upper(_text(text)),
    "title": lambda text: text_module.title(_text(text)),
    "pad": _pad,
    "truncate": _truncate,
}
