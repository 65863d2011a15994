"""Go's `fmt.Sprintf` for the values that a template can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dockmagic.commands.gofunctions import show
from dockmagic.commands.table import quote

_VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d*))?(.?)", re.DOTALL)
_WIDEST = 10_000
_NUMBERS = "bdoxXceEfFgG"


def printf(form: str, values: Sequence[Any]) -> str:
    """Go never fails here: what does not fit shows as `%!d(string=x)` in the text."""
    rest = list(values)
    text = _VERB.sub(lambda match: _expand(match, rest), form)
    if rest:
        extra = ", ".join(f"{_type(value)}={show(value)}" for value in rest)
        text += f"%!(EXTRA {extra})"
    return text


def _expand(match: re.Match[str], rest: list[Any]) -> str:
    flags, width, precision, verb = match.groups()
    if verb == "%":
        return "%"
    if not verb:
        return "%!(NOVERB)"
    if not rest:
        return f"%!{verb}(MISSING)"
    value = rest.pop(0)
    digits = None if precision is None else min(int(precision or 0), _WIDEST)
    text = _formatted(verb, flags, digits, value)
    return _padded(text, flags, min(int(width or 0), _WIDEST), numeric=verb in _NUMBERS)


def _padded(text: str, flags: str, width: int, *, numeric: bool) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and numeric:
        return text.zfill(width)
    return text.rjust(width)


def _formatted(verb: str, flags: str, digits: int | None, value: Any) -> str:
    if verb == "v":
        return quote(value) if "#" in flags and isinstance(value, str) else _shown(value)
    if verb == "T":
        return _type(value)
    if verb in "sq":
        return _string(verb, digits, value)
    if verb == "t" and isinstance(value, bool):
        return show(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(verb, flags, digits, value)
    if verb in "xX" and isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass").hex()
        return text.upper() if verb == "X" else text
    return _misfit(verb, value)


def _string(verb: str, digits: int | None, value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(_string(verb, digits, item) for item in value)}]"
    if not isinstance(value, str):
        return _misfit(verb, value)
    text = value if digits is None else value[:digits]
    return quote(text) if verb == "q" else text


def _number(verb: str, flags: str, digits: int | None, value: float) -> str:
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if verb in "eEfFgG" and isinstance(value, float):
        default = 6 if verb in "eEfF" else None
        places = default if digits is None else digits
        return format(value, f"{sign}{'' if places is None else f'.{places}'}{verb}")
    if isinstance(value, int) and verb in "bdoxX":
        prefix = "#" if "#" in flags and verb in "xX" else ""
        return format(value, f"{sign}{prefix}{verb}")
    if isinstance(value, int) and verb in "cq":
        return chr(value) if 0 <= value < 0x110000 else "\ufffd"
    return _misfit(verb, value)


def _misfit(verb: str, value: Any) -> str:
    return f"%!{verb}({_type(value)}={_shown(value)})"


def _shown(value: Any) -> str:
    return "<nil>" if value is None else show(value)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, (list, tuple)) else "<nil>"
