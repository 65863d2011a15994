"""The functions of Go's text/template, and those that Docker adds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from dockmagic.commands.gotemplate import strings
from dockmagic.commands.gotemplate.encode import value_as_json
from dockmagic.commands.gotemplate.errors import GoError
from dockmagic.commands.gotemplate.printf import printf
from dockmagic.commands.gotemplate.types import BYTE, STRING, STRINGS
from dockmagic.commands.gotemplate.values import (
    Value,
    encoded,
    indirect,
    indirect_interface,
    is_true,
    length,
    print_all,
    text_of,
)


class Function(Struct, frozen=True):
    """A function and the types of its parameters: "value" for anything, also for no value.

    The last parameter of a variadic one stands for all further arguments. `decides` is the truth
    at which `and` and `or` need no further argument.
    """

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    is_variadic: bool = False
    decides: bool | None = None

    def parameter(self, index: int) -> str:
        return self.parameters[min(index, len(self.parameters) - 1)]

    def call(self, *values: Value) -> Any:
        """Parameters of plain types get Python's values."""
        arguments = [
            value if self.parameter(index) in ("value", "any") else value.data
            for index, value in enumerate(values)
        ]
        return self.function(*arguments)


# ------------------------------------------------------------------ containers


def _index(item: Value, *indexes: Value) -> Value:
    item = indirect_interface(item)
    if not item.is_valid:
        raise GoError("index of untyped nil")
    for index in map(indirect_interface, indexes):
        item, is_nil = indirect(item)
        if is_nil and item.kind in ("pointer", "interface"):
            raise GoError("index of nil pointer")
        item = _element(item, index)
    return item


def _element(item: Value, index: Value) -> Value:
    assert item.type is not None
    if item.kind == "map":
        key = _key(index)
        if key in (item.data or {}):
            return Value(item.type.elem, item.data[key])
        return Value(item.type.elem, item.type.elem.zero)
    if item.kind not in ("slice", "string"):
        raise GoError(f"can't index item of type {item.type}")
    count = length(item)
    at = _position(index, count)
    if at == count:
        raise GoError(f"reflect: {item.kind} index out of range")
    if item.kind == "string":
        return Value(BYTE, encoded(item.data)[at])
    return Value(item.type.elem, item.data[at])


def _key(index: Value) -> Any:
    if not index.is_valid:
        raise GoError("value is nil; should be of type string")
    if index.kind != "string":
        raise GoError(f"value has type {index.type}; should be string")
    return index.data


def _position(index: Value, most: int) -> int:
    if not index.is_valid:
        raise GoError("cannot index slice/array with nil")
    if index.kind != "int":
        raise GoError(f"cannot index slice/array with type {index.type}")
    if not 0 <= index.data <= most:
        raise GoError(f"index out of range: {index.data}")
    number: int = index.data
    return number


def _slice(item: Value, *indexes: Value) -> Value:
    item = indirect_interface(item)
    if not item.is_valid:
        raise GoError("slice of untyped nil")
    if len(indexes) > 3:
        raise GoError(f"too many slice indexes: {len(indexes)}")
    if item.kind == "string" and len(indexes) == 3:
        raise GoError("cannot 3-index slice a string")
    if item.kind not in ("string", "slice"):
        raise GoError(f"can't slice item of type {item.type}")
    count = length(item)
    bounds = [_position(indirect_interface(index), count) for index in indexes]
    low, high, *most = [*bounds, *(0, count)[len(bounds) :]]
    for first, second in ((low, high), (high, *most))[: 1 + len(most)]:
        if first > second:
            raise GoError(f"invalid slice index: {first} > {second}")
    if item.kind == "string":
        return Value(item.type, strings.cut(item.data, low, high))
    return Value(item.type, (item.data or ())[low:high])


def _len(value: Value) -> int:
    item, is_nil = indirect(value)
    if not item.is_valid and not is_nil:
        raise GoError("reflect: call of reflect.Value.Type on zero Value")
    if is_nil and item.kind in ("pointer", "interface"):
        raise GoError("len of nil pointer")
    if item.kind not in ("map", "slice", "string"):
        raise GoError(f"len of type {item.type}")
    return length(item)


# ----------------------------------------------------------------- comparisons

_BASIC: Final = ("bool", "int", "float", "string")


def _equal(first: Value, *others: Value) -> bool:
    if not others:
        raise GoError("missing argument for comparison")
    first = indirect_interface(first)
    return any(_are_equal(first, indirect_interface(other)) for other in others)


