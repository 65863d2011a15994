"""`@component`: a part of an engine that is opened at its first use."""

from __future__ import annotations

from _thread import RLock  # `threading` has the same, and takes a millisecond to load
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")
_opening = RLock()  # a component may open others


class component(Generic[Value]):
    """Like `functools.cached_property`, and called once also when threads ask at the same time.

    (`cached_property` has no lock since Python 3.12: two launchers could be started.)
    """

    def __init__(self, opens: Callable[[Any], Value]) -> None:
        self._opens = opens
        self._name = opens.__name__
        self.__doc__ = opens.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> component[Value]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> Value: ...
    def __get__(self, owner: object | None, kind: type) -> component[Value] | Value:
        if owner is None:
            return self
        values = owner.__dict__  # found there without this method from the next access on
        with _opening:
            if self._name not in values:
                values[self._name] = self._opens(owner)
            value: Value = values[self._name]
        return value
