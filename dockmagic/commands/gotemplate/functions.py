"""The functions of Go's text/template and those that Docker adds, on Python's values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote as percent

from dockmagic.commands.gotemplate import text as text_module


class GoError(Exception):
    """A function was given what it cannot work on."""


def is_true(value: Any) -> bool:
    """Go's truth: not the zero value of its type."""
    return bool(value) or callable(value)


def show(value: Any) -> str:
    """As `fmt.Print` shows it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
        return f"map[{' '.join(f'{key}:{_inner(item)}' for key, item in pairs)}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(_inner, value))}]"
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else show(value)


def _float(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e21 else repr(value)


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


def as_json(value: Any) -> str:
    """Go's encoder as Docker sets it: compact, and what means something in HTML left alone."""
    text = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
    for character in "\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    is_whole = isinstance(value, float) and abs(value) < 1e21 and value == int(value)
    return int(value) if is_whole else value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple, str)):
            value = _element(value, key)
        else:
            raise GoError(f"can't index item of {show(value)}")
    return value


def _element(value: Sequence[Any], key: Any) -> Any:
    if not isinstance(key, int) or isinstance(key, bool):
        raise GoError(f"cannot index slice/array with type {type(key).__name__}")
    value = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not 0 <= key < len(value):
        raise GoError(f"index out of range: {key}")
    return value[key]


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, (Mapping, list, tuple)):
        return len(value)
    raise GoError(f"len of type {type(value).__name__}")


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (str, list, tuple)) or len(bounds) > 2:
        raise GoError("can't slice this")
    low = bounds[0] if bounds else 0
    high = bounds[1] if len(bounds) == 2 else _len(value)
    if not 0 <= low <= high <= _len(value):
        raise GoError(f"slice bounds out of range: {low}:{high}")
    return text_module.cut(value, low, high) if isinstance(value, str) else value[low:high]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise GoError(f"wrong type for value; expected string; got {type(value).__name__}")
    return value


def _join(values: Any, separator: Any = "") -> str:
    if not isinstance(values, (list, tuple)):
        raise GoError(f"wrong type for value; expected []string; got {type(values).__name__}")
    return _text(separator).join(map(show, values))


def _truncate(text: Any, length: Any) -> str:
    return text_module.cut(_text(text), 0, max(0, int(length)))


def _pad(text: Any, before: Any, after: Any) -> str:
    if not 0 <= before <= 10_000 or not 0 <= after <= 10_000:
        raise GoError("pad is out of range")
    return " " * before + _text(text) + " " * after if text else ""


def _equal(left: Any, *others: Any) -> bool:
    if not others:
        raise GoError("missing argument for comparison")
    return any(_same_kind(left, other) and left == other for other in others)


def _same_kind(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return True
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


def _print(*values: Any) -> str:
    """Blanks go between two values neither of which is a string."""
    text = ""
    for index, value in enumerate(values):
        spaced = index and not isinstance(value, str) and not isinstance(values[index - 1], str)
        text += f" {_inner(value)}" if spaced else _inner(value)
    return text


def _printf(form: Any, *values: Any) -> str:
    from dockmagic.commands.gotemplate.printf import printf

    return printf(_text(form), values)


def _html(*values: Any) -> str:
    from html import escape

    return escape(_print(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _deciding(values: Sequence[Any], *, truth: bool) -> Any:
    """What `or` gives, and with `truth` False, `and`: the first value that is so, or the last."""
    if not values:
        raise GoError("wrong number of args: want at least 1 got 0")
    return next((value for value in values if is_true(value) is truth), values[-1])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: _deciding(values, truth=False),
    "or": lambda *values: _deciding(values, truth=True),
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
    "call": lambda function, *values: function(*values),
    "print": _print,
    "println": lambda *values: " ".join(map(_inner, values)) + "\n",
    "printf": _printf,
    "html": _html,
    "js": lambda *values: text_module.for_scripts(_print(*values)),
    "urlquery": lambda *values: percent(_print(*values), safe="-_.~").replace("%20", "+"),
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
