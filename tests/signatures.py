"""Comparing what a class offers with a Protocol that it is to fulfil."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_overloads


def differences(implementation: type, protocol: type, names: dict[str, str]) -> list[str]:
    """Public methods that differ in name, parameters, defaults or annotations.

    `names` are annotations of the implementation that stand for one of the protocol.
    """
    offered, asked = dict(_methods(implementation)), dict(_methods(protocol))
    missing = [f"{name} is missing" for name in asked.keys() - offered.keys()]
    more = [f"{name} is not in the protocol" for name in offered.keys() - asked.keys()]
    different = [
        f"{name}{_text(offered[name], names)} instead of {_text(asked[name], {})}"
        for name in asked.keys() & offered.keys()
        if _text(offered[name], names) != _text(asked[name], {})
    ]
    return sorted([*missing, *more, *different])


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for base in reversed(kind.__mro__[:-1]):
        for name, value in vars(base).items():
            if inspect.isfunction(value) and not name.startswith("_"):
                yield name, value


def _text(method: Any, names: dict[str, str]) -> str:
    overloads = get_overloads(method) or [method]
    text = " | ".join(str(inspect.signature(each)) for each in overloads).replace("'", "")
    for own, name in names.items():
        text = text.replace(own, name)
    return text
