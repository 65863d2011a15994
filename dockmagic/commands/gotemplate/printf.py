"""Go's `fmt.Sprintf` for the values that a template can hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dockmagic.commands.gotemplate.values import (
    Value,
    encoded,
    float_text,
    indirect_interface,
    items,
    text_of,
)
from dockmagic_runtime.model.go_values import quote

_VERB: Final = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d*|\*))?(.?)", re.DOTALL)
_WIDEST: Final = 10_000


class _Verb:
    """One `%…`: its flags, width and precision."""

    def __init__(self, flags: str, width: int | None, precision: int | None, verb: str) -> None:
        self.flags = flags
        self.width = min(width or 0, _WIDEST)
        self.precision = None if precision is None else min(precision, _WIDEST)
        self.verb = verb

    def padded(self, text: str) -> str:
        if "-" in self.flags:
            return text.ljust(self.width)
        if "0" in self.flags:  # Go does so with text too, and leaves only a sign before the zeros
            return text.zfill(self.width)
        return text.rjust(self.width)

    @property
    def sign(self) -> str:
        return "+" if "+" in self.flags else " " if " " in self.flags else ""


def printf(form: str, values: Sequence[Value]) -> str:
    """Go never fails here: what does not fit shows as `%!d(string=x)` in the text."""
    rest = [indirect_interface(value) for value in values]
    text = _VERB.sub(lambda match: _expand(match, rest), form)
    if rest:
        extra = ", ".join(
            f"{value.type}={text_of(value)}" if value.is_valid else "<nil>" for value in rest
        )
        text += f"%!(EXTRA {extra})"
    return text


def _expand(match: re.Match[str], rest: list[Value]) -> str:
    flags, width, precision, verb = match.groups()
    if verb == "%":
        return "%"
    wide = _star(rest) if width == "*" else int(width) if width else None
    exact = _star(rest) if precision == "*" else None if precision is None else int(precision or 0)
    if wide is not None and wide < 0:
        flags, wide = f"{flags}-", -wide
    if not verb:
        return "%!(NOVERB)"
    if not rest:
        return f"%!{verb}(MISSING)"
    return _printed(_Verb(flags, wide, exact, verb), rest.pop(0))


def _star(rest: list[Value]) -> int | None:
    value = rest.pop(0) if rest else None
    return value.data if value and value.kind == "int" else None


def _printed(verb: _Verb, value: Value, depth: int = 0) -> str:
    value = indirect_interface(value)
    if verb.verb == "T":
        return verb.padded(str(value.type) if value.is_valid else "<nil>")
    if verb.verb == "v":
        return verb.padded(_as_v(verb, value, depth))
    if not value.is_valid:
        return f"%!{verb.verb}(<nil>)"
    if value.kind == "slice" and not isinstance(value.data, bytes):
        return f"[{' '.join(_printed(verb, item, depth + 1) for _, item in items(value))}]"
    if value.kind == "map":
        pairs = (
            f"{_printed(verb, key, depth + 1)}:{_printed(verb, item, depth + 1)}"
            for key, item in items(value)
        )
        return f"map[{' '.join(pairs)}]"
    text = _formatted(verb, value)
    return _misfit(verb, value, depth) if text is None else verb.padded(text)


def _as_v(verb: _Verb, value: Value, depth: int) -> str:
    if "#" in verb.flags and value.kind == "string":
        return quote(value.data)
    text = text_of(value, depth, plus="+" in verb.flags)
    return f"{verb.sign}{text}" if value.kind in ("int", "float") and value.data >= 0 else text


def _formatted(verb: _Verb, value: Value) -> str | None:
    """None where the verb is not for such a value."""
    letter, data = verb.verb, value.data
    if value.kind == "string" or isinstance(data, bytes):
        return _string(verb, data if isinstance(data, str) else data.decode(errors="replace"))
    if letter == "t" and value.kind == "bool":
        return text_of(value)
    if value.kind == "int":
        return _integer(verb, data)
    return _float(verb, data) if value.kind == "float" else None


def _string(verb: _Verb, text: str) -> str | None:
    if verb.verb in "sq":
        shown = text if verb.precision is None else text[: verb.precision]
        return quote(shown) if verb.verb == "q" else shown
    if verb.verb in "xX":
        text = "0x" * bool("#" in verb.flags and text) + encoded(text).hex()
        return text.upper() if verb.verb == "X" else text
    return None


def _integer(verb: _Verb, number: int) -> str | None:
    letter = verb.verb
    if letter in "bdoxX":
        prefix = "#" if "#" in verb.flags and letter in "xX" else ""
        return format(number, f"{verb.sign}{prefix}{letter}")
    if letter == "U":
        return f"U+{number:04X}"
    if letter in "cq":
        character = chr(number) if 0 <= number < 0x110000 else "\ufffd"
        return character if letter == "c" else f"'{_escaped(character)}'"
    return None


def _float(verb: _Verb, number: float) -> str | None:
    if verb.verb not in "eEfFgG":
        return None
    if verb.precision is None and verb.verb in "gG":
        return f"{verb.sign if number >= 0 else ''}{float_text(number)}"
    places = 6 if verb.precision is None else verb.precision
    return format(number, f"{verb.sign}.{places}{verb.verb}")


def _escaped(character: str) -> str:
    """Between single quotes, which a double one does not end."""
    if character == '"':
        return character
    return "\\'" if character == "'" else quote(character)[1:-1]


def _misfit(verb: _Verb, value: Value, depth: int) -> str:
    """The value as `%v` has it, with the same flags."""
    text = text_of(value, depth)
    if value.kind == "string" and verb.precision is not None:
        text = text[: verb.precision]
    elif value.kind in ("int", "float") and value.data >= 0:
        text = verb.sign + text
    return f"%!{verb.verb}({value.type}={verb.padded(text)})"
