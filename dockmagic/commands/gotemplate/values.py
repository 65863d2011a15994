"""Values with their types, as Go's reflect has them; their truth, text and order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from dockmagic.commands.gotemplate.types import (
    ANY,
    INT,
    STRING,
    Context,
    GoType,
    fields_of,
    type_of_kind,
    type_of_value,
)
from dockmagic_runtime.model.go_values import duration_text
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.go import GoStruct

UNKNOWN: Final = GoType("pointer", elem=ANY)
_POINTER: Final = "0xc000012345"  # where a value is in memory, which no output should depend on


class Value(NamedTuple):
    """A value of a type, or none at all (`type` None: Go's invalid value)."""

    type: GoType | None
    data: Any = None

    @property
    def is_valid(self) -> bool:
        return self.type is not None

    @property
    def kind(self) -> str:
        return self.type.kind if self.type else "invalid"

    @property
    def is_nil(self) -> bool:
        return self.data is None

    def elem(self) -> Value:
        """What a pointer or an interface holds."""
        if self.data is None:
            return INVALID
        if self.kind == "pointer":
            assert self.type is not None
            return Value(self.type.elem, self.data)
        return value_of(self.data)


INVALID: Final = Value(None)


def value_of(data: Any) -> Value:
    """As `reflect.ValueOf`: of the value's own type."""
    return Value(type_of_value(data), data)


def indirect(value: Value) -> tuple[Value, bool]:
    """What is behind pointers and interfaces, and whether one of them is nil."""
    while value.kind in ("pointer", "interface"):
        if value.is_nil:
            return value, True
        value = value.elem()
    return value, False


def indirect_interface(value: Value) -> Value:
    return value.elem() if value.kind == "interface" else value


def is_true(value: Value) -> bool:
    """Go's truth: not the zero value of its type; structs are always true."""
    value = indirect_interface(value)
    match value.kind:
        case "invalid":
            return False
        case "struct" | "context":
            return True
        case "pointer" | "func":
            return not value.is_nil
    return bool(value.data)


def length(value: Value) -> int:
    """Of a string in bytes."""
    if value.kind == "string":
        return len(encoded(value.data))
    return len(value.data or ())


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def items(value: Value) -> Iterator[tuple[Value, Value]]:
    """Keys and elements: of a map in the order of its keys."""
    assert value.type is not None
    if value.kind == "map":
        for key in sorted(value.data or {}):
            yield Value(STRING, key), Value(value.type.elem, value.data[key])
        return
    for index, data in enumerate(value.data or ()):
        yield Value(INT, index), Value(value.type.elem, data)


def field(value: Value, name: str) -> Value | None:
    """The field of a struct, also one of an embedded struct; None if it has none of that name."""
    if not isinstance(value.data, GoStruct):
        return None
    hit = go.field(value.data, name)
    return _member(type_of_kind(hit[1]), hit[0]) if hit else None


def _member(kind: GoType, content: Any) -> Value:
    """What a field holds; `Any` stands for pointers to types that we do not have."""
    return Value(UNKNOWN if kind == ANY and content is None else kind, content)


# ---------------------------------------------------------------------- text


def show(value: Value) -> str:
    """As a template prints it."""
    if value.kind == "pointer":
        value, _ = indirect(value)
    return text_of(value) if value.is_valid else "<no value>"


def text_of(value: Value, depth: int = 0, *, plus: bool = False) -> str:
    """As fmt's `%v` has it, and with `plus` as `%+v`."""
    match value.kind:
        case "invalid":
            return "<nil>"
        case "interface":
            return text_of(value.elem(), depth, plus=plus) if value.data is not None else "<nil>"
        case "bool":
            return "true" if value.data else "false"
        case "float":
            return float_text(value.data)
        case "pointer":
            return _pointer(value, depth, plus=plus)
        case "map":
            pairs = (
                f"{text_of(key, depth + 1, plus=plus)}:{text_of(item, depth + 1, plus=plus)}"
                for key, item in items(value)
            )
            return f"map[{' '.join(pairs)}]"
        case "slice":
            return f"[{' '.join(text_of(item, depth + 1, plus=plus) for _, item in items(value))}]"
        case "struct":
            return _struct(value, depth, plus=plus)
        case "context":
            return _context(value.data)
        case "func":
            return _POINTER
    if value.type is not None and value.type.name == "time.Duration":
        return duration_text(value.data)
    return str(value.data)


def _pointer(value: Value, depth: int, *, plus: bool) -> str:
    if value.is_nil:
        return "<nil>"
    assert value.type is not None
    if depth == 0 and value.type.elem.kind in ("struct", "map", "slice"):
        return f"&{text_of(value.elem(), depth + 1, plus=plus)}"
    return _POINTER


def _struct(value: Value, depth: int, *, plus: bool) -> str:
    if not isinstance(value.data, GoStruct):
        return "{}" if value.data is None or isinstance(value.data, dict) else _time(value.data)
    parts = (
        (f"{name}:" if plus else "")
        + text_of(_member(kind, getattr(value.data, name)), depth + 1, plus=plus)
        for name, kind in fields_of(type(value.data)).items()
    )
    return f"{{{' '.join(parts)}}}"


def _time(text: str) -> str:
    """`time.Time.String()`: 2026-12-01 12:01:22.1116 +0000 UTC."""
    day, _, rest = text.partition("T")
    if rest.endswith("Z"):
        return f"{day} {rest[:-1]} +0000 UTC"
    clock, offset = rest[:-6], rest[-6:].replace(":", "")
    return f"{day} {clock} {offset} {offset}"


def _context(data: Context) -> str:
    texts = (text_of(value_of(field), 1) for field in data.fields.values() if not callable(field))
    return f"{{{' '.join(texts)}}}"


def shortest(number: float) -> tuple[str, str, int]:
    """Sign, digits and power of ten: the fewest digits that read back to the same number."""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) + len(whole) - 1 - (len(whole + fraction) - len(digits))
    sign = "-" if number < 0 or str(number).startswith("-") else ""
    return sign, digits.rstrip("0") or "0", power if digits.strip("0") else 0


def positional(sign: str, digits: str, power: int) -> str:
    """Without an exponent."""
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole, fraction = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def scientific(sign: str, digits: str, power: int) -> str:
    mantissa = f"{digits[0]}.{digits[1:]}" if digits[1:] else digits
    return f"{sign}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"


def float_text(number: float) -> str:
    """As `%v` has it: with an exponent below 1e-4 and from 1e21 on."""
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "+Inf" if number > 0 else "-Inf"
    parts = shortest(number)
    return positional(*parts) if -4 <= parts[2] < 21 else scientific(*parts)


def print_all(values: tuple[Value, ...]) -> str:
    """As `fmt.Sprint`: blanks go between two values neither of which is a string."""
    text = ""
    for index, value in enumerate(values):
        is_spaced = index and not {"string"} & {_dynamic(values[index - 1]), _dynamic(value)}
        text += f" {text_of(value)}" if is_spaced else text_of(value)
    return text


def _dynamic(value: Value) -> str:
    return indirect_interface(value).kind


def string(text: str) -> Value:
    return Value(STRING, text)
