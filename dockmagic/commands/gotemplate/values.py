"""Values as a Go template sees them: with a Go type, also where they are nil.

Data come in three shapes. A `GoStruct` (`dockmagic_runtime.wire`) is a Go struct; what its fields
hold is wrapped in `Typed` where the type says more than the value: nil slices and maps, pointers,
times. A dict or list is decoded JSON (`map[string]interface {}`). A `Context` is the row of a
table: named texts and methods.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.model.go_values import duration_text
from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.go import GoStruct, Kind

_TYPED: Final = frozenset({"pointer", "slice", "map", "time", "duration", "empty"})
_ADDRESS: Final = "0xc000012000"  # what Go prints of a pointer inside a struct: some address


class GoError(Exception):
    """A function was given what it cannot work on."""


class WrongType(GoError):
    """An argument of a function has another type than its parameter; `value` is the argument."""

    def __init__(self, value: Any, expected: str) -> None:
        given = type_name(value)
        super().__init__(f"wrong type for value; expected {expected}; got {given}")
        self.value = value


class Typed(Struct, frozen=True):
    """A value with its Go type: a pointer, slice, map or time. `content` None is nil."""

    content: Any
    kind: Kind


class Context(Struct, frozen=True):
    """A row of a table: what `--format` may ask for. `go_type` is named in errors."""

    fields: Mapping[str, Any]
    go_type: str


def lift(content: Any, kind: Kind) -> Any:
    """A field's content as a template handles it."""
    is_nil_interface = kind.tag == "any" and content is None
    return Typed(content, kind) if kind.tag in _TYPED or is_nil_interface else content


def indirect(value: Any) -> Any:
    """What a pointer points to; a nil pointer stays what it is."""
    while isinstance(value, Typed) and value.kind.tag == "pointer" and value.content is not None:
        assert value.kind.elem is not None
        value = lift(value.content, value.kind.elem)
    return value


def zero(kind: Kind) -> Any:
    """The zero value of a type."""
    if kind.struct is not None:
        return kind.struct()
    scalars = {"string": "", "int": 0, "float": 0.0, "bool": False, "any": None}
    return scalars[kind.tag] if kind.tag in scalars else Typed(None, kind)


def items(value: Any) -> list[Any] | None:
    """The elements of a slice, None of anything else."""
    value = indirect(value)
    if isinstance(value, Typed) and value.kind.tag == "slice":
        elem = value.kind.elem
        assert elem is not None
        return [lift(item, elem) for item in value.content or ()]
    return list(value) if isinstance(value, (list, tuple)) else None


def entries(value: Any) -> dict[Any, Any] | None:
    """The entries of a map, sorted by key as Go visits them; None of anything else."""
    value = indirect(value)
    if isinstance(value, Typed) and value.kind.tag == "map":
        elem = value.kind.elem
        assert elem is not None
        content = value.content or {}
        return {key: lift(content[key], elem) for key in sorted(content)}
    if isinstance(value, Mapping):
        return {key: value[key] for key in sorted(value, key=str)}
    return None


def is_nil(value: Any) -> bool:
    return value is None or (isinstance(value, Typed) and value.content is None)


def is_true(value: Any) -> bool:
    """Go's truth: not the zero value of its type; a struct is always true."""
    if isinstance(value, Typed):
        if value.kind.tag in ("time", "empty"):
            return True  # structs
        return value.content is not None if value.kind.tag == "pointer" else bool(value.content)
    return isinstance(value, (GoStruct, Context)) or bool(value) or callable(value)


def type_name(value: Any) -> str:
    """The Go type of a value, as error messages name it."""
    if isinstance(value, Typed):
        return kind_name(value.kind)
    if isinstance(value, GoStruct):
        return type(value).go_type
    if isinstance(value, Context):
        return value.go_type
    if isinstance(value, bool):
        return "bool"
    for python, name in ((int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, python):
            return name
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, (list, tuple)) else "interface {}"


def kind_name(kind: Kind) -> str:
    scalars = {
        "int": "int64",
        "float": "float64",
        "time": "time.Time",
        "duration": "time.Duration",
        "empty": "struct {}",
        "any": "interface {}",
    }
    if kind.struct is not None:
        return kind.struct.go_type
    prefixes = {"pointer": "*", "slice": "[]", "map": "map[string]"}
    if kind.elem is not None:
        return prefixes[kind.tag] + kind_name(kind.elem)
    return scalars.get(kind.tag, kind.tag)


