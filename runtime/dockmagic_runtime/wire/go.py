"""How a Go program sees JSON: zero values, nil slices and maps, `omitempty`, embedded structs.

Docker's client decodes what the daemon answers into Go structs and runs templates on those; its
daemon encodes the same structs. Which fields exist, their order, and what an absent one is are
therefore facts about types. A `GoStruct` states them once: attributes are named as in Go, in Go's
order, with Go's zero values as defaults.

    annotation          Go                  zero value
    str, int, bool      string, int64 …     "", 0, false
    Time                time.Time           "0001-01-01T00:00:00Z"
    Duration            time.Duration       0
    Empty               struct{}            {}
    list[T] | None      []T                 nil: null in JSON, [] in a template
    dict[str, T] | None map[string]T        nil: null in JSON, map[] in a template
    S                   struct S            S()
    S | None            *S                  nil
    int | None          *int64              nil
    Any                 any                 nil
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Annotated, Any, ClassVar, Final, TypeVar

from msgspec import Struct

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
Time = Annotated[str, "time"]  # RFC 3339, as Go's time.Time is written in JSON
Duration = Annotated[int, "duration"]  # nanoseconds
Empty = Annotated[dict[str, Any], "empty"]  # struct{}


class GoStruct(Struct, frozen=True, kw_only=True):
    """Base of all values of the API.

    `go_type` is the type's name in messages of Go's templates. `json_names` has the fields that
    are called otherwise in JSON, `omit_empty` those that JSON leaves out at their zero value, and
    `embedded` those whose own fields stand in JSON in the place of theirs.
    """

    go_type: ClassVar[str] = ""
    json_names: ClassVar[dict[str, str]] = {}
    omit_empty: ClassVar[frozenset[str]] = frozenset()
    embedded: ClassVar[frozenset[str]] = frozenset()


class Kind(Struct, frozen=True):
    """The Go type of a field.

    `tag` is "string", "int", "float", "bool", "time", "duration", "empty", "struct", "pointer",
    "slice", "map" or "any"; `elem` is what a pointer points to and a slice or map holds; `struct`
    is the class.
    """

    tag: str
    elem: Kind | None = None
    struct: type[GoStruct] | None = None


_SCALARS: Final[dict[Any, Kind]] = {
    str: Kind("string"),
    int: Kind("int"),
    float: Kind("float"),
    bool: Kind("bool"),
    Any: Kind("any"),
    Time: Kind("time"),
    Duration: Kind("duration"),
    Empty: Kind("empty"),
}
_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "time": (str,),
    "int": (int,),
    "duration": (int,),
    "empty": (dict,),
    "float": (int, float),
    "bool": (bool,),
}
_ZEROS: Final[dict[str, Any]] = {
    "string": "",
    "time": ZERO_TIME,
    "int": 0,
    "duration": 0,
    "float": 0.0,
    "bool": False,
    "empty": {},
}  # fmt: skip - what null is in a slice or map; of all others it is nil
Decoded = TypeVar("Decoded", bound=GoStruct)


class WireError(ValueError):
    """A document that does not fit its type; the message names the field, as Go's decoder does."""


@functools.cache
def kinds(struct: type[GoStruct]) -> dict[str, Kind]:
    """The kind of each field of a struct, in Go's order."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {name: kind_of(hints[name]) for name in struct.__struct_fields__}


def kind_of(annotation: Any) -> Kind:
    """The Go type that an annotation stands for (the module's table)."""
    if (scalar := _SCALARS.get(annotation)) is not None:
        return scalar
    if isinstance(annotation, type) and issubclass(annotation, GoStruct):
        return Kind("struct", struct=annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return Kind("slice", elem=kind_of(arguments[0]))
    if origin is dict:
        return Kind("map", elem=kind_of(arguments[1]))
    if origin in (typing.Union, types.UnionType):
        inner = kind_of(next(part for part in arguments if part is not type(None)))
        return inner if inner.tag in ("slice", "map") else Kind("pointer", elem=inner)
    raise TypeError(f"{annotation!r} stands for no Go type")


def field(value: GoStruct, name: str) -> tuple[Any, Kind] | None:
    """A field by its Go name, also one of an embedded struct; None if there is none."""
    own = kinds(type(value))
    if name in own:
        return getattr(value, name), own[name]
    for embedded in own:
        if embedded in type(value).embedded:
            inner = getattr(value, embedded)
            if inner is not None and (hit := field(inner, name)) is not None:
                return hit
    return None


def document(value: GoStruct) -> dict[str, Any]:
    """As `encoding/json` writes it: an ordered dict of JSON values."""
    struct = type(value)
    written: dict[str, Any] = {}
    for name, kind in kinds(struct).items():
        content = getattr(value, name)
        if name in struct.embedded:
            written |= document(content) if content is not None else {}
        elif not (name in struct.omit_empty and _is_empty(content, kind)):
            written[struct.json_names.get(name, name)] = encode(content, kind)
    return written


def _is_empty(content: Any, kind: Kind) -> bool:
    """`omitempty` spares structs, and what a pointer leads to: only scalars, nil, and empty slices
    and maps are empty."""
    if kind.tag == "pointer":
        return content is None
    return kind.tag not in ("struct", "time") and not content


def encode(content: Any, kind: Kind) -> Any:
    """A field's content as a JSON value."""
    if content is None or kind.elem is None:
        return document(content) if isinstance(content, GoStruct) else content
    if kind.tag == "slice":
        return [encode(item, kind.elem) for item in content]
    if kind.tag == "map":
        # encoding/json sorts the keys of maps, and only those
        return {key: encode(content[key], kind.elem) for key in sorted(content)}
    return encode(content, kind.elem)


def decode(struct: type[Decoded], source: dict[str, Any]) -> Decoded:
    """The inverse of `document`. Unknown keys are ignored, absent ones have their zero value.

    Raises WireError where a value has another type.
    """
    return _decode_struct(struct, source, struct.go_type or struct.__name__)


def _decode_struct(struct: type[Decoded], source: Any, path: str) -> Decoded:
    if not isinstance(source, dict):
        raise WireError(f"{path} is not an object")
    content: dict[str, Any] = {}
    for name, kind in kinds(struct).items():
        key = struct.json_names.get(name, name)
        if name in struct.embedded and kind.struct is not None:
            content[name] = _decode_struct(kind.struct, source, path)
        elif source.get(key) is not None:
            content[name] = _decode(source[key], kind, f"{path}.{key}")
    return struct(**content)


def _decode(source: Any, kind: Kind, path: str) -> Any:
    if source is None:
        return kind.struct() if kind.struct is not None else _ZEROS.get(kind.tag)
    if kind.tag == "any":
        return source
    if kind.struct is not None:
        return _decode_struct(kind.struct, source, path)
    if kind.tag == "pointer" and kind.elem is not None:
        return _decode(source, kind.elem, path)
    if kind.tag == "slice" and kind.elem is not None:
        return [_decode(item, kind.elem, path) for item in _is_a(source, list, path)]
    if kind.tag == "map" and kind.elem is not None:
        entries = _is_a(source, dict, path).items()
        return {key: _decode(item, kind.elem, f"{path}.{key}") for key, item in entries}
    if not isinstance(source, _PYTHON[kind.tag]) or (kind.tag != "bool" and source is True):
        raise WireError(f"{path} is not of type {kind.tag}")
    return source


def _is_a(source: Any, container: type, path: str) -> Any:
    if not isinstance(source, (container, tuple) if container is list else container):
        raise WireError(f"{path} is not {'an array' if container is list else 'an object'}")
    return source
