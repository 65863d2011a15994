"""Types of Go, of the values that a template sees.

A `GoStruct` (`dockmagic_runtime.wire`) is a Go struct, whose fields have the types that its
annotations stand for. Everything else is what encoding/json makes of a document:
`map[string]interface {}`, `[]interface {}`, strings, numbers and booleans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.wire import go
from dockmagic_runtime.wire.go import GoStruct, Kind


class GoType(Struct, frozen=True):
    """A type. `kind` is Go's `reflect.Kind`; `elem` is of pointers, slices and maps.

    `name` is a named type's, `struct` the class of a struct, if there is one.
    """

    kind: str  # "bool" "int" "float" "string" "map" "slice" "pointer" "interface" "struct" …
    name: str = ""
    elem: Any = None
    struct: type[GoStruct] | None = None

    def __str__(self) -> str:
        if self.name:
            return self.name
        match self.kind:
            case "map":
                return f"map[string]{self.elem}"
            case "slice":
                return f"[]{self.elem}"
            case "pointer":
                return f"*{self.elem}"
            case "interface":
                return "interface {}"
            case "float":
                return "float64"
        return self.kind

    @property
    def zero(self) -> Any:
        """The data of the zero value."""
        if self.struct is not None:
            return self.struct()
        if self.name == "time.Time":
            return go.ZERO_TIME
        return {"bool": False, "int": 0, "float": 0.0, "string": ""}.get(self.kind)


BOOL: Final = GoType("bool")
INT: Final = GoType("int")
FLOAT: Final = GoType("float")
STRING: Final = GoType("string")
ANY: Final = GoType("interface")
ANY_MAP: Final = GoType("map", elem=ANY)
ANY_SLICE: Final = GoType("slice", elem=ANY)
STRINGS: Final = GoType("slice", elem=STRING)
BYTE: Final = GoType("int", "uint8")
FUNC: Final = GoType("func")
_SCALARS: Final = {
    "any": ANY,
    "bool": BOOL,
    "duration": GoType("int", "time.Duration"),
    "empty": GoType("struct", "struct {}"),
    "float": FLOAT,
    "int": GoType("int", "int64"),
    "string": STRING,
    "time": GoType("struct", "time.Time"),
}


class Context(Struct, frozen=True):
    """A row of a table: what `--format` may ask for. `go_type` is named in errors.

    Fields that are callable are methods with arguments.
    """

    fields: Mapping[str, Any]
    go_type: str


@cache
def struct_type(struct: type[GoStruct]) -> GoType:
    return GoType("struct", struct.go_type or struct.__name__, struct=struct)


@cache
def fields_of(struct: type[GoStruct]) -> dict[str, GoType]:
    """The type of each field, by its name in Go."""
    return {name: type_of_kind(kind) for name, kind in go.kinds(struct).items()}


def type_of_kind(kind: Kind) -> GoType:
    """The type that an annotation of a `GoStruct` stands for."""
    if kind.struct is not None:
        return struct_type(kind.struct)
    if kind.elem is not None:
        return GoType(kind.tag, elem=type_of_kind(kind.elem))
    return _SCALARS[kind.tag]


def type_of_value(data: Any) -> GoType | None:
    """The dynamic type of Python's value; None for None, which has none.

    A list of strings only is one of strings, so that `join` takes what JSON has.
    """
    if data is None:
        return None
    if isinstance(data, GoStruct):
        return struct_type(type(data))
    if isinstance(data, Context):
        return GoType("context", data.go_type)
    if isinstance(data, list) and data and all(type(item) is str for item in data):
        return STRINGS
    for python, kind in (
        (bool, BOOL), (int, INT), (float, FLOAT), (str, STRING), (Mapping, ANY_MAP),
        (Sequence, ANY_SLICE),
    ):  # fmt: skip
        if isinstance(data, python):
            return kind
    return FUNC