# As fmt.Print shows them.


def show(value: Any) -> str:
    """As a template prints it: `<no value>` for what is not there, `<nil>` for a nil pointer."""
    return "<no value>" if value is None else show_inner(indirect(value))


def show_inner(value: Any) -> str:
    """As `fmt` prints it, also inside something else."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Typed) and value.kind.tag not in ("slice", "map"):
        return _show_typed(value)
    if (pairs := entries(value)) is not None:
        return f"map[{' '.join(f'{key}:{show_inner(item)}' for key, item in pairs.items())}]"
    if (elements := items(value)) is not None:
        return f"[{' '.join(map(show_inner, elements))}]"
    if isinstance(value, GoStruct):
        return f"{{{' '.join(map(show_inner, _members(value)))}}}"
    return str(value)


def _members(value: GoStruct) -> Iterator[Any]:
    for name, kind in go.kinds(type(value)).items():
        yield lift(getattr(value, name), kind)


def _show_typed(value: Typed) -> str:
    if value.content is None:
        return "<nil>"
    match value.kind.tag:
        case "time":
            return _time(value.content)
        case "duration":
            return duration_text(value.content)
        case "empty":
            return "{}"
    return _ADDRESS


def _time(text: str) -> str:
    """`time.Time.String()`: 2026-12-01 12:01:22.1116 +0000 UTC."""
    day, _, rest = text.partition("T")
    if rest.endswith("Z"):
        return f"{day} {rest[:-1]} +0000 UTC"
    clock, offset = rest[:-6], rest[-6:].replace(":", "")
    return f"{day} {clock} {offset} {offset}"


def _float(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e21 else repr(value)


# As encoding/json writes them.


def as_json(value: Any) -> str:
    """Go's encoder as Docker sets it: compact, and what means something in HTML left alone."""
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    for character in "\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def plain(value: Any) -> Any:
    """JSON's own values: structs in Go's order, maps sorted by key, methods left out."""
    if isinstance(value, Typed):
        return None if value.content is None else go.encode(value.content, value.kind)
    if isinstance(value, GoStruct):
        return go.document(value)
    if isinstance(value, Context):
        return plain(value.fields)
    if isinstance(value, Mapping):
        kept = {str(key): plain(item) for key, item in value.items() if not callable(item)}
        return {key: kept[key] for key in sorted(kept)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    is_whole = isinstance(value, float) and abs(value) < 1e21 and value == int(value)
    return int(value) if is_whole else value


# Fields.


def select(value: Any, name: str, *, strict: bool, static_type: str = "") -> Any:
    """`.NAME` of a value: a field, a map's entry, or a method (a callable).

    Raises GoError with text/template's words. `strict` is `missingkey=error`; else the absent
    entry of a map is no value, which is None. `static_type` is the type to name in an error
    where it is not that of the value: what comes out of decoded JSON is an `interface {}`.
    """
    target = indirect(value)
    if isinstance(target, GoStruct):
        hit = go.field(target, name)
        if hit is not None:
            return lift(*hit)
    elif isinstance(target, Context):
        if name in target.fields:
            return target.fields[name]
    elif (pairs := entries(target)) is not None:
        if name not in pairs and strict:
            raise GoError(f'map has no entry for key "{name}"')
        return pairs.get(name)
    elif target is None or _may_point_to(target, name):
        raise GoError(f"nil pointer evaluating {static_type or type_name(value)}.{name}")
    raise GoError(f"can't evaluate field {name} in type {static_type or type_name(value)}")


def _may_point_to(target: Any, name: str) -> bool:
    """Whether a nil pointer's struct has such a field."""
    if not isinstance(target, Typed) or target.kind.tag != "pointer":
        return False
    struct = target.kind.elem.struct if target.kind.elem is not None else None
    return struct is None or go.field(struct(), name) is not None


def names_of(value: Any) -> Sequence[str]:
    """The names that `select` knows, for suggestions."""
    target = indirect(value)
    if isinstance(target, GoStruct):
        return tuple(go.kinds(type(target)))
    if isinstance(target, Context):
        return tuple(target.fields)
    return tuple(map(str, entries(target) or ()))


Method = Callable[..., Any]
