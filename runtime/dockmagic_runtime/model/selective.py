"""Values some fields of which are left out of `repr` (secrets, bulk) or of comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct


class Selective(Struct, frozen=True):
    """Base of values with fields that are not shown or not compared.

    `msgspec.Struct` has no per-field switch for either, so a class names such fields here.
    """

    not_shown: ClassVar[frozenset[str]] = frozenset()
    not_compared: ClassVar[frozenset[str]] = frozenset()

    def _pairs(self, without: frozenset[str]) -> Iterator[tuple[str, Any]]:
        for name in self.__struct_fields__:
            if name not in without:
                yield name, getattr(self, name)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._pairs(self.not_shown))
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(value == getattr(other, name) for name, value in self._pairs(self.not_compared))

    def __hash__(self) -> int:
        return hash((type(self), *(value for _, value in self._pairs(self.not_compared))))
