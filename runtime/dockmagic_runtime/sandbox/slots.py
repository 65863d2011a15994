"""Typed slots: what the operations of one start leave for each other, and for the supervisor.

A slot is a key together with the type of its value. The room that puts a value there defines the
slot, the rooms that read it import it: so types and the import rules see the coupling.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from dockmagic_runtime.errors import EngineBug

Value = TypeVar("Value")


class Slot(Generic[Value]):
    """A key of `Slots`, equal only to itself. `name` is for people."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Slot({self.name!r})"

    def get(self, slots: Slots) -> Value | None:
        value: Value | None = slots.get(self)
        return value

    def require(self, slots: Slots) -> Value:
        """Raises EngineBug if nothing is there: the plan lacks the operation that fills it."""
        try:
            value: Value = slots[self]
        except KeyError:
            raise EngineBug(f"no operation of this plan has left the {self.name}") from None
        return value

    def put(self, slots: Slots, value: Value) -> Value:
        slots[self] = value
        return value

    def setdefault(self, slots: Slots, value: Value) -> Value:
        """What is there; `value`, which is put there, if nothing is."""
        present: Value = slots.setdefault(self, value)
        return present

    def take(self, slots: Slots) -> Value | None:
        """What is there, which then is no longer there."""
        value: Value | None = slots.pop(self, None)
        return value


Slots = dict[Slot[Any], Any]
