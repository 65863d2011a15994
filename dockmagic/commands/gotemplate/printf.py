"""Go's `fmt.Sprintf` for the values that a template can hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dockmagic.commands.gotemplate import values
from dockmagic.commands.gotemplate.values import show_inner
from dockmagic_runtime.model.go_values import quote

_VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d*))?(.?)", re.DOTALL)
_WIDEST = 10_000


def printf(form: str, arguments: Sequence[Any]) -> str:
    """Go never fails here: what does not fit shows as `%!d(string=x)` in the text."""
    rest = list(map(values.indirect, arguments))
    text = _VERB.sub(lambda match: _expand(match, rest), form)
    if rest:
        extra = ", ".join(f"{values.type_name(value)}={show_inner(value)}" for value in rest)
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
    return _expanded(flags, width, precision, verb, rest.pop(0))


def _expanded(flags: str, width: str | None, precision: str | None, verb: str, value: Any) -> str:
    elements = values.items(value)
    if elements is not None and verb != "T":  # each of them by itself
        shown = (_expanded(flags, width, precision, verb, item) for item in elements)
        return f"[{' '.join(shown)}]"
    digits = None if precision is None else min(int(precision or 0), _WIDEST)
    text = _formatted(verb, flags, digits, value)
    wide = min(int(width or 0), _WIDEST)
    if text is None:
        return _misfit(verb, flags, digits, wide, value)
    return _padded(text, flags, wide)


def _padded(text: str, flags: str, width: int) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags:  # Go does so with text too, and leaves only a sign before the zeros
        return text.zfill(width)
    return text.rjust(width)


def _formatted(verb: str, flags: str, digits: int | None, value: Any) -> str | None:
    if verb == "v":
        return quote(value) if "#" in flags and isinstance(value, str) else show_inner(value)
    if verb == "T":
        return values.type_name(value)
    if verb in "sq":
        return _string(verb, digits, value)
    if verb == "t" and isinstance(value, bool):
        return show_inner(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(verb, flags, digits, value)
    if verb in "xX" and isinstance(value, str):
        text = "0x" * bool("#" in flags and value) + value.encode("utf-8", "surrogatepass").hex()
        return text.upper() if verb == "X" else text
    return None


def _string(verb: str, digits: int | None, value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and verb == "q":
        return f"'{_escaped(chr(value) if 0 <= value < 0x110000 else chr(0xFFFD))}'"
    if not isinstance(value, str):
        return None
    text = value if digits is None else value[:digits]
    return quote(text) if verb == "q" else text


def _number(verb: str, flags: str, digits: int | None, value: float) -> str | None:
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if verb in "eEfFgG" and isinstance(value, float):
        default = 6 if verb in "eEfF" else None
        places = default if digits is None else digits
        return format(value, f"{sign}{'' if places is None else f'.{places}'}{verb}")
    if isinstance(value, int) and verb in "bdoxX":
        prefix = "#" if "#" in flags and verb in "xX" else ""
        return format(value, f"{sign}{prefix}{verb}")
    if isinstance(value, int) and verb == "U":
        return f"U+{value:04X}"
    if isinstance(value, int) and verb == "c":
        return chr(value) if 0 <= value < 0x110000 else "\ufffd"
    return None


def _escaped(character: str) -> str:
    """Between single quotes, which a double one does not end."""
    if character == '"':
        return character
    return "\\'" if character == "'" else quote(character)[1:-1]


def _misfit(verb: str, flags: str, digits: int | None, width: int, value: Any) -> str:
    """The value as `%v` has it, with the same flags."""
    if value is None:
        return f"%!{verb}(<nil>)"
    text = show_inner(value)
    if isinstance(value, str) and digits is not None:
        text = text[:digits]
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        text = ("+" if "+" in flags else " " if " " in flags else "") + text
    return f"%!{verb}({values.type_name(value)}={_padded(text, flags, width)})"