def _are_equal(left: Value, right: Value) -> bool:
    kinds = [value.kind if value.kind in _BASIC else "" for value in (left, right)]
    if kinds[0] != kinds[1]:
        if left.is_valid and right.is_valid:
            raise GoError("incompatible types for comparison")
        return False
    if kinds[0]:
        return bool(left.data == right.data)
    return _are_equal_beyond(left, right)


def _are_equal_beyond(left: Value, right: Value) -> bool:
    """Values that have no order: nil, and what Go can compare of the others."""
    if left.is_valid and right.is_valid and left.kind != right.kind:
        raise GoError(
            f"non-comparable types {text_of(left)}: {left.type}, {right.type}: {text_of(right)}"
        )
    if left.is_nil or right.is_nil:
        return left.is_nil and right.is_nil
    if right.kind in ("map", "slice", "func"):
        raise GoError(f"non-comparable type {text_of(right)}: {right.type}")
    return bool(left.data == right.data)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Value, Value], bool]:
    def function(left: Value, right: Value) -> bool:
        left, right = indirect_interface(left), indirect_interface(right)
        if left.kind not in _BASIC or right.kind not in _BASIC:
            raise GoError("invalid type for comparison")
        if left.kind != right.kind:
            raise GoError("incompatible types for comparison")
        if left.kind == "bool":
            raise GoError("invalid type for comparison")
        if left.kind == "string":
            return compare(encoded(left.data), encoded(right.data))
        return compare(left.data, right.data)

    return function


# ------------------------------------------------------------------------ text


def _text(*values: Value) -> str:
    """What `html`, `js` and `urlquery` escape."""
    if len(values) == 1 and values[0].kind == "string":
        return str(values[0].data)
    return print_all(tuple(map(_printable, values)))


def _printable(value: Value) -> Value:
    if value.kind == "pointer":
        value, _ = indirect(value)
    return value if value.is_valid else Value(STRING, "<no value>")


def _split(text: str, separator: str) -> Value:
    return Value(STRINGS, text.split(separator) if separator else list(text))


def _join(values: Sequence[str] | None, separator: str) -> str:
    return separator.join(values or ())


def _call(name: Value, function: Value, *values: Value) -> Any:
    """`name` is the source of the function, which the evaluator adds."""
    function = indirect_interface(function)
    if not function.is_valid:
        raise GoError("call of nil")
    if function.kind != "func":
        raise GoError(f"non-function {name.data} of type {function.type}")
    return function.data(*(value.data for value in values))


def _value(function: Callable[..., Any], count: int = 1) -> Function:
    return Function(function, ("value",) * count)


def _many(function: Callable[..., Any], *fixed: str) -> Function:
    return Function(function, (*fixed, "any"), is_variadic=True)


def _any_value(function: Callable[..., Any]) -> Function:
    return Function(function, ("value", "value"), is_variadic=True)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "and": Function(_equal, ("value", "value"), is_variadic=True, decides=False),
    "or": Function(_equal, ("value", "value"), is_variadic=True, decides=True),
    "not": _value(lambda value: not is_true(value)),
    "eq": _any_value(_equal),
    "ne": _value(lambda left, right: not _equal(left, right), 2),
    "lt": _value(_ordered(operator.lt), 2),
    "le": _value(_ordered(operator.le), 2),
    "gt": _value(_ordered(operator.gt), 2),
    "ge": _value(_ordered(operator.ge), 2),
    "index": _any_value(_index),
    "slice": _any_value(_slice),
    "len": _value(_len),
    "call": _any_value(_call),
    "print": _many(lambda *values: print_all(values)),
    "println": _many(lambda *values: " ".join(map(text_of, values)) + "\n"),
    "printf": _many(lambda form, *values: printf(form, values), "string"),
    "html": _many(lambda *values: strings.html(_text(*values))),
    "js": _many(lambda *values: strings.js(_text(*values))),
    "urlquery": _many(lambda *values: strings.query(_text(*values))),
    "json": Function(value_as_json, ("any",)),
    "split": Function(_split, ("string", "string")),
    "join": Function(_join, ("[]string", "string")),
    "lower": Function(strings.lower, ("string",)),
    "upper": Function(strings.upper, ("string",)),
    "title": Function(strings.title, ("string",)),
    "pad": Function(strings.pad, ("string", "int", "int")),
    "truncate": Function(strings.truncate, ("string", "int")),
}
# Headings of tables stay as they are, but for those that keep them in line with the columns.
HEADING_FUNCTIONS: Final[Mapping[str, Function]] = {
    **FUNCTIONS,
    **dict.fromkeys(("json", "lower", "title", "upper"), Function(str, ("string",))),
    "truncate": Function(lambda text, _: text, ("string", "int")),
}
