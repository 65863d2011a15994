"""`--filter name=value`: read, checked against the names a verb knows, and applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.suggest import did_you_mean
from dockmagic_runtime.model.times import parse_moment

T = TypeVar("T")
Test = Callable[[T, str], bool]


def parse_filter(text: str) -> tuple[str, str]:
    """One `--filter`; the reason for refusing it is a ValueError for the flag."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


def apply(
    items: Iterable[T], asked: Iterable[tuple[str, str]], known: Mapping[str, Test[T]]
) -> list[T]:
    """Those that pass: values of one name are alternatives, names must all hold.

    Labels are the exception: each that is asked for must be there.
    """
    wanted = gather(asked)
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"invalid filter '{name}'", hint=did_you_mean(name, known))
    return [item for item in items if all(_passes(item, n, v, known[n]) for n, v in wanted.items())]


def gather(asked: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """All values of each name: the form in which the engine takes filters."""
    values: dict[str, list[str]] = {}
    for name, value in asked:
        values.setdefault(name, []).append(value)
    return values


def _passes(item: T, name: str, values: list[str], test: Test[T]) -> bool:
    results = (test(item, value) for value in values)
    return all(results) if name == "label" else any(results)


def has_label(labels: Mapping[str, str], asked: str) -> bool:
    """`label=KEY` or `label=KEY=VALUE`."""
    key, equals, value = asked.partition("=")
    return key in labels and (not equals or labels[key] == value)


def as_moment(name: str, text: str) -> float:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise InvalidInput(f"invalid filter '{name}={text}'", hint=str(error)) from None


def as_boolean(name: str, text: str) -> bool:
    if text.lower() in ("1", "true"):
        return True
    if text.lower() in ("0", "false"):
        return False
    raise InvalidInput(f"invalid filter '{name}=[{text}]'", hint="true or false")
