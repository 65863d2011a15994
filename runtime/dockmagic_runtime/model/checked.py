"""`Checked`: base of the specs that callers write, whose fields are checked when one is created.

`msgspec.Struct` checks types when it decodes, not when Python code calls the class. A wrong type
would otherwise end as an error of an encoder, after a container's directory was written.
"""

from __future__ import annotations

import re
from _thread import _local  # that of `threading`
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

from msgspec import Struct, ValidationError, convert, defstruct
from msgspec.structs import force_setattr

from dockmagic_runtime.errors import InvalidInput


class Checked(Struct, frozen=True, kw_only=True):
    """Checks its fields' types; lists become tuples. Raises InvalidInput.

    `forms` maps a field to the function that converts the other forms which callers may use, for
    example docker-py's. `unchecked` are fields of types that msgspec does not know.
    """

    forms: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    unchecked: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if getattr(_decoding, "is_trusted", False):
            return
        twin, compared = _twin(type(self))
        if self.forms:
            _convert_forms(self)
        try:
            checked = convert(self, twin, from_attributes=True)
        except ValidationError as error:
            raise _invalid(self, error) from error
        for name in compared:
            value = getattr(checked, name)
            if value is not getattr(self, name):
                force_setattr(self, name, value)


_decoding = _local()


@contextmanager
def trusted() -> Iterator[None]:
    """Values that this thread creates meanwhile are not checked: msgspec has decoded them."""
    _decoding.is_trusted = True
    try:
        yield
    finally:
        _decoding.is_trusted = False


@cache
def _twin(kind: type[Checked]) -> tuple[type[Struct], tuple[str, ...]]:
    """A class with the same fields and without `__post_init__`: converting to it only checks.

    And the fields that converting may change: all that are no plain text, flag or integer.
    """
    types: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        types |= getattr(base, "__annotations__", {})
    fields = [
        (name, Any if name in kind.unchecked else types[name]) for name in kind.__struct_fields__
    ]
    compared = tuple(name for name, annotation in fields if annotation not in _PLAIN)
    # msgspec looks the names of annotations up in the module
    return defstruct(kind.__name__, fields, module=kind.__module__), compared


_PLAIN = ("str", "bool", "int", Any)


_CANONICAL = (tuple, type(None))  # of other types a form returns what needs no conversion


def _convert_forms(spec: Checked) -> None:
    for name, form in spec.forms.items():
        value = getattr(spec, name)
        if type(value) in _CANONICAL or value == {}:
            continue
        try:
            force_setattr(spec, name, form(value))
        except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
            raise InvalidInput(f"{type(spec).__name__}: {name} cannot be {value!r}") from error


def _invalid(spec: Checked, error: ValidationError) -> InvalidInput:
    """msgspec's "Expected `str`, got `int` - at `$.env[1]`" in our words."""
    problem, _, path = str(error).partition(" - at ")
    path = path.strip("`").removeprefix("$.")
    problem = problem.replace("`", "")
    name = re.match(r"\w*", path)
    value = getattr(spec, name.group(), None) if name else None
    expected = f"{problem[:1].lower()}{problem[1:]}"
    return InvalidInput(f"{type(spec).__name__}: {path}: {expected}", hint=f"it is {value!r}")
